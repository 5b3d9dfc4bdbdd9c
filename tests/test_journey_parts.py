"""What rules did, by their texts; why packets are lost, by what is around; parts of the assembling by themselves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address
from typing import Any, Literal

import pytest

from lab.journey import assemble, deeds
from lab.journey.order import ordered
from lab.journey.passes import runs
from lab.journey.rules import Book, Found
from lab.journey.sight import Pass, Places, carried
from lab.model.flow import Tuple
from lab.model.packet import Packet
from lab.model.trace import Event, Evidence, Listing, Tap
from lab.parse import saved_rules
from tests.recorded import recorded

CLIENT, POD = ip_address("10.0.0.1"), ip_address("10.244.0.7")
BEFORE = Tuple(src=CLIENT, sport=1, dst=ip_address("10.96.0.10"), dport=80)
AFTER = Tuple(src=CLIENT, sport=1, dst=POD, dport=8080)

IPTABLES = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-1 - [0:0]
:KUBE-SEP-2 - [0:0]
:KUBE-SEP-3 - [0:0]
:DOCKER - [0:0]
-A PREROUTING -j DOCKER
-A KUBE-SVC-A ! -s 10.244.0.0/16 -p tcp -j DOCKER
-A KUBE-SVC-A -m recent --rcheck --seconds 10800 --reap --name KUBE-SEP-1 --rsource -j KUBE-SEP-1
-A KUBE-SVC-A -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-1
-A KUBE-SVC-A -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-2
-A KUBE-SVC-A -j KUBE-SEP-3
-A KUBE-SEP-1 -p tcp -j DNAT --to-destination 10.244.0.5:8080
-A KUBE-SEP-2 -p tcp -j DNAT --to-destination 10.244.0.6:8080
-A KUBE-SEP-3 -p tcp -j DNAT --to-destination 10.244.0.7:8080
-A DOCKER -p tcp --dport 99 -j DNAT --to-destination 172.17.0.2:99
COMMIT
"""

NFT = """table ip kube-proxy {
    chain service-a {
        numgen random mod 3 vmap { 0 : goto endpoint-1, 1 : goto endpoint-2, 2 : goto endpoint-1 }
    }
    chain service-b {
        dnat ip to numgen random mod 3 map { 0 : 10.244.0.7 . 8080, 1 : 10.244.0.6 . 8080, 2 : 10.244.0.7 . 8080 }
    }
    chain endpoint-1 {
        meta l4proto tcp dnat to 10.244.0.5:8080
    }
    chain endpoint-2 {
        meta l4proto tcp dnat to 10.244.0.6:8080
    }
}
"""


def found(text: str, chain: str, number: int) -> Found:
    (table,) = saved_rules.read(text, "rules")[0]
    return Found(table.chains[chain].rules[number - 1], number, table.chains[chain], table)


@pytest.mark.parametrize(
    ("number", "target", "share"),
    [
        (3, "KUBE-SEP-1", Fraction(715827883, 2**31)),
        (4, "KUBE-SEP-2", (1 - Fraction(715827883, 2**31)) / 2),
        (5, "KUBE-SEP-3", (1 - Fraction(715827883, 2**31)) / 2),
    ],
)
def test_the_share_of_an_endpoint_is_what_earlier_rules_leave_of_it(number: int, target: str, share: Fraction) -> None:
    rule = found(IPTABLES, "KUBE-SVC-A", number)
    assert deeds.share_of(rule, target, BEFORE, service="default/a") == (True, share)


def test_affinity_chooses_without_a_share() -> None:
    rule = found(IPTABLES, "KUBE-SVC-A", 2)
    assert deeds.share_of(rule, "KUBE-SEP-1", BEFORE, service="default/a") == (True, None)


@pytest.mark.parametrize(("chain", "number", "target"), [("PREROUTING", 1, "DOCKER"), ("DOCKER", 1, "")])
def test_other_peoples_translations_are_no_choice_of_an_endpoint(chain: str, number: int, target: str) -> None:
    assert deeds.share_of(found(IPTABLES, chain, number), target, AFTER, service="") == (False, None)


