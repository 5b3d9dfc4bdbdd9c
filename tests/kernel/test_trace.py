"""The evidence of one request: complete, the same in each tool's rules, and without a trace of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from typing import Any

import pytest

from lab.errors import KernelError
from lab.journey import assemble
from lab.kernel import command, join, netns, network, nf_tables, trace_table
from lab.kernel.netlink import NETLINK_NETFILTER, open_in
from lab.model.request import Request
from lab.model.trace import OWN_TABLE, Event, Evidence
from lab.packets import trace, tracing
from lab.standing import observe, session
from tests import commandline

from .conftest import ROOT, Invoke, lab_of_module

TOOLS = {
    "iptables-nft": ("--mode", "iptables", "--iptables", "nft"),
    "iptables-legacy": ("--mode", "iptables", "--iptables", "legacy"),
    "nft": ("--mode", "nftables"),
}
DEADLINE_S = 20
NODES = ("node-1", "node-2")
Lab = Callable[..., Invoke]
Inside = Callable[..., Any]


@pytest.fixture(scope="module", params=TOOLS)
def tool(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give what the rules of a lab that stands, the topology `clusterip`, are made by; tests leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        patch.delenv("HAIRPIN_LAB", raising=False)
        built = commandline.run("lab.up", "clusterip", *TOOLS[request.param])
        assert built.returncode == 0, built.stderr
        yield request.param
        commandline.run("lab.down", "--all")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Invoke]:
    """Give tasks on the topology `clusterip` as it is."""
    with lab_of_module(tmp_path_factory, "clusterip") as invoke:
        yield invoke


def asked(source: str = "client-a", to: str = "svc/web", **more: Any) -> Request:
    request, _ = observe.request(session.attach().cluster, source, to, port=None, protocol="tcp")
    return replace(request, **more)


def until(node: str, source: str = "client-a", to: str = "svc/web") -> Evidence:
    """Return the evidence of the first request that a pod of `node` answers (of 40: luck fails once in 10^12)."""
    found = (trace.trace(session.attach(), source, to) for _ in range(40))
    return next(one for one in found if one.reply.node == node)


def rules(name: str) -> str:
    """Return all rules of a namespace of this capsule, without what counts."""
    argv = (
        ("nft", "-s", "list", "ruleset"),
        ("iptables-legacy-save",),
        ("sysctl", "-a", "--pattern", "nf_log|conntrack_(acct|timestamp)"),
    )
    text = "".join(end.stdout for end in command.run_all([command.Command(argv=one, netns=name) for one in argv]))
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", ":")))


def everything() -> dict[str, str]:
    def look() -> dict[str, str]:
        return {name: rules(name) for name in (*NODES, "client-a", "web-1", "router")}

    return session.attach().call(look)


def own_tables() -> list[str]:
    def look() -> list[str]:
        found = []
        for name in NODES:
            with netns.inside(name):
                found += [table for _, table in nf_tables.tables() if table.startswith(OWN_TABLE)]
        return found

    return session.attach().call(look)


def wait_until(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not happen"


def ways(found: Evidence, netns: str) -> list[str]:
    """Return our chains that showed the request's first packet in a namespace."""
    syn = next(one.packet.identity for one in found.taps if one.packet.info == "[S]")
    seen = [one for one in found.events if one.netns == netns and one.packet and one.packet.identity == syn]
    return [one.chain for one in seen if one.table == OWN_TABLE]


FORWARDED = [
    "prerouting-first",
    "prerouting-last",
    "forward-first",
    "forward-last",
    "postrouting-first",
    "postrouting-last",
]


def test_every_hook_of_every_node_shows_the_packet_and_its_rules(tool: str) -> None:
    found = until("node-2")
    assert found.tool == tool
    assert (found.lost, found.left_out) == ({}, 0)
    assert [ways(found, node) for node in NODES] == [FORWARDED, FORWARDED]
    met = [one for one in found.events if one.netns == "node-1" and one.table != OWN_TABLE and one.kind == "rule"]
    assert any("WEB" in one.chain.upper() or one.chain.startswith("KUBE-SVC-") for one in met)
    assert all(one.number if tool == "iptables-legacy" else one.handle for one in met)


@pytest.mark.usefixtures("tool")
def test_taps_follow_the_packet_from_the_asker_to_the_pod() -> None:
    found = until("node-2")
    syn = next(one.packet.identity for one in found.taps if one.packet.info == "[S]")
    way = [
        (one.netns, one.interface, one.direction, str(one.packet.destination))
        for one in found.taps
        if one.packet.identity == syn
    ]
    assert way[0] == ("client-a", "eth0", "out", "10.96.0.10")
    assert way[-1] == ("web-2", "eth0", "in", "10.244.2.2")
    assert {("node-1", "eth0", "out", "10.244.2.2"), ("node-2", "eth0", "in", "10.244.2.2")} <= set(way)
    assert [one.time_ns for one in found.taps] == sorted(one.time_ns for one in found.taps)


