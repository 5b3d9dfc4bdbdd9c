"""Real packets go where the walk says: for every golden case, in both modes, from everywhere to everything.

A node between two namespaces: one holds all pods' addresses, the other one all the rest of the world. What became of a
new connection is read from the node's conntrack: an entry says where it was sent and as whom; without an entry it was
refused (its sender has an error) or dropped.
"""

from __future__ import annotations

import errno
import math
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from lab.kernel import command, conntrack, netns, rules, sysctl
from lab.model.address import Family, IPAddress, family_of
from lab.model.journey import Explanation, Journey, Packet, Protocol, Vantage
from lab.model.lab import Mode, Release
from lab.model.proxy_config import DetectLocal, IPTablesConfig, NFTablesConfig
from lab.model.service import ServiceUnit
from lab.parse import saved_rules
from lab.parse.cluster_files import ClusterFiles, load
from lab.proxy.explain import vantage_of
from lab.proxy.node import render
from lab.proxy.services import units
from lab.proxy.walk import explain

Inside = Callable[..., Any]
Fate = tuple[str, str, int, bool]
"""What is compared: accept, drop or reject; the address and port that it was sent to; whether it was masqueraded."""

CASES = Path(__file__).parents[1] / "golden" / "kube-proxy"
TOOLS: dict[rules.Tool, Mode] = {"iptables-nft": "iptables", "iptables-legacy": "iptables", "nft": "nftables"}
MISS = 1e-7  # how likely it may be that an endpoint is not seen by chance: a few hundred are looked for
DEADLINE_S = 5.0
PROTOCOLS: dict[Protocol, tuple[int, int]] = {"tcp": (socket.SOCK_STREAM, 6), "udp": (socket.SOCK_DGRAM, 17)}


@dataclass(frozen=True, slots=True)
class Case:
    """The rules of a node in one family, and what the walk says of each packet."""

    text: str
    counters: tuple[str, ...]
    found: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """Connections to make: from the namespace `netns` (each from the next of `sources`) to an address and port."""

    netns: str
    sources: tuple[str, ...]
    destination: str
    port: int
    protocol: Protocol


# --- what to try, and what the walk says of it -----------------------------------------------------------------------


def senders(objects: ClusterFiles, vantage: Vantage, family: Family) -> Iterator[IPAddress]:
    """Yield a pod of this node that is an endpoint and one that is none, outsiders, and the node itself."""
    own = next(network for network in vantage.pods if family_of(network) == family)
    yield own.network_address + 2
    yield own.network_address + 99
    outsiders = {"ipv4": ("198.51.100.7", "192.0.2.7", "8.8.8.8"), "ipv6": ("2001:db8:1::7",)}
    yield from map(ip_address, outsiders[family])
    other = {"ipv4": "10.244.2.77", "ipv6": "fd00:10:244:2::77"}
    yield ip_address(other[family])  # another node's pod
    yield next(address for address in node_ips(objects, family))


def node_ips(objects: ClusterFiles, family: Family) -> Iterator[IPAddress]:
    for entry in objects.nodes[0].status.addresses:
        if entry.type == "InternalIP" and family_of(ip_address(entry.address)) == family:
            yield ip_address(entry.address)


def frontends(objects: ClusterFiles, family: Family) -> Iterator[tuple[IPAddress, int, Protocol]]:
    """Yield every address and port that a Service has, ports beside them, and an address that no Service has."""
    (node,) = node_ips(objects, family)
    for unit in units(objects.services, objects.slices, family):
        protocol = protocol_of(unit)
        for address in (unit.cluster_ip, *unit.external_ips, *unit.load_balancer_ips):
            yield address, unit.port, protocol
        yield unit.cluster_ip, 81, protocol
        if protocol in PROTOCOLS:
            yield unit.cluster_ip, unit.port, "udp" if protocol == "tcp" else "tcp"
        if unit.node_port:
            yield node, unit.node_port, protocol
        if unit.health_check_node_port:
            yield node, unit.health_check_node_port, "tcp"
        for endpoint in unit.endpoints[:1]:
            yield endpoint.address, endpoint.port, protocol
    yield ip_address("10.96.200.200" if family == "ipv4" else "fd00:10:96::ffff"), 80, "tcp"
    yield node, 9, "tcp"