@pytest.mark.parametrize(
    ("chain", "target", "share"),
    [("service-a", "endpoint-1", Fraction(2, 3)), ("service-b", "", Fraction(2, 3))],
)
def test_a_drawn_endpoint_has_as_many_shares_as_numbers(chain: str, target: str, share: Fraction) -> None:
    assert deeds.share_of(found(NFT, chain, 1), target, AFTER, service="default/a") == (True, share)


def test_an_endpoints_own_translation_is_no_second_choice() -> None:
    assert deeds.share_of(found(NFT, "endpoint-1", 1), "", AFTER, service="default/a") == (False, None)


def event(**more: Any) -> Event:
    return Event(**{"netns": "n", "id": 1, "family": "ip", "table": "nat", "chain": "M", "kind": "rule", **more})


def marking(text: str) -> Found:
    return found(f"*nat\n:M - [0:0]\n-A M {text}\nCOMMIT\n", "M", 1)


@pytest.mark.parametrize(
    ("told", "known", "marks"),
    [
        ({"mark": 0x4000}, 0, (0, 0x4000)),  # nft tells the mark behind the rule
        ({"mark": 1, "marked_before": True}, None, (1, 0x4001)),  # iptables-legacy the one before it
        ({"mark": None}, 2, (2, 0x4002)),
        ({"mark": None}, None, (None, None)),
    ],
)
def test_what_a_trace_leaves_out_of_a_mark_the_rule_tells(told: dict[str, Any], known: int | None, marks: Any) -> None:
    rule = marking("-j MARK --set-xmark 0x4000/0x4000").rule
    assert deeds.marks(event(**told), rule, known) == marks


def test_a_mark_is_read_if_the_rule_asks_for_bits_that_are_set() -> None:
    rule = marking("-m mark --mark 0x4000/0x4000 -j ACCEPT").rule
    assert [deeds.reads_mark(rule, mark) for mark in (0x4000, 0x8000, 0, None)] == [True, False, False, False]


def test_a_listing_that_cannot_be_read_leaves_the_events_without_rules() -> None:
    listing = Listing(netns="n", tool="iptables-nft", family="ipv4", text="no rules")
    assert Book([listing]).find(event(handle=5)) == Found()


def seen(hook: Any, ttl: int, iif: str = "", oif: str = "") -> Pass:
    packet = Packet(protocol="tcp", source=CLIENT, destination=POD, ttl=ttl, identity=b"1")
    return Pass("n", hook, (event(packet=packet, iif=iif, oif=oif),))


def test_a_packet_that_comes_again_with_as_many_hops_left_was_sent_again() -> None:
    there = [seen("PREROUTING", 64), seen("FORWARD", 63), seen("POSTROUTING", 63)]
    assert [len(run) for run in runs([*there, *there])] == [3, 3]


def test_a_packet_in_a_circle_or_on_loopback_was_sent_once() -> None:
    circle = [seen("PREROUTING", 64), seen("POSTROUTING", 63), seen("PREROUTING", 62), seen("POSTROUTING", 61)]
    loop = [seen("OUTPUT", 64, oif="lo"), seen("POSTROUTING", 64, oif="lo"), seen("PREROUTING", 64, iif="lo")]
    assert [len(runs(circle)), len(runs(loop))] == [1, 1]