def test_listings_name_each_rule_that_was_met(tool: str) -> None:
    found = until("node-2")
    assert {one.netns for one in found.listings} == set(NODES)
    assert {(one.tool, one.family, one.steady) for one in found.listings} == {(tool, "ipv4", True)}
    for one in found.events:
        if one.kind == "rule" and one.table != OWN_TABLE and tool != "iptables-legacy":
            handles = next(listing.handles for listing in found.listings if listing.netns == one.netns)
            assert one.handle in handles[one.family, one.table, one.chain]
    if tool == "iptables-nft":
        listing = found.listings[0]
        chain = next(one.chain for one in found.events if one.chain.startswith("KUBE-SVC-"))
        assert listing.text.count(f"-A {chain} ") == len(listing.handles["ip", "nat", chain])


@pytest.mark.usefixtures("tool")
def test_flows_are_those_of_the_request_on_all_nodes() -> None:
    found = until("node-2", source="node-1")
    assert [(one.node, one.dnat, one.snat) for one in found.flows] == [("node-1", True, True), ("node-2", False, False)]
    ids = {one.ct_id for one in found.events if one.netns == "node-1" and one.ct_id}
    assert ids == {found.flows[0].id}


def test_a_request_that_nobody_answers_ends_with_a_verdict(tool: str) -> None:
    found = trace.trace(session.attach(), "client-a", "svc/web", port=81, timeout_s=3.0 if tool == "nft" else 0.3)
    assert found.reply.error == ("refused" if tool == "nft" else "timeout")  # perhaps only the second SYN's refusal
    met = [one for one in found.events if one.packet and one.packet.protocol == "icmp"]
    assert {one.packet.inner.destination_port for one in found.taps if one.packet.inner} == ({81} if met else set())
    assert bool(met) == (tool == "nft")
    assert {one.netns for one in found.events} == {"node-1"}


@pytest.mark.usefixtures("tool")
def test_nothing_is_left_behind() -> None:
    before = everything()
    trace.trace(session.attach(), "client-a", "svc/web")
    assert everything() == before


UNANSWERED = """
from dataclasses import replace
from lab.packets import trace
from lab.standing import observe, session
lab = session.attach()
request, _ = observe.request(lab.cluster, "client-a", "svc/echo", port=None, protocol="udp")
trace.of(lab, replace(request, path='{"pod": "x"}', timeout_s=60))
"""


@pytest.mark.usefixtures("tool")
def test_nothing_is_left_behind_by_a_trace_that_is_killed_amid_its_request() -> None:
    before = everything()
    with subprocess.Popen([sys.executable, "-c", UNANSWERED], cwd=ROOT) as process:
        wait_until(lambda: len(own_tables()) == len(NODES), "the trace")
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not own_tables(), "the end of the tables")
    assert everything() == before


@pytest.mark.usefixtures("plain")
def test_two_traces_in_one_lab_do_not_see_each_other_s_tables() -> None:
    lab = session.attach()
    requests = [asked(local_port=port) for port in (41001, 41002)]
    calls = [join.Call(lab.record.keeper, partial(tracing.work, trace.job(lab.cluster, one))) for one in requests]
    for one, call in zip(requests, calls, strict=True):
        found = call.result()
        assert found.reply.answered
        assert len(ways(found, "node-1")) == len(FORWARDED)
        assert {packet_port(event) for event in found.events if event.packet} == {one.local_port}


def test_replies_from_where_nobody_should_answer_are_traced_too(lab: Lab) -> None:
    lab("clusterip", *TOOLS["iptables-nft"])
    wrong = "-I PREROUTING -p tcp -d 192.168.0.10 --dport 80 -j DNAT --to-destination 10.244.2.2:9"
    masquerade = "-I POSTROUTING -p tcp --dport 9 -j MASQUERADE"
    for rule in (wrong, masquerade):
        argv = ("iptables-nft", "-t", "nat", *rule.split())
        session.attach().call(partial(command.check, argv, netns="node-1"))
    found = trace.trace(session.attach(), "client", "192.168.0.10:80")
    assert found.reply.error == "refused"
    reply = [one for one in found.events if one.packet and str(one.packet.source) == "10.244.2.2"]
    assert [one.chain for one in reply if one.netns == "node-1" and one.table == OWN_TABLE] == FORWARDED[1:-1]