def protocol_of(unit: ServiceUnit) -> Protocol:
    return next(one for one in get_args(Protocol) if one.upper() == unit.protocol)


def packets(objects: ClusterFiles, vantage: Vantage, family: Family) -> Iterator[Packet]:
    targets = sorted(set(frontends(objects, family)), key=str)
    for source in senders(objects, vantage, family):
        for destination, port, protocol in targets:
            if vantage.is_pod(source) and vantage.is_pod(destination):
                continue  # they share a namespace here
            if source != destination:
                yield Packet(source=source, destination=destination, destination_port=port, protocol=protocol)
    if family == "ipv4":  # localhost NodePorts
        local = ip_address("127.0.0.1")
        for unit in units(objects.services, objects.slices, family):
            if unit.node_port:
                protocol = protocol_of(unit)
                yield Packet(source=local, destination=local, destination_port=unit.node_port, protocol=protocol)


def case_of(
    folder: Path,
    family: Family,
    mode: Mode,
    *,
    counters: bool,
    release: Release = "1.36",
    **fields: Any,  # noqa: ANN401
) -> Case:
    """Return a golden case; `fields` of its configuration may differ."""
    objects = load([str(folder / "objects.yaml"), str(folder / "proxy.yaml")])
    settings = msgspec.structs.replace(objects.settings[0], **fields)
    rendered = render(
        objects.services,
        objects.slices,
        objects.nodes,
        settings,
        family,
        mode=mode,
        release=release,
        service_cidrs=objects.service_cidrs,
        counters=counters,
    )
    vantage = replace(vantage_of(objects, settings, "node-1"), pod_is_bridged=False)  # cbr0 is a veth here
    text = rendered.restore_text()
    tables, _ = saved_rules.read(text, "rules")
    found = tuple(explain(tables, one, vantage) for one in packets(objects, vantage, family))
    return Case(text, getattr(rendered, "counters", ()), found)


def predicted(journey: Journey) -> Fate:
    fate = journey.fate
    if fate.kind != "accept":
        return fate.kind, "", 0, False
    return "accept", str(fate.destination), fate.port, bool(fate.masquerade)


def shares(found: Explanation) -> dict[Fate, float]:
    """Return each fate with its probability."""
    total: Counter[Fate] = Counter()
    for journey in found.journeys:
        total[predicted(journey)] += float(journey.share)  # type: ignore[assignment]
    return dict(total)


def try_of(found: Explanation, origin: str) -> Try:
    """Return as many connections as it takes to see every fate; each remembers its sender, so senders differ."""
    packet = found.packet
    least = min(shares(found).values())
    times = 1 if least > 0.999 else math.ceil(math.log(MISS) / math.log(1 - least))
    sources = [packet.source] * times
    if times > 1 and any("assumed to be empty" in note for note in found.notes):
        special = origin == "node" or any(str(packet.source) == fate[1] for fate in shares(found))
        sources = [packet.source + number for number in range(1 if special else times)]
    return Try(origin, tuple(map(str, sources)), str(packet.destination), packet.destination_port, packet.protocol)


# --- inside: the topology, and what becomes of connections -----------------------------------------------------------

