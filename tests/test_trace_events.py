"""Trace events and taps: recorded bytes of the kernel's (6.18) made into what a journey is assembled of.

`tests/golden/trace-events/` has netlink datagrams as they came: those of a datagram's way through prerouting, and of
some of its forwarding, with iptables-nft's rules and with iptables-legacy's.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kernel.trace_events import cut
from lab.model.flow import Flow, Tuple
from lab.model.packet import Packet
from lab.model.request import Reply, Request
from lab.model.trace import OWN_TABLE, Event, Evidence, Link, Listing, Route, RouteQuestion, Tap
from lab.parse import trace_json
from lab.parse.frame import frame
from lab.parse.trace import Concerned, events, packet

from .test_frame import A6, B6, ICMP_PORT, A, B, ethernet, ipv4, ipv6, tcp, udp

GOLDEN = Path(__file__).parent / "golden" / "trace-events"
Datagrams = list[tuple[str, bytes]]


def recorded(name: str) -> tuple[Datagrams, dict[str, dict[int, str]]]:
    raw = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    names = {netns: {int(number): link for number, link in links.items()} for netns, links in raw["interfaces"].items()}
    return [(netns, base64.b64decode(data)) for netns, data in raw["datagrams"]], names


def own_table(datagrams: Datagrams) -> str:
    return next(raw.parts[1].rstrip(b"\0").decode() for raw in cut(datagrams) if raw.parts[1].startswith(b"hairpin"))


def told(name: str) -> list[Event]:
    datagrams, names = recorded(name)
    return list(events(cut(datagrams), names, own_table(datagrams)))


def short(one: Event) -> tuple[str, ...]:
    return (one.table, one.chain, one.kind, one.verdict, one.target)


def test_nf_tables_events_are_rules_ends_of_chains_and_policies_in_their_order() -> None:
    assert [short(one) for one in told("nft")] == [
        (OWN_TABLE, "prerouting-first", "policy", "accept", ""),
        ("nat", "PREROUTING", "rule", "jump", "KUBE-SERVICES"),
        ("nat", "KUBE-SERVICES", "rule", "jump", "KUBE-SVC-RXFQR3KSQRKK5KB6"),
        ("nat", "KUBE-SEP-EKXN5WRIVIY6PPFW", "rule", "accept", ""),
        (OWN_TABLE, "prerouting-last", "policy", "accept", ""),
        ("filter", "FORWARD", "return", "continue", ""),
        ("filter", "FORWARD", "policy", "accept", ""),
    ]


def test_an_event_has_what_the_kernel_told_of_the_packet() -> None:
    first, jump, second, dnat, last, *_ = told("nft")
    assert (first.netns, first.family, jump.family) == ("node-1", "inet", "ip")
    assert len({one.id for one in (first, jump, second, dnat, last)}) == 1
    assert (jump.handle, second.handle, first.handle) == (0xD, 0x12, 0)
    assert (first.iif, first.oif, second.iif) == ("cbr0", "", "")
    assert (first.ct_id, jump.ct_id) == (0, last.ct_id)
    assert jump.ct_id
    assert (jump.mark, jump.marked_before) == (0, False)
    assert first.packet is not None
    assert last.packet is not None
    assert second.packet is None
    assert (str(first.packet.destination), first.packet.destination_port) == ("10.96.0.11", 53)
    assert (str(last.packet.destination), last.packet.destination_port) == ("10.244.1.2", 5353)
    assert first.packet.identity == last.packet.identity


def test_legacy_events_come_by_the_log_between_those_of_our_chains() -> None:
    found = told("legacy")
    assert [(one.table, one.chain, one.kind, one.number) for one in found] == [
        (OWN_TABLE, "prerouting-first", "policy", 0),
        ("mangle", "PREROUTING", "policy", 1),
        ("nat", "PREROUTING", "rule", 1),
        ("nat", "KUBE-SERVICES", "rule", 1),
        ("mangle", "FORWARD", "policy", 1),
        ("filter", "KUBE-PROXY-FIREWALL", "return", 1),
        (OWN_TABLE, "forward-last", "policy", 0),
    ]
    forward = found[4]
    assert (forward.iif, forward.oif, forward.physin, forward.physout) == (
        "cbr0",
        "cbr0",
        "veth-client-a",
        "veth-web-1",
    )
    assert (forward.marked_before, forward.verdict, forward.family) == (True, "", "ip")
    assert forward.time_ns is not None
    assert all(one.packet and one.packet.identity == found[0].packet.identity for one in found if found[0].packet)


def test_what_another_rule_logs_is_no_event() -> None:
    raw = next(one for one in cut(recorded("legacy")[0]) if one.kind == "log")
    for prefix in (b"dropped: \0", b"", b"TRACE: nat\0", b"TRACE: nat:X:odd:1\0", b"TRACE: nat:X:rule:\xb2\0"):
        assert not list(events([raw._replace(parts={**raw.parts, 10: prefix})], {}, ""))
    (one,) = events([raw._replace(parts={**raw.parts, 10: b"TRACE: nat:A:B:rule:12 \0"})], {}, "")
    assert (one.chain, one.number) == ("A:B", 12)


def test_of_tables_that_ask_for_traces_only_our_observers_are_told() -> None:
    datagrams, names = recorded("nft")
    assert not [one for one in events(cut(datagrams), names, f"{OWN_TABLE}-other") if one.table == OWN_TABLE]
    assert not [one for one in told("nft") if one.chain.endswith(("-asks", "-replies"))]


def test_a_packet_that_is_refused_by_its_ports_takes_its_later_events_along() -> None:
    datagrams, names = recorded("nft")
    port = next(one.packet.source_port for one in told("nft") if one.packet)
    own = own_table(datagrams)
    assert list(events(cut(datagrams), names, own, Concerned([port]))) == told("nft")
    assert not list(events(cut(datagrams), names, own, Concerned([port ^ 0x5555])))


def test_only_tcp_and_udp_are_sorted_out_by_ports() -> None:
    concerned = Concerned([0xABCD])
    assert not concerned(ipv4(6, tcp(2)))
    assert not concerned(ipv6(17, udp(b"abc")))
    assert concerned(ipv4(6, struct.pack("!HH", 80, 0xABCD) + tcp(2)[4:]))
    assert concerned(ipv4(1, ICMP_PORT))
    assert concerned(ipv6(58, bytes(8)))
    assert concerned(b"")
    assert Concerned()(ipv4(6, tcp(2)))


@given(st.binary(max_size=200))
def test_whatever_bytes_come_nothing_is_raised(data: bytes) -> None:
    list(events(cut([("node-1", data)]), {}, OWN_TABLE))


@given(st.sampled_from(["nft", "legacy"]), st.integers(0, 6), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_datagram_with_wrong_bytes_or_cut_short_raises_nothing(name: str, n: int, at: int, wrong: bytes) -> None:
    netns, data = recorded(name)[0][n]
    list(events(cut([(netns, data[:at]), (netns, data[:at] + wrong + data[at + len(wrong) :])]), {}, OWN_TABLE))


def nat(data: bytes, *, to: str, port: int) -> bytes:
    """Return an IPv4 or IPv6 packet with another destination and port, one hop further."""
    address = ip_address(to)
    if address.version == 4:
        return (
            data[:8]
            + bytes([data[8] - 1])
            + data[9:16]
            + address.packed
            + data[20:22]
            + struct.pack("!H", port)
            + data[24:]
        )
    return (
        data[:7]
        + bytes([data[7] - 1])
        + data[8:24]
        + address.packed
        + data[40:42]
        + struct.pack("!H", port)
        + data[44:]
    )


SENT = {
    "tcp": ipv4(6, tcp(2)),
    "udp": ipv4(17, udp(b"what is carried, longer than is told")),
    "tcp over IPv6": ipv6(6, tcp(2)),
    "udp over IPv6": ipv6(17, udp(b"what is carried, longer than is told")),
}


@pytest.mark.parametrize("data", SENT.values(), ids=SENT)
def test_a_packet_is_the_same_behind_nat_and_routers(data: bytes) -> None:
    before = packet(data)
    after = packet(nat(data, to=A if data[0] >> 4 == 4 else A6, port=8080))
    assert before is not None
    assert after is not None
    assert (before.ttl, after.ttl) == (64, 63)
    assert before.destination != after.destination
    assert before.identity == after.identity != b""


@pytest.mark.parametrize("data", SENT.values(), ids=SENT)
def test_an_event_s_headers_identify_a_packet_as_the_whole_of_it_does(data: bytes) -> None:
    size = 20 if data[0] >> 4 == 4 else 40
    headers, whole = packet(data[: size + 20]), frame(ethernet(0x0800 if size == 20 else 0x86DD, data) + bytes(20))
    assert headers is not None
    assert headers.identity == whole.identity


def test_packets_that_differ_have_different_identities() -> None:
    other = [
        ipv4(6, tcp(0x12)),
        ipv4(6, tcp(2)[:4] + bytes([9]) + tcp(2)[5:]),
        ipv4(17, udp(b"abd")),
        ipv4(17, udp(b"abcd")),
        ipv6(17, udp(b"xyz")),
        ipv4(1, ICMP_PORT),
        ipv4(1, bytes([3, 1]) + ICMP_PORT[2:]),
    ]
    seen = [frame(one, ethernet=False, protocol=0x0800 if one[0] >> 4 == 4 else 0x86DD).identity for one in other]
    assert len(set(seen)) == len(other)


def test_an_icmp_error_is_identified_by_what_it_quotes_though_its_addresses_are_translated() -> None:
    translated = ICMP_PORT[:8] + ICMP_PORT[8:24] + ip_address(A).packed + ICMP_PORT[28:]
    one, other = (frame(ipv4(1, data), ethernet=False, protocol=0x0800) for data in (ICMP_PORT, translated))
    assert one.inner != other.inner
    assert one.identity == other.identity


def everything() -> Evidence:
    """Return evidence in which every field says something."""
    syn = frame(ipv4(6, tcp(2)), ethernet=False, protocol=0x0800)
    question = RouteQuestion(netns="node-1", destination=ip_address(B), source=ip_address(A), iif="cbr0", mark=0x4000)
    way = Tuple(src=ip_address(A), dst=ip_address(B), sport=40000, dport=80)
    return Evidence(
        request=Request(netns="client-a", address=ip_address(B), port=80),
        reply=Reply(pod="web-1", local=(ip_address(A), 40000), source=(ip_address(A), 40000), status=200),
        tool="iptables-nft",
        places={"client-a": "client-a", "kube-system_x": "kube-system/x"},
        nodes=("node-1",),
        names={ip_address(A): "client-a", ip_address(B6): "svc/web"},
        taps=(
            Tap(
                netns="node-1", interface="eth0", direction="out", time_ns=1, mark=None, packet=replace(syn, inner=syn)
            ),
        ),
        events=tuple(told("nft")) + tuple(told("legacy")),
        listings=(
            Listing(netns="node-1", tool="nft", family="ipv6", text="{}", handles={("ip6", "nat", "A:B"): (1, 2)}),
        ),
        links=(Link(netns="node-1", name="cbr0", kind="bridge", hairpin=True, addresses=(ip_address(A6),), mtu=1500),),
        routes=(Route(question=question, kind="unicast", oif="eth0", gateway=ip_address(A), source=ip_address(B)),),
        flows=(Flow(node="node-1", protocol="tcp", original=way, reply=way.inverse, status=frozenset({"assured"})),),
        risen={"node-1": {"Ip.OutNoRoutes": 1}},
        sysctls={"node-1": {"net.ipv4.ip_forward": "1"}},
        lost={"node-1": 3},
        left_out=4,
    )


def test_evidence_is_the_same_after_it_was_json() -> None:
    evidence = everything()
    assert trace_json.restore(trace_json.save(evidence)) == evidence
    assert isinstance(evidence.taps[0].packet, Packet)