def packet_port(event: Event) -> int:
    assert event.packet
    return max(event.packet.source_port, event.packet.destination_port)


def test_labs_with_the_same_addresses_are_traced_at_once(lab: Lab) -> None:
    for name in ("one", "two"):
        lab("clusterip", "--lab", name)
    labs = [session.attach(name) for name in ("one", "two")]
    request = observe.request(labs[0].cluster, "client-a", "svc/web", port=None, protocol="tcp")[0]
    calls = [join.Call(one.record.keeper, partial(tracing.work, trace.job(one.cluster, request))) for one in labs]
    for found in [call.result() for call in calls]:
        assert len(ways(found, "node-1")) == len(FORWARDED)
        assert len({one.packet.source_port for one in found.taps if one.packet.info == "[S]"}) == 1


LIMITED = """
import resource, sys
from dataclasses import replace
from functools import partial
from lab.ask import traffic
from lab.packets import trace
from lab.standing import observe, session
from lab.kernel import join

resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20))
lab = session.attach()
request = observe.request(lab.cluster, "client-a", "svc/web", port=None, protocol="tcp")[0]
others = int(sys.argv[2])
many = partial(traffic.requests, [request] * others, concurrency=500)
calls = [join.Call(lab.record.keeper, many) for _ in range(bool(others))]
found = trace.of(lab, replace(request, path=sys.argv[1]))
assert all(one.answered for call in calls for one in call.result())
ours = found.reply.local[1]
syn = next(one.packet.identity for one in found.taps if one.packet.info == "[S]" and one.packet.source_port == ours)
pod = found.reply.pod or next(one.netns for one in found.taps if one.netns in ("web-1", "web-2"))
arrived = any(one.netns == pod and one.packet.identity == syn for one in found.taps)
shown = [one.chain for one in found.events if one.netns == "node-1" and one.packet and one.packet.identity == syn]
print(found.reply.answered, arrived, "postrouting-last" in shown, bool(found.lost), found.left_out)
"""