SCRIPT = """\
link add eth0 netns node address 0a:00:00:00:00:01 type veth peer name eth0 netns outside address 0a:00:00:00:00:02
link add cbr0 netns node address 0a:00:00:00:00:03 type veth peer name eth0 netns pods address 0a:00:00:00:00:04
"""
LINES = {
    "node": """\
link set lo up
link set eth0 up
link set cbr0 up
address add {node}/{length} dev eth0 {nodad}
address add {gateway}/{length} dev cbr0 {nodad}
neigh add {router} dev eth0 lladdr 0a:00:00:00:00:02
neigh add {endpoint} dev cbr0 lladdr 0a:00:00:00:00:04
neigh add {stranger} dev cbr0 lladdr 0a:00:00:00:00:04
route add {pods} via {router}
route add default via {router}
""",
    "outside": """\
link set lo up
link set eth0 up
address add {router}/{length} dev eth0 {nodad}
neigh add {node} dev eth0 lladdr 0a:00:00:00:00:01
route add default via {node}
""",
    "pods": """\
link set lo up
link set eth0 up
address add {pod}/{length} dev eth0 {nodad}
neigh add {gateway} dev eth0 lladdr 0a:00:00:00:00:03
route add local {first} dev lo
route add local {others} dev lo
route add default via {gateway}
""",
}
WORDS: dict[Family, dict[str, str]] = {
    "ipv4": {
        "node": "192.168.0.10", "router": "192.168.0.1", "gateway": "10.244.1.1", "pod": "10.244.1.254",
        "endpoint": "10.244.1.2", "stranger": "10.244.1.99", "first": "10.244.1.2/31", "others": "10.244.1.64/26",
        "pods": "10.244.0.0/16", "length": "24", "nodad": "",
    },
    "ipv6": {
        "node": "fd00:c0a8::10", "router": "fd00:c0a8::1", "gateway": "fd00:10:244:1::1",
        "pod": "fd00:10:244:1::fffe", "endpoint": "fd00:10:244:1::2", "stranger": "fd00:10:244:1::63",
        "first": "fd00:10:244:1::2/127", "others": "fd00:10:244:1::40/122", "pods": "fd00:10:244::/48",
        "length": "64", "nodad": "nodad",
    },
}  # fmt: skip
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.route_localnet": "1",
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv6.icmp.ratelimit": "0",
    "net.ipv4.ip_nonlocal_bind": "1",
    "net.ipv6.ip_nonlocal_bind": "1",
}
BURSTS = ("net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst")


# A reset would end the conntrack entry that we want to read: nobody sends one.
QUIET = """\
table inet quiet {
	chain output {
		type filter hook output priority -400; policy accept;
		tcp flags & rst == rst drop
	}
}
"""


def build(family: Family, tool: rules.Tool, text: str, counters: Sequence[str]) -> None:
    """Make the three namespaces and load the rules into the node."""
    for name in LINES:
        with netns.inside(""):
            netns.create(name)
        with netns.inside(name):
            for key, value in SYSCTLS.items():
                sysctl.write(key, value)
            for key in filter(sysctl.exists, BURSTS):  # a namespace's own since Linux 6.13
                sysctl.write(key, "100000")
    command.check(("ip", "-batch", "-"), netns="", stdin=SCRIPT)
    flag = "-4" if family == "ipv4" else "-6"
    for name, lines in LINES.items():
        command.check(("ip", flag, "-batch", "-"), netns=name, stdin=lines.format(**WORDS[family]))
        command.check(("nft", "-f", "-"), netns=name, stdin=QUIET)
    with netns.inside("outside"):  # the other nodes' pods are out there, too
        lines = "".join(f"route add local {network} dev lo\n" for network in OUTSIDE[family])
        command.check(("ip", flag, "-batch", "-"), stdin=lines)
    rules.add_counters("node", counters)
    rules.restore([rules.Load(netns="node", tool=tool, family=family, text=text)])


OUTSIDE: dict[Family, tuple[str, ...]] = {
    "ipv4": ("198.51.100.0/26", "192.0.2.0/24", "8.8.8.0/24", "10.244.2.0/24"),
    "ipv6": ("2001:db8:1::/64", "fd00:10:244:2::/64"),
}
Sent = tuple[int, socket.socket, tuple[int, str, str, int, int]]


