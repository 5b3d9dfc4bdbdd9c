"""Journeys made by hand, as if they had been observed: for what tells, draws or judges them.

Rules, chains, interfaces and addresses are those of the topologies clusterip, hairpin, nodeport and no-endpoints.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from ipaddress import ip_address
from typing import Any, Self

from lab.model.flow import Flow, Tuple
from lab.model.journey import End, Journey, Leg, Step
from lab.model.netfilter import Hook, Rule
from lab.model.request import Reply

NAMES = {
    ip_address(address): name
    for address, name in {
        "192.168.0.10": "node-1",
        "192.168.0.11": "node-2",
        "10.244.1.1": "node-1/cbr0",
        "10.244.2.1": "node-2/cbr0",
        "10.244.1.2": "web-1",
        "10.244.1.3": "client-a",
        "10.244.2.2": "web-2",
        "10.96.0.10": "svc/web",
        "10.96.0.11": "svc/echo",
        "198.51.100.10": "client",
    }.items()
}
WEB = "default/web:http"
MASK = 0x4000
BEGAN_NS = 1_795_437_124_912_442_000
SVC, SEP_1, SEP_2 = "KUBE-SVC-CDGGSHYLG3RE2FKL", "KUBE-SEP-UIQK3OSOSTRHRPBX", "KUBE-SEP-4EX2N4PG4ASNZOBF"
EXT = "KUBE-EXT-CDGGSHYLG3RE2FKL"


def way(text: str) -> Tuple:
    """Return the tuple of `10.0.0.1:1 10.0.0.2:2`."""
    (src, _, sport), (dst, _, dport) = [end.rpartition(":") for end in text.split()]
    return Tuple(src=ip_address(src), sport=int(sport), dst=ip_address(dst), dport=int(dport))


@dataclass
class Story:
    """The steps of one packet, one after the other: where it is, what it looks like, its mark."""

    packet: Tuple
    time_ns: int = BEGAN_NS
    node: str = ""
    mark: int | None = None
    at: Hook | None = None
    steps: list[Step] = field(default_factory=list)

    def add(self, kind: Any, **more: Any) -> Self:
        """Tell one step; `after` and `mark_after` are what the packet looks like from then on."""
        shown = {"node": self.node, "before": self.packet, "after": self.packet, "mark_before": self.mark}
        step = Step(**{**shown, "kind": kind, "mark_after": self.mark, **more})
        self.packet, self.mark = step.after, step.mark_after
        self.steps.append(step)
        return self

    def tap(self, place: str, direction: Any, **more: Any) -> Self:
        """Tell that it was seen at `node/interface`; where it comes in it has no mark."""
        self.node, _, interface = place.partition("/")
        if direction == "in":
            self.mark = 0
        self.time_ns += 13_000
        return self.add("tap", interface=interface, direction=direction, time_ns=self.time_ns, **more)

    def hook(self, hook: Hook, iif: str = "", oif: str = "") -> Self:
        """Tell that it came to a hook."""
        self.at = hook
        return self.add("hook", hook=hook, interface=iif, out_interface=oif)

    def rule(self, table: str, chain: str, number: int, text: str, **more: Any) -> Self:
        """Tell that a rule matched; what follows is the target that its text ends with."""
        target = text.rpartition("-j ")[2].split()[0]
        verdict = {
            "MARK": "continue",
            "DNAT": "accept",
            "MASQUERADE": "accept",
            "REJECT": "reject",
            "ACCEPT": "accept",
            "DROP": "drop",
            "RETURN": "return",
        }.get(target, f"jump {target}")
        places = {"hook": self.at, "family": "ip", "table": table, "chain": chain, "number": number}
        shown = Rule(text=text, place=f"{table} {chain}", statements=())
        return self.add("rule", **{**places, "rule": shown, "handle": 20 + number, "verdict": verdict, **more})

    def policy(self, table: str, chain: Hook, verdict: str = "accept", **more: Any) -> Self:
        """Tell how a base chain ended."""
        places = {"hook": chain, "family": "ip", "table": table, "chain": chain}
        return self.add("verdict", verdict=verdict, **{"matters": verdict == "drop", **places, **more})

    def nat(self, destination: str = "", source: str = "", **more: Any) -> dict[str, Any]:
        """Return the fields of a step that rewrites one end (`address:port`)."""
        here = self.packet
        first = destination or f"{here.dst}:{here.dport}"
        second = source or f"{here.src}:{here.sport}"
        return {"after": way(f"{second} {first}"), **more}

    def leg(self, role: Any, packet: str, end: End, *, times: int = 1) -> Leg:
        """Return what was told as one leg."""
        return Leg(role=role, packet=packet, steps=tuple(self.steps), end=end, times=times)

    def from_pod(self, pod: str, node: str = "node-1") -> Self:
        """Tell that the packet left a pod, and came in on its node."""
        return self.tap(f"{pod}/eth0", "out").tap(f"{node}/veth-{pod}", "in")

    def to_pod(self, pod: str, node: str = "node-1") -> Self:
        """Tell that the packet left a node, and came in at its pod."""
        return self.tap(f"{node}/veth-{pod}", "out").tap(f"{pod}/eth0", "in")

    # --- what many have in common ------------------------------------------------------------------------------------

    def to_service(self, hook: Hook = "PREROUTING", destination: str = "10.96.0.10") -> Self:
        """Tell the way from a base chain of nat to the chain of the Service web."""
        self.rule("nat", hook, 1, '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES')
        text = (
            f'-d {destination}/32 -p tcp -m comment --comment "default/web:http cluster IP" -m tcp --dport 80 -j {SVC}'
        )
        return self.rule("nat", "KUBE-SERVICES", 2, text, service=WEB)

    def choose(self, number: int, of: int = 2) -> Self:
        """Tell the choice of web-1 or web-2, and the DNAT."""
        pod, address, chain = [("web-1", "10.244.1.2", SEP_1), ("web-2", "10.244.2.2", SEP_2)][number - 1]
        chance = " -m statistic --mode random --probability 0.50000000000" if number == 1 < of else ""
        self.rule(
            "nat",
            SVC,
            number + 1,
            f'-m comment --comment "default/web:http -> {address}:8080"{chance} -j {chain}',
            service=WEB,
            moments=("choose",),
            endpoint=pod,
            share=Fraction(1, of),
        )
        if self.packet.src == ip_address(address):
            self.rule(
                "nat",
                chain,
                1,
                f'-s {address}/32 -m comment --comment "default/web:http" -j KUBE-MARK-MASQ',
                service=WEB,
            )
            self.to_be_masqueraded()
        text = f'-p tcp -m comment --comment "default/web:http" -m tcp -j DNAT --to-destination {address}:8080'
        return self.rule("nat", chain, 2, text, service=WEB, moments=("dnat",), **self.nat(f"{address}:8080"))

    def to_be_masqueraded(self) -> Self:
        """Tell the rule of KUBE-MARK-MASQ."""
        return self.rule(
            "nat", "KUBE-MARK-MASQ", 1, "-j MARK --set-xmark 0x4000/0x4000", mark_after=MASK, moments=("mark",)
        )

    def forward(self, iif: str, oif: str) -> Self:
        """Tell the hook FORWARD, for a packet with or without a mark."""
        self.hook("FORWARD", iif, oif)
        jumps = {
            1: ("-m conntrack --ctstate NEW", "kubernetes load balancer firewall", "KUBE-PROXY-FIREWALL"),
            2: ("", "kubernetes forwarding rules", "KUBE-FORWARD"),
            3: ("-m conntrack --ctstate NEW", "kubernetes service portals", "KUBE-SERVICES"),
            4: (
                "-m conntrack --ctstate NEW",
                "kubernetes externally-visible service portals",
                "KUBE-EXTERNAL-SERVICES",
            ),
        }
        for number, (match, comment, chain) in jumps.items():
            text = f'{match} -m comment --comment "{comment}" -j {chain}'.lstrip()
            self.rule("filter", "FORWARD", number, text, matters=chain == "KUBE-FORWARD" and bool(self.mark))
            if chain == "KUBE-FORWARD" and self.mark:
                text = '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT'
                return self.rule("filter", chain, 2, text, moments=("mark-read",))
        return self.policy("filter", "FORWARD")

    def postrouting(self, oif: str, source: str = "") -> Self:
        """Tell the hook POSTROUTING: masqueraded to `source` if the packet has the mark."""
        self.hook("POSTROUTING", "", oif)
        text = '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'
        self.rule("nat", "POSTROUTING", 1, text, matters=bool(self.mark))
        if not self.mark:
            text = "-m mark ! --mark 0x4000/0x4000 -j RETURN"
            self.rule("nat", "KUBE-POSTROUTING", 1, text, matters=False)
            return self.policy("nat", "POSTROUTING")
        self.rule(
            "nat", "KUBE-POSTROUTING", 2, "-j MARK --set-xmark 0x4000/0x0", mark_after=0, moments=("mark-read", "mark")
        )
        text = '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully'
        return self.rule("nat", "KUBE-POSTROUTING", 3, text, moments=("masquerade",), **self.nat(source=source))

    def translated_back(self, destination: str = "", source: str = "", **more: Any) -> Self:
        """Tell what only shows as a change of addresses between two taps."""
        text = "by the entry of the request: addresses changed between two interfaces, and no rule was asked"
        moments = {"moments": ("reply-translated",), "observed": False, "text": text, "hook": self.at}
        return self.add("conntrack", **{**moments, **self.nat(destination, source), **more})

    def made(self, *translates: str) -> Self:
        """Tell that an entry of conntrack was made; `translates`: the `destination`, the `source`, or neither."""
        what = " and ".join(f"the {end}" for end in translates) or "nothing"
        return self.add("conntrack", text=f"new entry: translates {what}", hook=self.at, matters=bool(translates))


def _told(**more: Any) -> Journey:
    """Return a journey in the lab of two nodes, of a TCP packet to the Service web unless `more` says otherwise."""
    plain = {"protocol": "tcp", "tool": "iptables-nft", "names": NAMES, "nodes": ("node-1", "node-2"), "service": WEB}
    return Journey(**{**plain, **more})


def arrived(place: str) -> End:
    """Return the end of a packet that came to where it was sent."""
    return End(kind="delivered", node=place, why=f"came to a socket of {place}")


def entry(node: str, original: str, reply: str, **more: Any) -> Flow:
    """Return a conntrack entry, answered unless `status` says otherwise."""
    status = frozenset({"confirmed", "seen_reply", "assured"})
    usual = {"protocol": "tcp", "status": status, "tcp_state": "TIME_WAIT", "timeout_s": 119, "id": 7}
    return Flow(node=node, original=way(original), reply=way(reply), **{**usual, **more})


def clusterip() -> Journey:
    """A pod asks a Service; the endpoint that is chosen is on another node."""
    asks = way("10.244.1.3:37924 10.96.0.10:80")
    there = (
        Story(asks)
        .tap("client-a/eth0", "out")
        .tap("node-1/veth-client-a", "in")
        .hook("PREROUTING", "cbr0")
        .to_service()
        .choose(2)
        .tap("node-1/cbr0", "in", matters=False)
        .add("route", text="10.244.2.2 via 192.168.0.11 dev eth0", out_interface="eth0", observed=False)
        .forward("cbr0", "eth0")
        .postrouting("eth0")
        .made("destination")
        .tap("node-1/eth0", "out")
        .tap("node-2/eth0", "in")
        .hook("PREROUTING", "eth0")
    )
    text = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
    there.rule("nat", "PREROUTING", 1, text, matters=False).policy("nat", "PREROUTING")
    there.add("route", text="10.244.2.2 dev cbr0", out_interface="cbr0", observed=False)
    there.forward("eth0", "cbr0").postrouting("cbr0").made()
    there.tap("node-2/cbr0", "out", matters=False).to_pod("web-2", "node-2")
    back = Story(way("10.244.2.2:8080 10.244.1.3:37924"), time_ns=there.time_ns)
    back.from_pod("web-2", "node-2").hook("PREROUTING", "cbr0")
    back.tap("node-2/cbr0", "in", matters=False).hook("FORWARD", "cbr0", "eth0").policy("filter", "FORWARD")
    back.hook("POSTROUTING", "", "eth0").tap("node-2/eth0", "out").tap("node-1/eth0", "in").hook("PREROUTING", "eth0")
    back.translated_back(source="10.96.0.10:80")
    back.hook("FORWARD", "eth0", "cbr0").policy("filter", "FORWARD").hook("POSTROUTING", "", "cbr0")
    back.tap("node-1/cbr0", "out", matters=False).to_pod("client-a")
    return _told(
        asker="client-a",
        goal="svc/web",
        original=asks,
        reply=Reply(
            status=200,
            pod="web-2",
            node="node-2",
            source=(asks.src, asks.sport),
            local=(asks.src, asks.sport),
            latency_s=0.0011,
        ),
        legs=(
            there.leg("request", "tcp [S]", arrived("web-2")),
            back.leg("reply", "tcp [S.]", arrived("client-a")),
        ),
        endpoint="web-2",
        flows=(
            entry("node-1", "10.244.1.3:37924 10.96.0.10:80", "10.244.2.2:8080 10.244.1.3:37924"),
            entry("node-2", "10.244.1.3:37924 10.244.2.2:8080", "10.244.2.2:8080 10.244.1.3:37924", id=8),
        ),
    )


def hairpin(*, port: bool = True) -> Journey:
    """A pod asks its own Service and is chosen itself; `port`: the bridge may send it back where it came from."""
    asks = way("10.244.1.2:57854 10.96.0.10:80")
    there = Story(asks).from_pod("web-1").hook("PREROUTING", "cbr0")
    there.to_service().choose(1, of=1).forward("cbr0", "cbr0").postrouting("cbr0", "10.244.1.1:7483").made(
        "destination", "source"
    )
    if not port:
        why = "the bridge cbr0 does not send a frame back out of veth-web-1, which it came in by: hairpin is off"
        end = End(kind="lost", node="node-1", why=why, observed=False)
        there.add("bridge", interface="veth-web-1", moments=("lost",), text=why, observed=False)
        return _told(
            asker="web-1",
            goal="svc/web",
            original=asks,
            reply=Reply(error="timeout", local=(asks.src, asks.sport), latency_s=1.5),
            legs=(there.leg("request", "tcp [S]", end, times=2),),
            endpoint="web-1",
        )
    there.add("bridge", interface="veth-web-1", out_interface="veth-web-1", moments=("hairpin",))
    there.to_pod("web-1")
    back = Story(way("10.244.1.2:8080 10.244.1.1:7483"), time_ns=there.time_ns)
    back.from_pod("web-1").hook("PREROUTING", "cbr0")
    back.translated_back("10.244.1.2:57854", "10.96.0.10:80").hook("FORWARD", "cbr0", "cbr0")
    back.policy("filter", "FORWARD").hook("POSTROUTING", "", "cbr0")
    back.to_pod("web-1")
    return _told(
        asker="web-1",
        goal="svc/web",
        original=asks,
        reply=Reply(
            status=200,
            pod="web-1",
            node="node-1",
            source=(ip_address("10.244.1.1"), 7483),
            local=(asks.src, asks.sport),
            latency_s=0.0019,
        ),
        legs=(
            there.leg("request", "tcp [S]", arrived("web-1")),
            back.leg("reply", "tcp [S.]", arrived("web-1")),
        ),
        endpoint="web-1",
        flows=(entry("node-1", "10.244.1.2:57854 10.96.0.10:80", "10.244.1.2:8080 10.244.1.1:7483"),),
    )


def nodeport() -> Journey:
    """A client outside asks a node's port; the endpoint is on another node, so that the node masquerades."""
    asks = way("198.51.100.10:50984 192.168.0.10:30080")
    there = Story(asks).tap("client/eth0", "out").tap("router/client", "in")
    there.add("route", text="192.168.0.10 dev eth0", out_interface="eth0", observed=False)
    there.tap("router/eth0", "out").tap("node-1/eth0", "in").hook("PREROUTING", "eth0")
    text = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
    there.rule("nat", "PREROUTING", 1, text, matters=False)
    text = (
        '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" '
        "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    )
    there.rule("nat", "KUBE-SERVICES", 2, text)
    text = f'-p tcp -m comment --comment "default/web:http" -m tcp --dport 30080 -j {EXT}'
    there.rule("nat", "KUBE-NODEPORTS", 2, text, service=WEB)
    text = '-m comment --comment "masquerade traffic for default/web:http external destinations" -j KUBE-MARK-MASQ'
    there.rule("nat", EXT, 1, text, service=WEB).to_be_masqueraded().rule("nat", EXT, 2, f"-j {SVC}", service=WEB)
    there.choose(2).add("route", text="10.244.2.2 via 192.168.0.11 dev eth0", out_interface="eth0", observed=False)
    there.forward("eth0", "eth0").postrouting("eth0", "192.168.0.10:50281").made("destination", "source")
    there.tap("node-1/eth0", "out").tap("node-2/eth0", "in").hook("PREROUTING", "eth0")
    there.add("route", text="10.244.2.2 dev cbr0", out_interface="cbr0", observed=False)
    there.forward("eth0", "cbr0").postrouting("cbr0").made()
    there.to_pod("web-2", "node-2")
    back = Story(way("10.244.2.2:8080 192.168.0.10:50281"), time_ns=there.time_ns)
    back.from_pod("web-2", "node-2").hook("PREROUTING", "cbr0")
    back.hook("FORWARD", "cbr0", "eth0").policy("filter", "FORWARD").hook("POSTROUTING", "", "eth0")
    back.tap("node-2/eth0", "out").tap("node-1/eth0", "in").hook("PREROUTING", "eth0")
    back.translated_back("198.51.100.10:50984", "192.168.0.10:30080").hook("FORWARD", "eth0", "eth0")
    back.policy("filter", "FORWARD").hook("POSTROUTING", "", "eth0").tap("node-1/eth0", "out")
    back.tap("router/eth0", "in").tap("router/client", "out").tap("client/eth0", "in")
    return _told(
        asker="client",
        goal="node-1",
        original=asks,
        reply=Reply(
            status=200,
            pod="web-2",
            node="node-2",
            source=(ip_address("192.168.0.10"), 50281),
            local=(asks.src, asks.sport),
            latency_s=0.0014,
        ),
        legs=(
            there.leg("request", "tcp [S]", arrived("web-2")),
            back.leg("reply", "tcp [S.]", arrived("client")),
        ),
        endpoint="web-2",
        flows=(
            entry("node-1", "198.51.100.10:50984 192.168.0.10:30080", "10.244.2.2:8080 192.168.0.10:50281"),
            entry("node-2", "192.168.0.10:50281 10.244.2.2:8080", "10.244.2.2:8080 192.168.0.10:50281", id=8),
        ),
    )


def _unanswered(journey: Journey, error: str, latency_s: float, **more: Any) -> Journey:
    asks = journey.original
    reply = Reply(error=error, local=(asks.src, asks.sport), latency_s=latency_s)
    return replace(journey, **{"reply": reply, "endpoint": "", "flows": (), **more})


def reject() -> Journey:
    """A Service without endpoints refuses: the node's rule answers by ICMP."""
    asks = way("10.244.1.3:40102 10.96.0.10:80")
    there = Story(asks).from_pod("client-a").hook("PREROUTING", "cbr0")
    text = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
    there.rule("nat", "PREROUTING", 1, text, matters=False).policy("nat", "PREROUTING")
    there.add("route", text="10.96.0.10 via 192.168.0.1 dev eth0", out_interface="eth0", observed=False)
    there.hook("FORWARD", "cbr0", "eth0")
    text = '-m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
    there.rule("filter", "FORWARD", 3, text, matters=False)
    text = (
        '-d 10.96.0.10/32 -p tcp -m comment --comment "default/web:http has no endpoints" -m tcp --dport 80 '
        "-j REJECT --reject-with icmp-port-unreachable"
    )
    there.rule("filter", "KUBE-SERVICES", 1, text, service=WEB, moments=("reject",))
    refused = End(
        kind="refused",
        node="node-1",
        why="rule 1 of filter KUBE-SERVICES refuses it (default/web:http has no endpoints)",
    )
    back = Story(way("10.244.1.1:0 10.244.1.3:0"), time_ns=there.time_ns, node="node-1", mark=0)
    back.hook("OUTPUT", "", "cbr0").policy("filter", "OUTPUT").hook("POSTROUTING", "", "cbr0")
    back.to_pod("client-a")
    legs = (
        there.leg("request", "tcp [S]", refused),
        back.leg("refusal", "icmp port unreachable", arrived("client-a")),
    )
    return _unanswered(clusterip(), "refused", 0.0004, original=asks, legs=legs)


def drop() -> Journey:
    """A rule of somebody's drops the request behind the DNAT; the asker tries again and then gives up."""
    asks = way("10.244.1.3:40104 10.96.0.10:80")
    there = Story(asks).from_pod("client-a").hook("PREROUTING", "cbr0")
    there.to_service().choose(2)
    there.add("route", text="10.244.2.2 via 192.168.0.11 dev eth0", out_interface="eth0", observed=False)
    there.hook("FORWARD", "cbr0", "eth0")
    text = '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD'
    there.rule("filter", "FORWARD", 2, text, matters=False)
    text = '-p tcp -m tcp --dport 8080 -m comment --comment "no web today" -j DROP'
    there.rule("filter", "FORWARD", 5, text, moments=("drop",))
    end = End(kind="dropped", node="node-1", why="rule 5 of filter FORWARD drops it (no web today)")
    legs = (there.leg("request", "tcp [S]", end, times=2),)
    return _unanswered(clusterip(), "timeout", 1.5, original=asks, legs=legs, endpoint="web-2")


def policy() -> Journey:
    """The policy of a chain drops what no rule accepts."""
    found = drop()
    steps = found.legs[0].steps[:-1]
    ended = replace(
        steps[-1], kind="verdict", chain="FORWARD", rule=None, number=0, handle=0, verdict="drop", moments=("drop",),
        matters=True,
    )  # fmt: skip
    end = End(kind="dropped", node="node-1", why="the policy of filter FORWARD is drop")
    return replace(found, legs=(replace(found.legs[0], steps=(*steps, ended), end=end),))


def lost(*, known: bool = True) -> Journey:
    """The request leaves a hook and is not seen again; `known`: a counter of the kernel tells why."""
    asks = way("10.244.1.3:40106 10.244.2.2:8080")
    there = Story(asks).from_pod("client-a").hook("PREROUTING", "cbr0")
    there.tap("node-1/cbr0", "in", matters=False)
    if known:
        why = "no route to 10.244.2.2: IpInAddrErrors rose by 2"
        there.add("route", text="10.244.2.2: unreachable (ENETUNREACH)", moments=("lost",), observed=False)
    else:
        why = "last seen behind PREROUTING"
    end = End(kind="lost" if known else "unknown", node="node-1", why=why, observed=False)
    legs = (there.leg("request", "tcp [S]", end, times=2),)
    notes = () if known else ("node-1: the kernel had no room for 12 trace events: steps may be missing",)
    return _unanswered(
        clusterip(), "timeout", 1.5, goal="web-2", service="", original=asks, legs=legs, notes=notes
    )  # fmt: skip


def untranslated() -> Journey:
    """The reply takes a way on which nobody translates it back: the asker does not know it, and resets."""
    found = clusterip()
    asks = way("10.244.1.3:40108 10.96.0.10:80")
    there = Story(asks).from_pod("client-a").hook("PREROUTING", "cbr0")
    there.to_service().choose(1).postrouting("cbr0").made("destination").to_pod("web-1")
    back = Story(way("10.244.1.2:8080 10.244.1.3:40108"), time_ns=there.time_ns)
    back.from_pod("web-1")
    text = "bridged without iptables: net.bridge.bridge-nf-call-iptables is 0"
    back.add("bridge", interface="veth-web-1", out_interface="veth-client-a", text=text, observed=False)
    back.to_pod("client-a")
    why = "it came back untranslated: client-a asked 10.96.0.10:80, and knows nothing of 10.244.1.2:8080"
    end = End(kind="refused", node="client-a", why=why, observed=False)
    legs = (there.leg("request", "tcp [S]", arrived("web-1")), back.leg("reply", "tcp [S.]", end))
    return _unanswered(found, "timeout", 1.5, original=asks, legs=legs, endpoint="web-1")


def untouched() -> Journey:
    """A pod asks another one on its node, by UDP, without any Service."""
    asks = way("10.244.1.3:40110 10.244.1.2:5353")
    there = Story(asks).from_pod("client-a").hook("PREROUTING", "cbr0")
    there.policy("nat", "PREROUTING").forward("cbr0", "cbr0").postrouting("cbr0")
    there.made()
    there.add("bridge", interface="veth-client-a", out_interface="veth-web-1", matters=False)
    there.to_pod("web-1")
    back = Story(asks.inverse, time_ns=there.time_ns).from_pod("web-1")
    back.hook("PREROUTING", "cbr0").hook("FORWARD", "cbr0", "cbr0").policy("filter", "FORWARD")
    back.hook("POSTROUTING", "", "cbr0").to_pod("client-a")
    end = (asks.src, asks.sport)
    return _told(
        asker="client-a",
        goal="web-1",
        protocol="udp",
        original=asks,
        reply=Reply(pod="web-1", node="node-1", source=end, local=end, latency_s=0.0007),
        legs=(
            there.leg("request", "udp 5 bytes", arrived("web-1")),
            back.leg("reply", "udp 96 bytes", arrived("client-a")),
        ),
        service="",
        endpoint="",
        flows=(
            entry(
                "node-1",
                "10.244.1.3:40110 10.244.1.2:5353",
                "10.244.1.2:5353 10.244.1.3:40110",
                protocol="udp",
                tcp_state="",
            ),
        ),
    )


def in_circles() -> Journey:
    """Router and node send a packet to each other until its TTL is used up."""
    asks = way("198.51.100.10:40400 203.0.113.20:81")
    there = Story(asks).tap("client/eth0", "out", ttl=64)
    for left in range(64, 4, -2):
        there.tap("router/eth0", "in", ttl=left).tap("router/eth0", "out", ttl=left - 1)
        there.tap("node-1/eth0", "in", ttl=left - 1).hook("PREROUTING", "eth0")
        there.forward("eth0", "eth0").hook("POSTROUTING", "", "eth0").tap("node-1/eth0", "out", ttl=left - 2)
    end = End(kind="lost", node="node-1", why="its TTL was used up", observed=False)
    legs = (there.leg("request", "tcp [S]", end),)
    reply = Reply(error="unreachable", local=(asks.src, asks.sport), latency_s=0.0034)
    return replace(nodeport(), original=asks, reply=reply, legs=legs, service="", endpoint="", flows=())


EVERY = {
    "clusterip": clusterip,
    "hairpin": hairpin,
    "hairpin-off": lambda: hairpin(port=False),
    "nodeport": nodeport,
    "reject": reject,
    "drop": drop,
    "policy": policy,
    "lost": lost,
    "unknown": lambda: lost(known=False),
    "untranslated": untranslated,
    "untouched": untouched,
    "in-circles": in_circles,
}
"""Each of them, by name."""