def test_of_a_packet_in_a_circle_the_hooks_of_each_round_are_between_the_interfaces_of_that_round() -> None:
    taps, passes = [], []
    for left in range(20, 2, -2):
        ways: tuple[tuple[Literal["in", "out"], int], ...] = (("in", left), ("out", left - 1))
        for direction, ttl in ways:
            packet = Packet(protocol="tcp", source=CLIENT, destination=POD, ttl=ttl, identity=b"1")
            taps.append(Tap(netns="n", interface="eth0", direction=direction, time_ns=-ttl, mark=0, packet=packet))
        passes += [seen("PREROUTING", left, "eth0"), seen("FORWARD", left - 1, "eth0", "eth0")]
        passes.append(seen("POSTROUTING", left - 1, oif="eth0"))
    places = Places(links={}, owners={}, nodes=frozenset({"n"}), names={})
    found = [one.hook if isinstance(one, Pass) else one.direction for one in ordered(taps, {"n": passes}, places, {})]
    assert found == ["in", "PREROUTING", "FORWARD", "POSTROUTING", "out"] * 9


def lost(**more: Any) -> Evidence:
    """Return evidence of a packet that node-2 let come in, and that was seen no more."""
    evidence = recorded("fault-rp-filter")
    return replace(evidence, **{"risen": {}, "routes": (), **more})


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, "last seen in PREROUTING of node-2; no rule was seen to drop it"),
        ({"risen": {"node-2": {"conntrack.drop": 1}}}, "the table is full (conntrack.drop of node-2 rose by 1)"),
        ({"risen": {"node-2": {"Ip.InAddrErrors": 2}}}, "its addresses are not accepted there"),
        (
            {"risen": {"node-1": {"conntrack.drop": 1}}},
            "last seen in PREROUTING of node-2; no rule was seen to drop it",
        ),
        ({"sysctls": {"node-2": {"net.ipv4.ip_forward": "0"}}}, "packets: net.ipv4.ip_forward is 0"),
        (
            {"sysctls": {"node-2": {"net.ipv4.ip_forward": "1", "net.ipv4.conf.eth0.forwarding": "0"}}},
            "node-2 does not forward packets: net.ipv4.conf.eth0.forwarding is 0",
        ),
        (
            {"sysctls": {"node-2": {"net.ipv4.ip_forward": "0", "net.ipv4.conf.eth0.forwarding": "1"}}},
            "last seen in PREROUTING of node-2; no rule was seen to drop it",
        ),
    ],
)
def test_why_it_was_lost_is_concluded_from_what_is_around_where_it_was(more: dict[str, Any], why: str) -> None:
    end = assemble(lost(**more)).legs[0].end
    assert why in end.why
    assert (end.kind, end.node, end.observed) == ("lost", "node-2", False)


def test_what_a_rule_that_was_not_listened_to_may_have_dropped_is_unknown_unless_there_is_another_cause() -> None:
    deaf = frozenset({"node-2", "node-1"})
    journey = assemble(lost(unheard=deaf))
    unheard = "rules of iptables-legacy, if there are any, could not be listened to"
    end = journey.legs[0].end
    why = f"last seen in PREROUTING of node-2; {unheard} there"
    assert (end.kind, end.node, end.why, end.observed) == ("unknown", "node-2", why, False)
    assert f"{unheard} on node-1 and node-2: the kernel tells one lab.trace or lab.watch alone" in journey.notes
    assert assemble(lost(unheard=deaf, risen={"node-2": {"conntrack.drop": 1}})).legs[0].end.kind == "lost"
    assert assemble(lost(unheard=frozenset({"node-1"}))).legs[0].end.kind == "lost"


def test_a_packet_larger_than_the_tunnel_is_said_to_be() -> None:
    evidence = recorded("fault-data-drop")
    told = [
        replace(tap, packet=replace(tap.packet, info="[P.] 1460 bytes")) if "84 bytes" in tap.packet.info else tap
        for tap in evidence.taps
        if "84 bytes" not in tap.packet.info or tap.netns in ("client-a", "node-1")
    ]
    events = tuple(one for one in evidence.events if one.netns != "node-2" or not one.packet)
    small = [replace(link, mtu=1450) if link.name == "eth0" else link for link in evidence.links]
    journey = assemble(replace(evidence, taps=tuple(told), events=events, links=tuple(small)))
    assert journey.legs[-1].end.why == "it has 1500 bytes, and eth0 takes 1450"