def send(tries: Sequence[Try], stack: ExitStack) -> list[Sent]:
    """Begin every connection; return each with the number of its try and what conntrack knows it by."""
    sent = []
    for name in LINES:
        with netns.inside(name):
            for number, one in enumerate(tries):
                for source in one.sources if one.netns == name else ():
                    kind, protocol = PROTOCOLS[one.protocol]
                    family = socket.AF_INET6 if ":" in source else socket.AF_INET
                    made = stack.enter_context(socket.socket(family, kind))
                    made.setblocking(False)  # noqa: FBT003 - the socket's own signature
                    made.bind((source, 0))
                    made.connect_ex((one.destination, one.port))
                    if one.protocol == "udp":
                        with suppress(PermissionError):  # what is dropped on its way out says so at once
                            made.send(b"x")
                    port = made.getsockname()[1]
                    sent.append((number, made, (protocol, source, one.destination, port, one.port)))
    return sent


def refused(sent: Sequence[Sent]) -> dict[int, int]:
    """Return the errors that have come, by the sockets' numbers."""
    poller = select.poll()
    for _, made, _ in sent:
        poller.register(made, select.POLLERR)
    numbers = {made.fileno(): made for _, made, _ in sent}
    return {fd: numbers[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for fd, _ in poller.poll(0)}


def observe(
    family: Family, tool: rules.Tool, text: str, counters: Sequence[str], tries: Sequence[Try], expected: Sequence[str]
) -> list[list[Fate]]:
    """Return what became of each connection of each try.

    `expected` says what is waited for: an error (`reject`), an entry or an error, or nothing, for it is looked at last
    (`drop`). What the node says to itself has an entry before it comes back by lo, to be refused there.
    """
    build(family, tool, text, counters)
    with ExitStack() as stack:
        sent = send(tries, stack)
        errors: dict[int, int] = {}
        deadline = time.monotonic() + DEADLINE_S
        while True:
            errors |= {fd: code for fd, code in refused(sent).items() if code}
            with netns.inside("node"):
                entries = {(one["protocol"], *one["original"]): one for one in conntrack.dump()}
            missing = (
                made.fileno() not in errors and (expected[number] == "reject" or key not in entries)
                for number, made, key in sent
                if expected[number] != "drop"
            )
            if not any(missing) or time.monotonic() > deadline:
                break
        fates: list[list[Fate]] = [[] for _ in tries]
        for number, made, key in sent:
            fates[number].append(fate_of(key, entries, errors.get(made.fileno(), 0)))
        return fates


def fate_of(key: tuple[int, str, str, int, int], entries: dict[Any, conntrack.Entry], error: int) -> Fate:
    entry = entries.get(key)
    tcp = key[0] == PROTOCOLS["tcp"][1]
    if entry is None or (tcp and error == errno.ECONNREFUSED):  # by ICMP: see `QUIET`
        return ("reject" if error == errno.ECONNREFUSED else f"errno {error}" if error else "drop"), "", 0, False
    endpoint, back, port, back_port = entry["reply"]
    return "accept", endpoint, port, (back, back_port) != (key[1], key[3])


# --- the comparison --------------------------------------------------------------------------------------------------


def family_cases() -> Iterator[tuple[Path, Family]]:
    for case in sorted(CASES.iterdir()):
        yield case, "ipv4"
        if "fd00:c0a8::10" in (case / "objects.yaml").read_text():
            yield case, "ipv6"


def _visible(fate: Fate, wanted: dict[Fate, float], times: int) -> Fate:
    """Return a fate as it was: the node is masqueraded as itself, and once in 64,000 times by the same port."""
    masqueraded = (*fate[:3], True)
    return masqueraded if times == 1 and fate not in wanted and masqueraded in wanted else fate


def origin_of(packet: Packet, vantage: Vantage) -> str:
    if vantage.is_local(packet.source):
        return "node"
    return "pods" if vantage.is_pod(packet.source) else "outside"


def compare(inside: Inside, made: Case, family: Family, tool: rules.Tool) -> None:
    tries = [try_of(one, origin_of(one.packet, one.vantage)) for one in made.found]
    expected = [one.journeys[0].fate.kind for one in made.found]
    seen = inside(observe, family, tool, made.text, made.counters, tries, expected)
    wrong = []
    for one, asked, fates in zip(made.found, tries, seen, strict=True):
        wanted = shares(one)
        observed = Counter(fates)
        if asked.netns == "node":
            observed = Counter(_visible(fate, wanted, observed[fate]) for fate in fates)
        if not observed.keys() <= wanted.keys() or (len(fates) > 1 and observed.keys() != wanted.keys()):
            wrong.append(f"{asked.sources[0]} -> {asked.destination}:{asked.port}: walk {wanted}, kernel {observed}")
    assert not wrong, "\n".join(wrong)
    assert len(tries) > 10


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    ("case", "family"), [pytest.param(case, family, id=f"{case.name}-{family}") for case, family in family_cases()]
)
def test_packets_go_where_the_walk_says(inside: Inside, case: Path, family: Family, tool: rules.Tool) -> None:
    compare(inside, case_of(case, family, TOOLS[tool], counters=inside(rules.nfacct_available)), family, tool)


