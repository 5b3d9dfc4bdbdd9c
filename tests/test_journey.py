"""Journeys of recorded evidence: what is told of real packets, in each mode and for each way to end."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest

from lab.journey import assemble, questions
from lab.model.journey import Journey, Leg, Step
from lab.model.trace import OWN_TABLE, RouteQuestion
from lab.report.journey_sentence import sentence
from tests.recorded import NAMES, recorded

WEB = "default/web:http"
TO_SERVICE = "choose dnat"
HAIRPIN = "choose mark dnat hairpin mark-read mark-read mark masquerade"
MASQUERADED = "mark choose dnat mark-read mark-read mark masquerade"
BACK = "reply-translated"

# evidence -> moments of the request's leg, those of the others, endpoint, and each leg's `role packet end at node`
STORIES = {
    **dict.fromkeys(
        [f"clusterip-other-node-{mode}" for mode in ("iptables-nft", "iptables-legacy", "nft")],
        (TO_SERVICE, BACK, "web-2", ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a"]),
    ),
    "clusterip-udp-nft": (
        TO_SERVICE, BACK, "web-2",
        ["request udp 1 bytes delivered web-2", "reply udp 138 bytes delivered client-a"],
    ),
    "vxlan-other-node-iptables-nft": (
        TO_SERVICE, BACK, "web-2", ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a"],
    ),
    "ipv6-other-node-nft": (
        TO_SERVICE, BACK, "web-2", ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a"],
    ),
    **dict.fromkeys(
        [f"clusterip-from-node-{mode}" for mode in ("iptables-nft", "iptables-legacy", "nft")],
        (
            "mark choose dnat mark-read mark masquerade", f"{BACK} {BACK}", "web-2",
            ["request tcp [S] delivered web-2", "reply tcp [S.] delivered node-1"],
        ),
    ),
    **dict.fromkeys(
        ["hairpin-self-iptables-nft", "hairpin-self-iptables-legacy"],
        (
            HAIRPIN, f"{BACK} hairpin {BACK}", "web-1",
            ["request tcp [S] delivered web-1", "reply tcp [S.] delivered web-1"],
        ),
    ),
    "hairpin-self-nft": (  # that mode knows a hairpin by a set, not by the mark
        "choose dnat hairpin masquerade", f"{BACK} hairpin {BACK}", "web-1",
        ["request tcp [S] delivered web-1", "reply tcp [S.] delivered web-1"],
    ),
    "hairpin-none-iptables-legacy": ("choose mark dnat lost", "", "web-1", ["request tcp [S] lost node-1"]),
    **dict.fromkeys(
        ["nodeport-client-iptables-nft", "nodeport-client-iptables-legacy"],
        (
            MASQUERADED, f"{BACK} {BACK}", "web-2",
            ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client"],
        ),
    ),
    "nodeport-client-nft": (
        "mark choose dnat mark-read mark masquerade", f"{BACK} {BACK}", "web-2",
        ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client"],
    ),
    **dict.fromkeys(
        [f"no-endpoints-reject-{mode}" for mode in ("iptables-nft", "iptables-legacy", "nft")],
        (
            "reject", "", "",
            ["request tcp [S] refused node-1", "refusal icmp port unreachable delivered client-a"],
        ),
    ),
    **dict.fromkeys(
        [f"loadbalancer-stranger-drop-{mode}" for mode in ("iptables-nft", "iptables-legacy", "nft")],
        ("drop", "", "", ["request tcp [S] dropped node-1"]),
    ),
    "affinity": (
        TO_SERVICE, BACK, "web-2", ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a"],
    ),
    "bridged-by-neighbour": (
        MASQUERADED, f"{BACK} {BACK}", "web-1",
        ["request tcp [S] delivered web-1", "reply tcp [S.] delivered client-a"],
    ),
    "localhost-nodeport": (
        "mark choose dnat mark-read mark masquerade", f"{BACK} {BACK}", "web-1",
        ["request tcp [S] delivered web-1", "reply tcp [S.] delivered node-1"],
    ),
    "host-network-self": (
        "mark choose dnat mark-read mark masquerade", f"{BACK} {BACK}", "agent-1",
        ["request tcp [S] delivered node-1", "reply tcp [S.] delivered node-1"],
    ),
    "ptp-hairpin": (
        "choose mark dnat mark-read mark-read mark masquerade hairpin", f"{BACK} {BACK} hairpin", "self-1",
        ["request tcp [S] delivered self-1", "reply tcp [S.] delivered self-1"],
    ),
    "fault-bridge-nf-off": (
        TO_SERVICE, "", "web-1",
        [
            "request tcp [S] delivered web-1", "reply tcp [S.] refused client-a", "refusal tcp [R] delivered web-1",
        ],
    ),
    "fault-data-drop": (
        "", "drop", "",
        [
            "request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a",
            "data tcp [P.] 84 bytes dropped node-2",
        ],
    ),
    "fault-forward-off": ("choose dnat lost", "", "web-1", ["request tcp [S] lost node-1"]),
    "fault-neigh": ("lost", "", "", ["request tcp [S] lost node-1"]),
    "fault-no-route": (
        "", "", "", ["request tcp [S] refused node-1", "refusal icmp host unreachable delivered client-a"],
    ),
    "fault-no-route-pod": ("lost", "", "", ["request tcp [S] lost client-a"]),
    "fault-neigh-pod": ("lost", "", "", ["request tcp [S] lost client-a"]),
    "fault-netdev-drop": ("lost", "", "", ["request tcp [S] lost node-1"]),
    "fault-no-rules": ("lost", "", "", ["request tcp [S] lost router"]),
    "fault-raw-drop": ("drop", "", "", ["request tcp [S] dropped node-1"]),
    "fault-hairpin-no-masquerade": (
        "choose mark dnat hairpin mark-read lost", "", "web-1", ["request tcp [S] lost web-1"],
    ),
    "udp-old-entry": (
        "dnat", BACK, "", ["request udp 1 bytes delivered dns-2", "reply udp 138 bytes delivered client-a"],
    ),
    "fault-output-drop": ("mark choose dnat drop", "", "web-1", ["request tcp [S] dropped node-1"]),
    "fault-reject-rst": (
        "reject", "", "", ["request tcp [S] refused node-2", "refusal tcp [R.] delivered client-a"],
    ),
    "port-changed": (
        "port-changed", BACK, "", ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a"],
    ),
    "fault-rp-filter": ("lost", "", "", ["request tcp [S] lost node-2"]),
    "fault-notrack": ("untracked lost", "", "", ["request tcp [S] lost router"]),
    **dict.fromkeys(
        ["fault-redirect-iptables-nft", "fault-redirect-nft"],
        ("dnat", BACK, "", ["request tcp [S] delivered node-1", "reply tcp [R.] delivered client-a"]),
    ),
    "fault-queue": ("choose dnat act lost", "", "web-1", ["request tcp [S] lost node-1"]),
    "snat-and-more": (
        f"{TO_SERVICE} act snat", f"{BACK} {BACK}", "web-2",
        ["request tcp [S] delivered web-2", "reply tcp [S.] delivered client-a"],
    ),
    **dict.fromkeys(
        ["fault-no-way-back", "fault-no-neighbour-back"],
        ("", "lost", "", ["request tcp [S] delivered web-2", "reply tcp lost web-2"]),
    ),
    "fault-address-gone": ("lost", "", "", ["request tcp [S] lost web-2"]),
    **dict.fromkeys(
        ["fault-address-gone-neigh", "fault-wrong-mac", "fault-port-down", "fault-rp-filter-route"],
        ("lost", "", "", ["request tcp [S] lost node-2"]),
    ),
    "fault-wrong-mac-back": (  # the bridge sends what it does not know out of every port, this one too: hairpin is on
        "", "hairpin lost", "", ["request tcp [S] delivered web-2", "reply tcp [S.] lost node-2"],
    ),
    **dict.fromkeys(["fault-asker-down", "fault-no-ipv6"], ("lost", "", "", ["request tcp [S] lost client-a"])),
    "fault-blackhole": ("lost", "", "", ["request tcp [S] lost router"]),
    "fault-rule-prohibit": (
        "", "", "", ["request tcp [S] refused node-1", "refusal icmp prohibited delivered client-a"],
    ),
    "fault-unreachable": (
        "", "", "", ["request tcp [S] refused node-1", "refusal icmp host unreachable delivered client-a"],
    ),
    "unspecified": (
        "", "", "", ["request tcp [S] delivered client-a", "reply tcp [R.] delivered client-a"],
    ),
    "reply-dropped-by-both-iptables": (
        "", "drop", "", ["request tcp [S] delivered web-2", "reply tcp [S.] dropped node-2"],
    ),
}  # fmt: skip


def moments(legs: tuple[Leg, ...]) -> str:
    return " ".join(moment for leg in legs for step in leg.steps for moment in step.moments)


def journey(name: str) -> Journey:
    return assemble(recorded(name))


def with_moment(told: Journey, moment: str) -> Step:
    return next(step for step in told.steps if moment in step.moments)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_packets_journey_is_told_as_it_was(name: str) -> None:
    told = journey(name)
    legs = [f"{leg.role} {leg.packet} {leg.end.kind} {leg.end.node}" for leg in told.legs]
    assert (moments(told.legs[:1]), moments(told.legs[1:]), told.endpoint, legs) == STORIES[name]


@pytest.mark.parametrize("name", NAMES)
def test_each_step_begins_as_the_one_before_has_left_the_packet(name: str) -> None:
    for leg in journey(name).legs:
        for before, after in pairwise(leg.steps):
            assert after.before == before.after, (before, after)


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_of_a_leg_are_in_the_order_of_time(name: str) -> None:
    for leg in journey(name).legs:
        times = [step.time_ns for step in leg.steps if step.time_ns is not None]
        assert times == sorted(times)


@pytest.mark.parametrize("name", NAMES)
def test_our_own_table_is_not_told_of_and_every_rule_has_its_text(name: str) -> None:
    rules = [step for step in journey(name).steps if step.kind == "rule"]
    assert all(step.table != OWN_TABLE and step.rule and step.number and step.verdict for step in rules)


@pytest.mark.parametrize("name", NAMES)
def test_what_conntrack_has_translated_has_a_moment_and_what_is_inferred_says_so(name: str) -> None:
    told = journey(name)
    for flow in told.flows:
        if told.reply.answered:
            assert "dnat" in told.moments or not flow.dnat
            assert {"masquerade", "snat", "port-changed"} & set(told.moments) or not flow.snat
    for step in told.steps:
        if {"lost", "reply-translated", "port-changed"} & set(step.moments):
            assert (step.observed, bool(step.text)) == (False, True)
        if {"choose", "mark", "mark-read", "drop", "reject"} & set(step.moments):
            assert step.observed


@pytest.mark.parametrize("mode", ["iptables-nft", "iptables-legacy", "nft"])
def test_the_choice_has_its_exact_share_its_endpoint_and_its_service(mode: str) -> None:
    told = journey(f"clusterip-other-node-{mode}")
    chosen = with_moment(told, "choose")
    assert (chosen.share, chosen.endpoint, chosen.service, told.service) == (Fraction(1, 2), "web-2", WEB, WEB)


def test_a_choice_by_affinity_has_no_share() -> None:
    chosen = with_moment(journey("affinity"), "choose")
    assert (chosen.share, "by affinity" in chosen.text) == (None, True)


@pytest.mark.parametrize("mode", ["iptables-nft", "iptables-legacy", "nft"])
def test_the_mark_is_told_before_and_behind_each_rule(mode: str) -> None:
    told = journey(f"nodeport-client-{mode}")
    marks = [(step.mark_before, step.mark_after) for step in told.steps if "mark" in step.moments]
    assert marks == [(0, 0x4000), (0x4000, 0)]
    hooks = {
        step.hook: step.mark_before for step in told.legs[0].steps if step.kind == "hook" and step.node == "node-1"
    }
    assert hooks == {"PREROUTING": 0, "FORWARD": 0x4000, "POSTROUTING": 0x4000}


def test_a_rule_behind_one_that_turns_unmarked_packets_away_read_the_mark() -> None:
    told = journey("nodeport-client-iptables-nft")
    step = next(step for step in told.steps if step.chain == "KUBE-POSTROUTING" and "mark-read" in step.moments)
    assert (step.number, step.text) == (2, "the mark let it pass: -m mark ! --mark 0x4000/0x4000 -j RETURN")


def test_rules_that_merely_pass_are_folded_and_those_that_lead_to_a_moment_are_not() -> None:
    steps = [step for step in journey("clusterip-other-node-iptables-nft").legs[0].steps if step.node == "node-1"]
    shown = [step.chain for step in steps if step.kind == "rule" and step.matters]
    folded = {step.chain for step in steps if step.kind in ("rule", "verdict") and not step.matters}
    assert shown == ["PREROUTING", "KUBE-SERVICES", "KUBE-SVC-CDGGSHYLG3RE2FKL", "KUBE-SEP-4EX2N4PG4ASNZOBF"]
    assert folded == {"FORWARD", "POSTROUTING", "KUBE-POSTROUTING"}


def places(leg: Leg, node: str) -> list[str]:
    """Return the order of taps and hooks of a leg at one node."""
    return [
        f"{step.direction} {step.interface}" if step.kind == "tap" else step.hook or step.kind
        for step in leg.steps
        if step.node == node and step.kind in ("tap", "hook", "bridge")
    ]


def test_prerouting_is_between_the_port_and_the_bridge_and_postrouting_before_the_way_out() -> None:
    request = journey("clusterip-other-node-iptables-nft").legs[0]
    assert places(request, "node-1") == [
        "in veth-client-a", "PREROUTING", "in cbr0", "FORWARD", "POSTROUTING", "out eth0",
    ]  # fmt: skip
    assert places(request, "node-2") == [
        "in eth0", "PREROUTING", "FORWARD", "POSTROUTING", "out cbr0", "out veth-web-2",
    ]  # fmt: skip


def test_a_frame_that_a_bridge_forwards_is_told_of_with_both_ports() -> None:
    request, reply = journey("hairpin-self-iptables-legacy").legs
    around = ["in veth-web-1", "PREROUTING", "bridge", "FORWARD", "POSTROUTING", "out veth-web-1"]
    assert places(request, "node-1") == places(reply, "node-1") == around


def test_a_bridged_frame_that_leaves_by_the_bridge_to_find_its_receiver_is_not_routed() -> None:
    reply = journey("bridged-by-neighbour").legs[1]
    assert places(reply, "node-1") == [
        "in veth-web-1", "PREROUTING", "bridge", "out cbr0", "FORWARD", "POSTROUTING", "out veth-client-a",
    ]  # fmt: skip
    assert "route" not in {step.kind for step in reply.steps if step.node == "node-1"}


def test_what_is_sent_to_the_machine_itself_passes_loopback_between_its_hooks() -> None:
    request = journey("host-network-self").legs[0]
    assert places(request, "node-1") == ["OUTPUT", "POSTROUTING", "in lo", "PREROUTING", "INPUT"]


def test_a_tunnelled_packet_is_told_by_what_is_inside() -> None:
    request = journey("vxlan-other-node-iptables-nft").legs[0]
    carried = [step for step in request.steps if step.text.startswith("in vxlan")]
    assert [(step.node, step.interface, str(step.after.dst)) for step in carried] == [
        ("node-1", "eth0", "10.244.2.2"),
        ("node-2", "eth0", "10.244.2.2"),
    ]
    assert "192.168.0.10 -> 192.168.0.11" in carried[0].text


def test_the_reply_is_translated_back_where_its_addresses_change_by_the_entry() -> None:
    told = journey("clusterip-other-node-nft")
    step = with_moment(told, "reply-translated")
    assert (step.node, step.hook, str(step.before.src), str(step.after.src)) == (
        "node-1", "POSTROUTING", "10.244.2.2", "10.96.0.10",
    )  # fmt: skip
    assert step.text.startswith("by the entry ")
    assert step.text.endswith("no rule was asked")


def test_a_source_port_that_no_rule_has_changed_is_not_called_masqueraded() -> None:
    told = journey("port-changed")
    step = with_moment(told, "port-changed")
    assert (step.node, step.hook, step.before.src, step.before.sport, step.after.sport) == (
        "node-1", "POSTROUTING", step.after.src, told.original.sport, told.flows[0].reply.dport,
    )  # fmt: skip
    assert step.text.endswith("and no rule did it: another flow has that tuple")
    assert "node-1 changed the source port (another flow has that tuple)" in sentence(told)


@pytest.mark.parametrize(
    ("seen", "moment"),
    [
        ({}, "port-changed"),
        ({"lost": {"node-1": 1}}, "masquerade"),  # its rule may have been among that
        ({"events": ()}, "masquerade"),  # by an entry that was there before: its rule was asked then
    ],
)
def test_where_the_source_is_the_nodes_own_only_the_rules_that_it_met_tell_whether_it_was_masqueraded(
    seen: dict[str, Any], moment: str
) -> None:
    evidence = recorded("port-changed")
    (asker, _), one = evidence.reply.local or pytest.fail("no local end"), evidence.links[0]
    own = replace(one, netns="node-1", name="own", addresses=(asker,))
    told = assemble(replace(evidence, links=(*evidence.links, own), **seen))
    assert moments(told.legs[:1]) == moment


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("hairpin-none-iptables-legacy", "cbr0 sends no frame back out of veth-web-1"),
        ("fault-bridge-nf-off", "net.bridge.bridge-nf-call-iptables is 0 on node-1"),
        ("fault-forward-off", "net.ipv4.ip_forward is 0"),
        ("fault-neigh", "nobody answered who has 192.168.0.77"),
        ("fault-no-route-pod", "client-a has no route for 10.244.2.2, asked afterwards"),
        ("fault-rp-filter", "TcpExt.IPReversePathFilter of node-2 rose"),
        ("fault-neigh-pod", "no packet was sent: nobody answered who has 10.244.1.99"),
        ("fault-netdev-drop", "came in by veth-client-a, and was not seen in PREROUTING; what is before that is not"),
        ("fault-hairpin-no-masquerade", "it came from outside with web-1's own address 10.244.1.2 as its source"),
        (
            "fault-no-way-back",
            "no packet was sent: web-2 has the route 'blackhole default' for 10.244.1.3, asked after",
        ),
        ("fault-no-neighbour-back", "no packet was sent: nobody answered who has 10.244.2.77"),
        ("fault-address-gone", "web-2 does not have the address 10.244.2.2 any more, asked afterwards"),
        ("fault-address-gone-neigh", "nobody answered who has 10.244.2.2: web-2 does not have this address any more"),
        (
            "fault-wrong-mac",
            "it was sent to MAC 02:00:00:00:00:99, which is not web-2's (0a:58:0a:f4:02:02); node-2 has",
        ),
        ("fault-wrong-mac", "in its neighbour table: 10.244.2.2 dev cbr0 PERMANENT"),
        ("fault-wrong-mac-back", "it was sent to MAC 02:00:00:00:00:99, which is not node-2's (0a:58:0a:f4:02:01)"),
        ("fault-port-down", "veth-web-2 of node-2 is administratively down"),
        ("fault-asker-down", "client-a has no route for 10.244.2.2, asked afterwards: its eth0 is down"),
        ("fault-blackhole", "router has the route 'blackhole default' for 10.96.0.10, asked afterwards"),
        ("fault-no-ipv6", "client-a has no IPv6 address to send from: net.ipv6.conf.all.disable_ipv6 is 1"),
    ],
)
def test_a_loss_is_explained_and_the_reason_is_said_to_be_inferred(name: str, why: str) -> None:
    end = next(leg.end for leg in journey(name).legs if leg.end.kind != "delivered")
    assert (why in end.why, end.observed) == (True, False)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no-endpoints-reject-iptables-nft", "rule 2 of filter KUBE-SERVICES refuses it (default/empty:http has no"),
        ("no-endpoints-reject-nft", "rule 1 of kube-proxy reject-chain refuses it (default/empty:http)"),
        ("loadbalancer-stranger-drop-iptables-nft", "rule 1 of filter KUBE-PROXY-FIREWALL drops it"),
        ("fault-unreachable", "it answered icmp host unreachable, probably because node-1 has the route 'unreachable"),
        ("fault-rule-prohibit", "from 10.244.1.3 to 10.244.2.2 by cbr0 (prohibit), asked afterwards"),
        ("reply-dropped-by-both-iptables", "rule 1 of iptables-nft's filter FORWARD drops it"),
        ("fault-data-drop", "rule 1 of filter FORWARD drops it"),
    ],
)
def test_an_end_by_a_rule_or_with_an_answer_names_it_and_is_observed(name: str, why: str) -> None:
    end = next(leg.end for leg in journey(name).legs if leg.end.kind != "delivered")
    assert (why in end.why, end.observed) == (True, True)


@pytest.mark.parametrize("name", [name for name in NAMES if "fault" in name])
def test_what_is_behind_an_answer_that_was_seen_is_said_to_be_probable(name: str) -> None:
    for leg in journey(name).legs:
        if leg.end.observed and "asked afterwards" in leg.end.why:
            assert ", probably because " in leg.end.why


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fault-blackhole", "10.96.0.10: blackhole default"),
        ("fault-unreachable", "10.244.2.2: unreachable 10.244.2.2"),
        ("fault-rp-filter-route", "takes no packet from 10.244.1.3 to 10.244.2.2 by eth0"),
    ],
)
def test_why_routing_had_no_way_is_said_once_at_the_end(name: str, text: str) -> None:
    step = [step for step in journey(name).legs[0].steps if step.kind == "route"][-1]
    assert (step.text, step.matters, step.observed) == (text, False, False)


def test_who_asks_0_0_0_0_asks_itself_and_takes_the_answer_of_loopback() -> None:
    end = journey("unspecified").legs[1].end
    assert (end.kind, end.why, end.observed) == ("delivered", "came to lo of client-a", True)


@pytest.mark.parametrize("name", ["fault-no-way-back", "fault-wrong-mac-back"])
def test_where_nothing_or_not_all_came_back_the_way_back_is_asked_for(name: str) -> None:
    back = RouteQuestion(netns="web-2", destination=ip_address("10.244.1.3"), source=ip_address("10.244.2.2"))
    assert back in questions(recorded(name))
    assert back not in questions(recorded("clusterip-other-node-nft"))


def test_rules_of_both_kinds_of_iptables_are_told_apart() -> None:
    reply = journey("reply-dropped-by-both-iptables").legs[1]
    dropped = next(step for step in reply.steps if "drop" in step.moments)
    assert dropped.rule
    assert (dropped.rule.text, dropped.handle > 0) == ("-p tcp -m tcp --sport 8080 -j DROP", True)


def test_a_packet_that_was_sent_again_is_one_leg_with_the_steps_of_the_first_time() -> None:
    (request,) = journey("fault-neigh").legs
    assert request.times == 2
    assert len([step for step in request.steps if step.node == "client-a" and step.kind == "tap"]) == 1


@pytest.mark.parametrize("name", ["fault-raw-drop", "fault-netdev-drop"])
def test_what_ended_before_routing_is_not_routed(name: str) -> None:
    steps = [(step.node, step.kind) for step in journey(name).steps]
    assert ("client-a", "route") in steps
    assert ("node-1", "route") not in steps
    assert "node-1" not in {asked.netns for asked in questions(recorded(name))}


def test_an_entry_that_was_there_is_not_called_new_and_that_it_was_there_is_inferred() -> None:
    told = [
        step for step in journey("udp-old-entry").legs[0].steps if step.kind == "conntrack" and step.node == "node-1"
    ]
    dnat, entry = told
    assert (dnat.moments, dnat.observed) == (("dnat",), False)
    assert entry.text.startswith(
        "an entry that was there before, so that no rule was asked: translates the destination"
    )
    assert not entry.observed


def test_where_events_were_lost_nobody_says_that_no_rule_was_asked() -> None:
    told = assemble(replace(recorded("udp-old-entry"), lost={"node-1": 1})).legs[0].steps
    entry = next(step for step in told if step.kind == "conntrack" and step.hook == "POSTROUTING")
    assert entry.text.startswith("entry:")


def test_the_entry_is_told_where_it_is_made_and_known_by_its_id() -> None:
    request = journey("clusterip-other-node-nft").legs[0]
    entries = [step for step in request.steps if step.kind == "conntrack"]
    assert [(step.node, step.hook, step.observed, step.matters) for step in entries] == [
        ("node-1", "POSTROUTING", True, True),
        ("node-2", "POSTROUTING", True, False),  # that one translates nothing
    ]


def test_routing_is_asked_what_the_packet_looked_like_when_it_was_routed() -> None:
    asked = questions(recorded("clusterip-other-node-nft"))
    client, web = ip_address("10.244.1.3"), ip_address("10.244.2.2")
    assert RouteQuestion(netns="node-1", destination=web, source=client, iif="cbr0") in asked
    assert RouteQuestion(netns="node-2", destination=web, source=client, iif="eth0") in asked
    assert RouteQuestion(netns="client-a", destination=ip_address("10.96.0.10"), source=client) in asked


def test_behind_output_routing_is_asked_again_for_the_new_destination() -> None:
    asked = questions(recorded("localhost-nodeport"))
    assert RouteQuestion(netns="node-1", destination=ip_address("10.244.1.2"), mark=0x4000) in asked


def test_a_route_is_told_in_ips_words_and_as_asked_afterwards_else_as_far_as_it_was_seen() -> None:
    evidence = recorded("clusterip-other-node-nft")
    told = [(step.text, step.observed) for step in assemble(evidence).legs[0].steps if step.kind == "route"]
    assert ("10.244.2.2 via 192.168.0.11 dev eth0", False) in told
    seen = [(step.text, step.observed) for step in assemble(replace(evidence, routes=())).legs[0].steps]
    assert ("10.244.2.2 dev eth0", True) in seen


def test_a_journey_is_assembled_within_30_ms() -> None:
    evidence = recorded("clusterip-other-node-nft")
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        assemble(evidence)
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.03