def cut_at_node_1(name: str = "clusterip-other-node-nft", **of_eth0: Any) -> Evidence:
    """Return evidence of a packet that left node-1 and came nowhere; `of_eth0`: what node-2's interface was like."""
    evidence = recorded(name)
    asks = {one.id for one in evidence.events if one.packet is not None and "[S]" in one.packet.info}
    return replace(
        evidence,
        taps=tuple(
            tap for tap in evidence.taps if tap.netns in ("client-a", "node-1") and "[S]" in carried(tap.packet).info
        ),
        events=tuple(one for one in evidence.events if one.netns == "node-1" and one.id in asks),
        links=tuple(
            replace(link, **of_eth0) if (link.netns, link.name) == ("node-2", "eth0") else link
            for link in evidence.links
        ),
        reply=replace(evidence.reply, error="timeout", status=0, pod="", node="", source=None),
    )


@pytest.mark.parametrize(
    ("of_eth0", "why"),
    [
        ({}, "it left by eth0, and nobody who was looked at got it; no rule was seen to drop it"),
        ({"up": False}, "eth0 of node-2 has no carrier"),
        ({"up": False, "enabled": False}, "eth0 of node-2 is administratively down"),
        ({"mtu": 30}, "it has 40 bytes, and eth0 of node-2 takes 30"),
    ],
)
def test_the_next_machines_link_may_be_why_a_packet_came_nowhere(of_eth0: dict[str, Any], why: str) -> None:
    evidence = cut_at_node_1(**of_eth0)
    sized = tuple(replace(tap, packet=replace(tap.packet, info="[S] 0 bytes")) for tap in evidence.taps)
    end = assemble(replace(evidence, taps=sized)).legs[0].end
    assert (end.kind, end.node, end.why) == ("lost", "node-1", why)


def test_the_link_of_the_other_end_of_a_tunnel_may_be_why_a_packet_came_nowhere() -> None:
    end = assemble(cut_at_node_1("vxlan-other-node-iptables-nft", up=False, enabled=False)).legs[0].end
    assert end.why == "eth0 of node-2 is administratively down"


def test_what_came_to_a_machine_in_a_tunnel_may_not_come_out_of_it_because_that_is_down() -> None:
    evidence = recorded("vxlan-other-node-iptables-nft")
    cut = cut_at_node_1("vxlan-other-node-iptables-nft")
    came = (tap for tap in evidence.taps if (tap.netns, tap.interface, tap.direction) == ("node-2", "eth0", "in"))
    cut = replace(cut, taps=(*cut.taps, next(tap for tap in came if "[S]" in carried(tap.packet).info)))
    assert "its carrier's way is not traced" in assemble(cut).legs[0].end.why
    down = tuple(replace(one, up=False, enabled=False) if one.kind == "vxlan" else one for one in cut.links)
    assert assemble(replace(cut, links=down)).legs[0].end.why == "flannel.1 of node-2 is administratively down"


@pytest.mark.parametrize(
    ("change", "also"),
    [
        ({}, ": its eth0 is down"),
        ({"kind": "sit"}, ""),  # every namespace has one, which nobody uses
        ({"master": "cbr0"}, ""),
        ({"enabled": True}, ""),
    ],
)
def test_with_a_link_that_was_set_down_its_routes_are_gone(change: dict[str, Any], also: str) -> None:
    evidence = recorded("fault-asker-down")
    links = tuple(
        replace(one, **change) if (one.netns, one.name) == ("client-a", "eth0") else one for one in evidence.links
    )
    why = "no packet was sent: client-a has no route for 10.244.2.2, asked afterwards"
    assert assemble(replace(evidence, links=links)).legs[0].end.why == why + also