@pytest.mark.parametrize(("path", "others"), [("/bytes?size=3000000", 0), ("/", 500)])
@pytest.mark.usefixtures("plain")
def test_many_packets_are_told_or_their_loss_is_and_memory_stays_below_300_mb(path: str, others: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, str(others)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answered, arrived, shown, lost, left_out = done.stdout.split()
    assert answered == "True"
    assert (arrived, shown) == ("True", "True") or lost == "True" or int(left_out)
    if os.geteuid() == 0 and not others:  # root's buffers may be as large as it takes
        assert (lost, left_out) == ("False", "0")


def test_a_pod_is_traced_only_if_it_has_rules_of_its_own(lab: Lab) -> None:
    invoke = lab("clusterip")
    drop = "add table ip own; add chain ip own out { type filter hook output priority 0; }; add rule ip own out drop"
    assert invoke("lab.exec", "client-a", f"nft '{drop}'").returncode == 0
    found = trace.trace(session.attach(), "client-a", "svc/web", timeout_s=0.3)
    assert found.reply.error == "timeout"
    seen = [(one.table, one.chain, one.kind, one.verdict) for one in found.events if one.netns == "client-a"]
    assert seen[:2] == [(OWN_TABLE, "output-first", "policy", "accept"), ("own", "out", "rule", "drop")]
    assert json.loads(next(one.text for one in found.listings if one.netns == "client-a"))["nftables"]
    assert not [one for one in found.events if one.netns == "web-1"]


@pytest.mark.parametrize("name", TOOLS)
def test_a_change_of_rules_amid_a_request_is_told(lab: Lab, name: str) -> None:
    lab("clusterip", *TOOLS[name])
    standing = session.attach()
    request, _ = observe.request(standing.cluster, "client-a", "svc/echo", port=None, protocol="udp")
    silent = replace(request, path='{"pod": "x"}', timeout_s=2.0)
    call = join.Call(standing.record.keeper, partial(tracing.work, trace.job(standing.cluster, silent)))
    wait_until(lambda: len(own_tables()) == len(NODES), "the trace")
    wait_until(partial(under_way, standing), "the request")
    program = "iptables-legacy" if name == "iptables-legacy" else "iptables-nft"
    standing.call(partial(command.check, (program, "-A", "FORWARD", "-s", "192.0.2.1"), netns="node-1"))
    found = call.result()
    assert {one.netns: one.steady for one in found.listings}["node-1"] is False


def under_way(standing: session.Standing) -> bool:
    """Return whether the traced datagram has left: conntrack knows it."""
    return any(one.original.dport == 53 for one in standing.call(partial(observe.flows_on, ["node-1"])))


FOUR, SIX = (2, bytes([10, 96, 0, 10])), (10, bytes(15) + b"\1")


@pytest.mark.parametrize(("version", "address"), [FOUR, SIX], ids=("IPv4", "IPv6"))
def test_nft_reads_our_table_as_it_is_described(inside: Inside, version: int, address: bytes) -> None:
    wanted = trace_table.Wanted(
        family=version, protocol=6, ends=((address, 80), (address, 8080)), askers=(address,), replies=True
    )
    text = inside(listed, trace_table.made("x", wanted))
    ip, icmp = ("ip", "icmp") if version == FOUR[0] else ("ip6", "icmpv6")
    original = f"ct original {ip} daddr . ct original proto-dst"
    nfproto = "ipv4" if version == FOUR[0] else "ipv6"
    assert "flags owner" in text
    for line in (
        f"{ip} daddr . tcp dport @ends meta nftrace set 1 accept",
        f"{ip} saddr . tcp sport @ends meta nftrace set 1 accept",
        f"meta l4proto tcp {ip} saddr @askers meta nftrace set 1 accept",
        f"meta l4proto tcp {ip} daddr @askers meta nftrace set 1 accept",
        f"{icmp} type @errors meta nftrace set 1 accept",
        f"meta nfproto {nfproto} meta l4proto tcp {original} @ends meta nftrace set 1 accept",
    ):
        assert text.count(f"\t\t{line}\n") == 2, line  # at prerouting and at output
    for hook in trace_table.HOOKS:
        assert f"type filter hook {hook} priority raw - 10; policy accept;" in text
        assert f"type filter hook {hook} priority 310; policy accept;" in text


def listed(messages: list[Any]) -> str:
    with open_in("", NETLINK_NETFILTER) as owner:
        assert owner.transaction(messages, trace_table.SUBSYSTEM) == []
        text = command.check(("nft", "list", "ruleset"), netns="")
    assert command.check(("nft", "list", "ruleset"), netns="") == ""
    return text


@pytest.mark.usefixtures("plain")
def test_routes_and_links_are_what_ip_says() -> None:
    def look() -> tuple[Any, ...]:
        with netns.inside("node-1"):
            told = [
                network.route(ip_address(to).packed, ip_address(source).packed if source else b"", iif, 0)
                for to, source, iif in QUESTIONS
            ]
            links = network.links()
            addresses = json.loads(command.check(("ip", "-j", "address")))
            ports = json.loads(command.check(("bridge", "-j", "-d", "link")))
        return told, links, addresses, ports

    told, links, addresses, ports = session.attach().call(look)
    assert [(one.kind, one.oif, one.gateway and str(ip_address(one.gateway))) for one in told] == [
        ("unicast", "eth0", "192.168.0.11"),
        ("unicast", "cbr0", b""),
        ("local", "lo", b""),
        ("ENODEV", "", b""),
        ("unicast", "eth0", "192.168.0.1"),
    ]
    assert {one.name: [str(ip_address(packed)) for packed in one.addresses] for one in links} == {
        one["ifname"]: [info["local"] for info in one["addr_info"]] for one in addresses
    }
    assert {one.name: one.mtu for one in links} == {one["ifname"]: one["mtu"] for one in addresses}
    assert {one.name: one.up for one in links} == {one["ifname"]: "LOWER_UP" in one["flags"] for one in addresses}
    assert {one.name: one.hairpin for one in links if one.hairpin is not None} == {
        one["ifname"]: one["hairpin"] for one in ports
    }


REFUSED = (("10.99.1.1", "blackhole 10.99.1.0/24"), ("10.99.2.1", "unreachable 10.99.0.0/16"), ("10.98.0.1", ""))


@pytest.mark.usefixtures("plain")
def test_what_refuses_a_route_which_links_are_set_down_and_who_is_next_is_what_ip_says() -> None:
    def look() -> tuple[Any, ...]:
        with netns.inside("client-a"):
            for change in (
                "route add unreachable 10.99.0.0/16", "route add blackhole 10.99.1.0/24", "link set eth0 down",
                "neigh add 10.244.1.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent",
            ):  # fmt: skip
                command.check(("ip", *change.split()))
            told = [network.refusing(ip_address(to).packed) for to, _ in REFUSED]
            links, said = network.links(), json.loads(command.check(("ip", "-j", "link")))
            neighbours = network.neighbours()
            for change in (
                "route del unreachable 10.99.0.0/16", "route del blackhole 10.99.1.0/24", "link set eth0 up",
                "route add default via 10.244.1.1", "neigh flush all nud permanent",
            ):  # fmt: skip
                command.check(("ip", *change.split()))
        with netns.inside("node-1"):
            port = next(one for one in network.links() if one.name == "veth-client-a")
        return told, links, said, neighbours, port

    told, links, said, neighbours, port = session.attach().call(look)
    assert told == [refusing for _, refusing in REFUSED]
    assert {one.name: (one.enabled, one.mac.hex(":")) for one in links} == {
        one["ifname"]: ("UP" in one["flags"], one["address"]) for one in said
    }
    eth0 = next(one for one in links if one.name == "eth0")
    assert (eth0.number, eth0.peer, port.number, port.peer) == (port.peer, port.number, eth0.peer, eth0.number)
    assert (port.enabled, eth0.enabled) == (True, False)
    assert ("eth0", ip_address("10.244.1.77").packed, bytes.fromhex("020000000077"), "PERMANENT") in neighbours


FAULTS = {
    "web-2|ip route replace blackhole default": "web-2 has the route 'blackhole default' for 10.244.1.3",
    "web-2|ip route replace default via 10.244.2.77": "no packet was sent: nobody answered who has 10.244.2.77",
    "web-2|ip link set eth0 down": "eth0 of web-2 is administratively down",
    "node-2|ip link set veth-web-2 down": "veth-web-2 of node-2 is administratively down",
    "node-1|ip neigh replace 192.168.0.11 lladdr 02:00:00:00:00:99 dev eth0 nud permanent":
        "it was sent to MAC 02:00:00:00:00:99, which is not node-2's",
    "node-1|ip route add prohibit 10.244.2.2": "node-1 has the route 'prohibit 10.244.2.2' for 10.244.2.2",
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_was_put_in_is_told_as_the_reason(lab: Lab, fault: str) -> None:
    invoke = lab("clusterip")
    place, _, words = fault.partition("|")
    assert invoke("lab.exec", place, words).returncode == 0
    ends = [leg.end for leg in assemble(trace.trace(session.attach(), "client-a", "pod/web-2", timeout_s=0.3)).legs]
    assert FAULTS[fault] in next(end.why for end in ends if end.kind != "delivered")


QUESTIONS = (
    ("10.244.2.2", "", ""),
    ("10.244.1.2", "10.244.2.2", "eth0"),
    ("10.244.1.1", "", ""),
    ("10.244.1.1", "", "eth9"),
    ("203.0.113.9", "", ""),
)


@pytest.mark.usefixtures("plain")
def test_counters_that_rose_are_told() -> None:
    found = trace.trace(session.attach(), "client-a", "pod/web-2", port=9)
    assert found.reply.error == "refused"
    assert found.risen["web-2"]["Tcp.OutRsts"] == 1
    assert found.sysctls["node-1"]["net.ipv4.ip_forward"] == "1"
    assert found.sysctls["node-1"]["net.ipv4.conf.cbr0.rp_filter"] == "0"


def test_a_second_listener_to_iptables_legacy_is_refused_in_words(lab: Lab) -> None:
    lab("clusterip", *TOOLS["iptables-legacy"])
    standing = session.attach()
    request, _ = observe.request(standing.cluster, "client-a", "svc/echo", port=None, protocol="udp")
    silent = replace(request, path='{"pod": "x"}', timeout_s=5.0)
    call = join.Call(standing.record.keeper, partial(tracing.work, trace.job(standing.cluster, silent)))
    try:
        wait_until(lambda: len(own_tables()) == len(NODES), "the trace")
        with pytest.raises(KernelError, match="in node-1: listening to iptables-legacy's TRACE") as refused:
            trace.of(standing, request)
        assert "one listener" in refused.value.hint
    finally:
        call.kill()


@pytest.mark.parametrize("words", ["lab.trace client-a svc/web", "lab.curl web-2 svc/web", "lab.exec web-2 true"])
def test_a_place_that_was_removed_behind_the_labs_back_is_told(
    lab: Lab, capfd: pytest.CaptureFixture[str], words: str
) -> None:
    invoke = lab("clusterip")
    session.attach().call(partial(netns.remove, "web-2"))
    done = invoke(*words.split())
    told = done.stderr + capfd.readouterr().err  # a program's place is entered by its own process
    assert done.returncode not in (0, 1)
    assert told.startswith("error: web-2: no such network namespace in this lab\n  hint: `invoke lab.check` puts back")
    assert "Traceback" not in told