CONFIGS: dict[str, dict[str, Any]] = {
    "bridge": {"detect_local_mode": "BridgeInterface", "detect_local": DetectLocal(bridge_interface="cbr0")},
    "prefix": {
        "detect_local_mode": "InterfaceNamePrefix",
        "detect_local": DetectLocal(interface_name_prefix="cbr"),
    },
    "node-cidr": {"detect_local_mode": "NodeCIDR"},
    "none": {"cluster_cidr": ""},
    "bit-31": {
        "iptables": IPTablesConfig(masquerade_bit=31, localhost_node_ports=False),
        "nftables": NFTablesConfig(masquerade_bit=31, masquerade_all=True),
    },
    "addresses": {"node_port_addresses": ("192.168.0.0/24", "127.0.0.0/8")},
}


@pytest.mark.parametrize("tool", ["iptables-nft", "nft"])
@pytest.mark.parametrize("config", CONFIGS)
def test_packets_go_where_the_walk_says_in_every_configuration(inside: Inside, config: str, tool: rules.Tool) -> None:
    folder = CASES / "external-traffic-policy-local"
    counters = inside(rules.nfacct_available)
    compare(inside, case_of(folder, "ipv4", TOOLS[tool], counters=counters, **CONFIGS[config]), "ipv4", tool)


# Where the shape of 1.20 differs: KUBE-XLB, KUBE-MARK-DROP, two rules where today's chains have one.
CLASSIC = (
    "external-ips",
    "external-traffic-policy-local",
    "loadbalancer-source-ranges",
    "masquerade-all",
    "no-endpoints",
)


@pytest.mark.parametrize("case", CLASSIC)
def test_packets_go_where_the_walk_says_in_the_classic_shape(inside: Inside, case: str) -> None:
    tool: rules.Tool = "iptables-legacy" if case == "external-ips" else "iptables-nft"
    made = case_of(CASES / case, "ipv4", "iptables", counters=False, release="classic")
    compare(inside, made, "ipv4", tool)