def test_which_end_of_a_link_is_down_is_told_and_no_other_port_is_blamed() -> None:
    evidence = recorded("fault-port-down")
    up = {one.name: one for one in evidence.links if one.netns == "node-2"}
    other = replace(up["veth-web-2"], name="veth-other", number=99, peer=98)
    assert (
        assemble(replace(evidence, links=(other, *evidence.links))).legs[0].end.why.startswith("veth-web-2 of node-2")
    )
    there = [replace(one, enabled=False, up=False) if one.netns == "web-2" else one for one in evidence.links]
    near = [replace(one, enabled=True) if one.name == "veth-web-2" else one for one in there]
    assert assemble(replace(evidence, links=tuple(near))).legs[0].end.why == "eth0 of web-2 is administratively down"
    fine = [replace(one, enabled=True, up=True) if one.name != "lo" else one for one in evidence.links]
    end = assemble(replace(evidence, links=(other, *fine))).legs[0].end
    assert "no rule was seen to drop it" in end.why


@pytest.mark.parametrize("taker", ["web-2", "node-1", "nobody"])
def test_a_frame_that_is_addressed_to_a_machine_that_may_have_it_is_not_called_wrong(taker: str) -> None:
    evidence = recorded("fault-wrong-mac")
    links = list(evidence.links)
    at = next(at for at, one in enumerate(links) if one.netns in (taker, "router") and one.name == "lo")
    if taker != "nobody":
        links[at] = replace(links[at], mac="02:00:00:00:00:99")
    why = assemble(replace(evidence, links=tuple(links))).legs[0].end.why
    assert ("it was sent to MAC" in why) == (taker != "web-2")


@pytest.mark.parametrize(("sysctl", "kind"), [("0", "lost"), ("1", "delivered")])
def test_a_packet_with_the_receivers_own_source_is_taken_only_if_a_sysctl_allows_it(sysctl: str, kind: str) -> None:
    evidence = recorded("fault-hairpin-no-masquerade")
    known = {"web-1": {"net.ipv4.conf.eth0.accept_local": sysctl}}
    assert assemble(replace(evidence, sysctls=known)).legs[0].end.kind == kind


def test_a_pods_own_reverse_path_filter_is_why_what_came_in_was_not_answered() -> None:
    evidence = recorded("fault-hairpin-no-masquerade")
    known = {"web-1": {"net.ipv4.conf.all.accept_local": "1"}}
    risen = {"web-1": {"TcpExt.IPReversePathFilter": 1}}
    end = assemble(replace(evidence, sysctls=known, risen=risen)).legs[0].end
    assert (end.kind, end.node, "IPReversePathFilter of web-1 rose by 1" in end.why) == ("lost", "web-1", True)


def test_a_node_that_nobody_looked_at_may_have_answered_all_the_same() -> None:
    evidence = recorded("clusterip-other-node-nft")
    taps = tuple(tap for tap in evidence.taps if tap.netns != "web-2")
    links = tuple(link for link in evidence.links if link.netns != "web-2")
    places = {netns: name for netns, name in evidence.places.items() if netns != "web-2"}
    end = assemble(replace(evidence, taps=taps, links=links, places=places)).legs[0].end
    assert (end.kind, end.node, end.observed) == ("delivered", "web-2", False)


def test_a_copy_that_a_bridge_sent_to_every_port_is_not_the_packets_way() -> None:
    evidence = recorded("clusterip-other-node-nft")
    asked = assemble(evidence)
    at, out = next(
        (at, tap)
        for at, tap in enumerate(evidence.taps)
        if (tap.netns, tap.interface, tap.direction) == ("node-2", "veth-web-2", "out")
    )
    copy = replace(out, interface="veth-other", time_ns=out.time_ns + 1)
    port = next(link for link in evidence.links if (link.netns, link.name) == ("node-2", "veth-web-2"))
    flooded = replace(
        evidence,
        taps=(*evidence.taps[: at + 1], copy, *evidence.taps[at + 1 :]),
        links=(*evidence.links, replace(port, name="veth-other")),
    )
    assert assemble(flooded).legs == asked.legs