OTHERS: dict[rules.Tool, str] = {
    "iptables-nft": """\
*mangle
:OTHER - [0:0]
-A PREROUTING -p tcp -m multiport --dports 1001,1003:1005 -j CONNMARK --set-xmark 0x80/0x80
-A PREROUTING -m connmark --mark 0x80/0x80 -j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xff
-A FORWARD -p tcp -m tcp --dport 1002 -g OTHER
-A OTHER -m comment --comment "it's \\"odd\\" -j ACCEPT" -j DROP
COMMIT
*filter
-A FORWARD -m mark --mark 0x80/0xf0 -j DROP
-A FORWARD -p tcp -m iprange --src-range 198.51.100.0-198.51.100.9 -m tcp --dport 1010 -j REJECT
-A FORWARD -p tcp -m tcp --dport 1011 --tcp-flags FIN,SYN,RST,ACK SYN -j DROP
-A FORWARD -p tcp -m tcp --dport 1012 --tcp-flags ALL ACK -j DROP
-A FORWARD -p tcp -m tcp --dport 1013 -m addrtype --dst-type UNICAST -j DROP
-A FORWARD -p tcp -m tcp --dport 1014 -m addrtype --dst-type LOCAL,MULTICAST -j DROP
-A FORWARD -p tcp -m tcp --dport 1015 -m recent --update --seconds 30 --hitcount 2 --name A --rsource -j DROP
-A FORWARD -p tcp -m conntrack --ctstate DNAT -j REJECT
-A FORWARD -p tcp -m tcp --dport 1016 -s 198.51.100.7/255.0.255.255 -j DROP
-A INPUT -i lo -p tcp -m tcp --dport 1041 -m addrtype --src-type LOCAL -j REJECT
-A OUTPUT -o lo -p tcp -m multiport --dports 1042,1043 -j REJECT
COMMIT
*nat
-A PREROUTING -p tcp -m tcp --dport 1020 -j DNAT --to-destination 10.244.1.2:8080
-A POSTROUTING -p tcp -m tcp --dport 1030 -j SNAT --to-source 192.168.0.10
COMMIT
""",
    "nft": """\
table inet others {
	set blocked {
		type ipv4_addr . inet_proto . inet_service
		flags interval
		elements = { 203.0.113.0/24 . tcp . 1001-1005, 203.0.113.9 . tcp . 1020 }
	}
	chain early {
		type filter hook prerouting priority mangle; policy accept;
		tcp dport { 1010, 1011 } ct mark set 0x00000010
		tcp dport 1011 meta mark set ct mark | 0x00000001
		tcp dport 1012 ct mark set meta mark ^ 0x00000003
		iifname "lo" tcp dport 1040 reject
	}
	chain forward {
		type filter hook forward priority 10; policy accept;
		ip daddr . meta l4proto . th dport @blocked drop
		ct state vmap { established : accept, invalid : drop, new : jump fresh }
		tcp dport 1030 drop
	}
	chain input {
		type filter hook input priority filter; policy accept;
		fib saddr type local tcp dport 1041 reject
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ip daddr 127.0.0.0/8 drop
		oifname "lo" tcp dport { 1042, 1043 } reject
	}
	chain fresh {
		meta mark & 0x00000001 == 0x00000001 reject
		ct mark 0x00000010 drop
		ct mark 0x00000003 reject
		tcp dport 1013 tcp flags syn / fin,syn,rst,ack drop
		tcp dport 1014 tcp flags rst drop
		icmp type echo-request drop
		ip saddr != { 198.51.100.0/26, 10.244.0.0-10.244.255.255 } tcp dport 1015 drop
		tcp dport vmap { 1016-1018 : drop, 1019 : return, 1030 : accept }
	}
	chain out {
		type nat hook postrouting priority srcnat; policy accept;
		meta nfproto ipv6 drop
		ip protocol tcp tcp dport 1031 snat ip to 192.168.0.10
	}
}
""",
}


@pytest.mark.parametrize("tool", OTHERS)
def test_packets_go_where_the_walk_says_through_other_peoples_rules(inside: Inside, tool: rules.Tool) -> None:
    """What is known beside kube-proxy's own rules: as CNIs, firewalls and administrators write them."""
    objects = load([str(CASES / "clusterip" / name) for name in ("objects.yaml", "proxy.yaml")])
    vantage = vantage_of(objects, objects.settings[0], "node-1")
    tables, _ = saved_rules.read(OTHERS[tool], "others")
    packets = [
        Packet(source=ip_address(source), destination=ip_address("203.0.113.9"), destination_port=port)
        for source in ("198.51.100.7", "8.8.8.8", "10.244.1.99")
        for port in (999, *range(1001, 1006), *range(1010, 1022), 1030, 1031)
    ]
    node = ip_address("192.168.0.10")
    packets += [Packet(source=node, destination=node, destination_port=port) for port in range(1039, 1044)]
    found = tuple(explain(tables, one, vantage) for one in packets)
    compare(inside, Case(OTHERS[tool], (), tuple(one for one in found if not one.journeys[0].assumed)), "ipv4", tool)


def test_ipv6_is_tried_too() -> None:
    assert {family for _, family in family_cases()} == {"ipv4", "ipv6"}
