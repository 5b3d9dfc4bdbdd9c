"""A journey beside the walk: what agrees, what each of them has alone, and where they say something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from lab.judge.pairs import ordered
from lab.judge.predicted import compare, predicted
from lab.model import walk
from lab.model.flow import Tuple
from lab.model.journey import End, Journey, Leg, Step
from lab.model.lab import Mode
from lab.model.netfilter import Chain, Table
from lab.model.predicted import Compared
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.request import Reply, Request
from lab.model.trace import Evidence, Link, Listing, Tap
from lab.parse import saved_rules
from lab.proxy.node import render
from lab.proxy.walk import explain
from lab.report import predicted as report
from lab.report.table import Look
from tests.walking import MODES, objects

POD, NODE, VIP = ip_address("10.244.1.77"), ip_address("192.168.0.10"), ip_address("10.96.0.10")
MASQUERADED = ip_address("192.168.0.10")
HERE = walk.Vantage(
    name="node-1", addresses=frozenset({NODE}), in_interface="cbr0", out_interface="eth0", pod_is_bridged=True
)
ASKS = walk.Packet(source=POD, source_port=40000, destination=VIP, destination_port=80)
each_mode = pytest.mark.parametrize("mode", MODES)


def rules(mode: Mode = "iptables", **spec: Any) -> tuple[str, tuple[Table, ...]]:
    """Return node-1's rules for one Service with an endpoint here and one there, as text too."""
    found = objects(**spec)
    made = render(found.services, found.slices, found.nodes, KubeProxyConfiguration(), "ipv4", node="node-1", mode=mode)
    text = made.restore_text()
    return text, saved_rules.read(text, "rules of node-1")[0]


def seen(packet: walk.Packet) -> Tuple:
    source = packet.new_source or (MASQUERADED if packet.masqueraded else packet.source)
    return Tuple(src=source, sport=packet.source_port, dst=packet.destination, dport=packet.destination_port)


def family_and_table(step: walk.Step) -> tuple[str, str]:
    family, _, table = step.table.rpartition(" ")
    return family or "ip", table


def told(way: walk.Way, end: End | None = None) -> Journey:
    """Return the journey of a packet that takes a way, as if the kernel had shown it; it leaves node-1 and arrives."""
    steps = [_step(None, way.steps[0].before, way.steps[0].before, kind="tap", interface="cbr0", direction="in")]
    hook = ""
    for step in way.steps:
        if step.hook == "ROUTING" or step.matched is not True:
            continue
        if step.hook != hook:
            hook = step.hook
            where = {"interface": "cbr0", "out_interface": "" if hook == "PREROUTING" else "eth0"}
            steps.append(_step(step, step.before, step.before, kind="hook", **where))
        family, table = family_and_table(step)
        named = {"family": family, "table": table, "chain": step.chain, "rule": step.rule, "number": step.number}
        kind = "rule" if step.rule else "verdict"
        steps.append(_step(step, step.before, step.after, kind=kind, verdict=step.verdict, **named))
    if end is None:
        after = way.steps[-1].after
        steps.append(replace(_step(None, after, after, kind="tap", interface="eth0", direction="in"), node="web-2"))
        end = End(kind="delivered", node="web-2", why="came to a socket of web-2")
    return Journey(
        asker="client-a",
        goal="svc/web",
        protocol="tcp",
        original=seen(way.steps[0].before),
        tool="iptables-nft",
        reply=Reply(status=200),
        legs=(Leg(role="request", packet="tcp [S]", steps=tuple(steps), end=end),),
    )


def _step(step: walk.Step | None, before: walk.Packet, after: walk.Packet, **fields: Any) -> Step:
    hook = None if step is None or step.hook == "ROUTING" else step.hook
    marks: dict[str, Any] = {"mark_before": before.mark, "mark_after": after.mark}
    return Step(node="node-1", before=seen(before), after=seen(after), hook=hook, **marks, **fields)


def altered(found: Journey, change: Callable[[list[Step]], list[Step]]) -> Journey:
    leg = found.legs[0]
    return replace(found, legs=(replace(leg, steps=tuple(change(list(leg.steps)))),))


def compared(found: Journey, tables: tuple[Table, ...], **more: Any) -> Compared:
    return compare(found, {"node-1": tables}, {"node-1": replace(HERE, in_interface="", out_interface="", **more)})


def differences(found: Compared) -> list[str]:
    pairs = [pair for visit in found.visits for pair in visit.pairs]
    return [
        *(f"{pair.chain} {pair.number}: {pair.difference}" for pair in pairs if pair.difference),
        *(f"end: {visit.difference}" for visit in found.visits if visit.difference),
    ]


def first(mode: Mode = "iptables", **spec: Any) -> tuple[walk.Way, tuple[Table, ...]]:
    """Return the way that leads to the endpoint elsewhere."""
    _, tables = rules(mode, **spec)
    ways = explain(tables, ASKS, HERE, every=True).ways
    return next(way for way in ways if str(way.fate.destination) == "10.244.2.2"), tables


@each_mode
@pytest.mark.parametrize("affinity", ["None", "ClientIP"])
def test_whichever_way_it_took_it_agrees_with_that_one(mode: Mode, affinity: str) -> None:
    """With affinity a request may be remembered, or not: the rules alone do not tell."""
    _, tables = rules(mode, session_affinity=affinity)
    ways = explain(tables, ASKS, HERE, every=True).ways
    assert len(ways) == (2 if affinity == "None" else 4)
    for way in ways:
        found = compared(told(way), tables)
        assert (differences(found), found.agrees) == ([], True)
        (visit,) = found.visits
        assert (visit.ways, visit.share, visit.assumed) == (
            len(ways),
            way.share,
            tuple(one.text for one in way.assumed),
        )
        assert sum(bool(pair.observed) for pair in visit.pairs) > 5
        assert all(pair.predicted and pair.observed for pair in visit.pairs)


@each_mode
def test_a_rule_that_the_kernel_did_not_show_is_a_difference_at_its_place(mode: Mode) -> None:
    way, tables = first(mode)
    whole = told(way)
    shown = [number for number, step in enumerate(whole.steps) if step.kind == "rule"]
    for number in shown:
        gone = whole.steps[number]
        found = compared(altered(whole, lambda steps, at=number: steps[:at] + steps[at + 1 :]), tables)  # type: ignore[misc] # a lambda
        assert differences(found)[0] == f"{gone.chain} {gone.number}: the kernel did not show it"


@each_mode
def test_a_rule_that_the_rules_do_not_lead_to_is_a_difference(mode: Mode) -> None:
    way, tables = first(mode)
    whole = told(way)
    at = next(number for number, step in enumerate(whole.steps) if step.kind == "rule")
    other = replace(whole.steps[at], chain="OTHER", number=3)
    found = compared(altered(whole, lambda steps: [*steps[:at], other, *steps[at:]]), tables)
    assert differences(found) == ["OTHER 3: not expected: no rule leads there"]


def test_a_rule_that_should_not_have_matched_says_why() -> None:
    way, tables = first()
    whole = told(way)
    refused = next(step for step in way.steps if step.chain == "KUBE-POSTROUTING" and step.matched)
    at = next(number for number, step in enumerate(whole.steps) if step.chain == "KUBE-POSTROUTING")
    chain = next(table for table in tables if table.name == "nat").chains["KUBE-POSTROUTING"]
    other = replace(whole.steps[at], number=2, rule=chain.rules[1], verdict="continue")
    found = compared(altered(whole, lambda steps: [*steps[:at], other, *steps[at + 1 :]]), tables)
    assert differences(found) == [
        f"KUBE-POSTROUTING {refused.number}: the kernel did not show it",
        "KUBE-POSTROUTING 2: not expected: no rule leads there",
    ]
    svc = next(step for step in way.steps if step.chain.startswith("KUBE-SVC-") and step.matched is False)
    at = next(number for number, step in enumerate(whole.steps) if step.chain == svc.chain)
    other = replace(whole.steps[at], number=svc.number, rule=svc.rule)
    found = compared(altered(whole, lambda steps: [*steps[:at], other, *steps[at:]]), tables)
    assert differences(found) == [f"{svc.chain} {svc.number}: not expected: {svc.why}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mark_after": 0x4000}, "expected the mark 0x0 behind it, it was 0x4000"),
        ({"mark_before": 0x1}, "expected the mark 0x0 before it, it was 0x1"),
        ({"verdict": "drop"}, "expected accept, it was drop"),
    ],
)
def test_what_a_rule_did_is_compared(change: dict[str, Any], said: str) -> None:
    way, tables = first()

    def alter(steps: list[Step]) -> list[Step]:
        return [replace(step, **change) if step.verdict == "accept" and step.rule else step for step in steps]

    assert said in differences(compared(altered(told(way), alter), tables))[0]


def test_another_destination_than_a_rule_says_is_a_difference() -> None:
    way, tables = first()

    def alter(steps: list[Step]) -> list[Step]:
        wrong = ip_address("10.244.9.9")
        return [
            replace(step, after=replace(step.after, dst=wrong)) if step.verdict == "accept" else step for step in steps
        ]

    found = differences(compared(altered(told(way), alter), tables))
    assert "expected to 10.244.2.2:8080, it was to 10.244.9.9:8080" in found[0]


def test_a_mark_that_is_not_known_is_no_difference() -> None:
    way, tables = first()
    found = altered(told(way), lambda steps: [replace(one, mark_before=None, mark_after=None) for one in steps])
    assert compared(found, tables).agrees


def test_interfaces_and_bridge_are_those_that_the_hooks_saw() -> None:
    text = """*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -m physdev --physdev-is-in -j RETURN
-A FORWARD -i cbr0 -o eth0 -j ACCEPT
-A FORWARD -i eth9 -j DROP
COMMIT
"""
    tables = tuple(replace(table, family="ip") for table in saved_rules.read(text, "rules of node-1")[0])
    (way,) = explain(tables, ASKS, replace(HERE, pod_is_bridged=False), every=True).ways
    assert [step.number for step in way.steps if step.rule and step.matched] == [2]
    assert compared(told(way), tables, pod_interface="").agrees
    assert not compared(told(way), tables, pod_interface="cbr0").agrees


def test_masquerading_makes_the_source_one_of_the_nodes_own() -> None:
    _, tables = rules()
    outside = replace(ASKS, destination=NODE, destination_port=30080, source=ip_address("198.51.100.9"))
    (way, *_) = explain(tables, outside, HERE, every=True).ways
    whole = told(way)
    assert compared(whole, tables).agrees

    def alter(steps: list[Step]) -> list[Step]:
        return [
            replace(step, after=replace(step.after, src=POD)) if step.rule and "MASQUERADE" in step.rule.text else step
            for step in steps
        ]

    assert differences(compared(altered(whole, alter), tables)) == [
        f"KUBE-POSTROUTING 3: expected a source of node-1's own, it was {POD}"
    ]


def test_what_lies_behind_the_place_where_a_packet_was_lost_is_no_difference() -> None:
    way, tables = first()
    whole = told(way, End(kind="lost", node="node-1", why="by rp_filter", observed=False))
    cut = altered(whole, lambda steps: [step for step in steps if step.hook in (None, "PREROUTING")])
    found = compared(cut, tables)
    assert found.agrees
    (visit,) = found.visits
    assert {pair.hook for pair in visit.pairs if not pair.reached} == {"FORWARD", "POSTROUTING"}
    assert (visit.predicted, visit.observed) == ("sent on, to 10.244.2.2:8080", "lost: by rp_filter")
    within = altered(whole, lambda steps: [step for step in steps if not (step.rule and step.hook == "FORWARD")])
    assert not compared(within, tables).agrees


def test_only_the_first_visit_to_a_node_is_compared() -> None:
    """Later ones, as in a routing loop, are no new connection's."""
    way, tables = first()
    whole = told(way)
    last = whole.steps[-1]
    elsewhere = [replace(last, node="router"), replace(whole.steps[0], node="node-1")]
    hook = next(step for step in whole.steps if step.kind == "hook")
    for gap in (elsewhere, []):
        again = altered(whole, lambda steps, gap=gap: [*steps[:-1], *gap, hook, last])  # type: ignore[misc] # a lambda
        found = compared(again, tables)
        assert (len(found.visits), found.agrees) == (1, True)
        assert found.notes[0] == "it came to node-1 1 time more: compared is the first time alone"


def test_a_packet_that_the_rules_let_pass_and_that_is_dropped_is_a_difference_at_its_end() -> None:
    way, tables = first()
    found = compared(told(way, End(kind="dropped", node="node-1", why="by a rule")), tables)
    assert differences(found) == ["end: expected delivered, it was dropped"]


def evidence(mode: Mode, **more: Any) -> tuple[Evidence, walk.Way]:
    text, tables = rules(mode)
    way = explain(tables, ASKS, HERE, every=True).ways[0]
    tool: Any = "nft" if mode == "nftables" else "iptables-nft"
    link = Link(netns="node-1", name="eth0", addresses=(NODE,))
    usual = {
        "request": Request(netns="client-a", address=VIP, port=80),
        "reply": Reply(status=200),
        "tool": tool,
        "places": {"node-1": "node-1", "client-a": "client-a", "web-2": "web-2"},
        "nodes": ("node-1",),
        "names": {},
        "listings": (Listing(netns="node-1", tool=tool, family="ipv4", text=text),),
        "links": (link,),
        "taps": tuple[Tap, ...](),
    }
    return Evidence(**{**usual, **more}), way


@each_mode
def test_rules_and_addresses_of_the_nodes_are_those_of_the_evidence(mode: Mode) -> None:
    given, way = evidence(mode)
    assert predicted(told(way), given).agrees
    assert not predicted(told(way), replace(given, listings=())).agrees


def test_what_was_lost_of_the_evidence_is_said() -> None:
    given, way = evidence("iptables", lost={"node-1": 12, "client-a": 0}, left_out=3, whole=frozenset({"node-1"}))
    given = replace(given, unheard=frozenset({"node-1"}))
    unsteady = replace(given, listings=(replace(given.listings[0], steady=False),))
    notes = predicted(told(way), unsteady).notes
    assert notes[:-1] == (
        "node-1: the kernel had no room for 12 of its reports",
        "3 reports of the kernel's were not kept: there were too many",
        "node-1: rules of iptables-legacy, if there are any, could not be listened to",
        "node-1: its rules changed while this was traced",
    )
    assert "first packet alone" in notes[-1]


SILENT = """*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -j MARK --set-xmark 0x7/0xffffffff
COMMIT
"""


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_a_rule_of_a_table_that_stayed_silent_is_reported(tool: Any) -> None:
    given, way = evidence("iptables", whole=frozenset({"node-1"}))
    silent = replace(given, listings=(*given.listings, Listing(netns="node-1", tool=tool, family="ipv4", text=SILENT)))
    found = predicted(told(way), silent)
    assert differences(found)[0] == "PREROUTING 1: the kernel did not show it"
    assert next(pair.table for visit in found.visits for pair in visit.pairs if pair.difference) == (
        "raw" if tool == "iptables-nft" else "iptables-legacy's raw"
    )


def test_it_is_said_of_which_nodes_silent_tables_are_not_known() -> None:
    given, way = evidence("iptables")
    for whole, said in ((frozenset[str](), 1), (frozenset({"node-1"}), 0)):
        notes = predicted(told(way), replace(given, whole=whole)).notes
        assert sum(note.startswith("node-1: of its tables those alone are known") for note in notes) == said


def test_chains_of_one_priority_are_met_in_the_order_in_which_the_packet_met_them() -> None:
    names = ("filter", "iptables-legacy's filter")
    tables = tuple(Table("ip", name, {"FORWARD": Chain("FORWARD", hook="FORWARD")}, iptables=True) for name in names)
    _, way = evidence("iptables")
    usual = replace(told(way).steps[0], kind="verdict", hook="FORWARD", family="ip", table="filter", chain="FORWARD")
    other = replace(usual, tool="iptables-legacy")
    for steps, wanted in (((usual, other), names), ((other, usual), names[::-1]), ((other,), names[::-1])):
        assert tuple(table.name for table in ordered(tables, steps, "iptables-nft")) == wanted


@each_mode
@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_text_fits_and_says_whether_all_agrees(mode: Mode, width: int) -> None:
    way, tables = first(mode)
    whole = told(way)
    text = report.text(compared(whole, tables), Look(width=width))
    assert max(map(len, text.splitlines())) <= width
    assert ("PREDICTED" in text) is (width >= 100)
    assert "predicted and observed agree: " in text
    assert "✗" not in text
    less = altered(whole, lambda steps: [step for step in steps if step.number != 2])
    text = report.text(compared(less, tables), Look(width=width))
    assert max(map(len, text.splitlines())) <= width
    assert "predicted and observed differ: " in text
    assert "(not shown)" in text
    assert text.count("✗") >= 1


def test_a_request_that_came_to_no_node_has_nothing_to_compare() -> None:
    way, _ = first()
    found = compare(told(way), {}, {})
    assert report.text(found).endswith("the request came to no node: there is nothing to compare")


def test_the_data_have_both_sides_of_each_rule() -> None:
    way, tables = first()
    found = json.loads(json.dumps(report.data(compared(told(way), tables))))
    (visit,) = found["visits"]
    assert (found["agrees"], visit["agrees"], visit["share"], visit["ways"]) == (True, True, "1/2", 2)
    assert visit["packet"] == {"source": f"{POD}:40000", "destination": "10.96.0.10:80", "protocol": "tcp", "mark": 0}
    (dnat,) = [rule for rule in visit["rules"] if rule["rule"] and "DNAT" in rule["rule"]]
    assert dnat["observed"] == {"verdict": "accept", "destination": "10.244.2.2:8080", "mark": 0}
    assert dnat["predicted"] == dnat["observed"] | {"why": dnat["predicted"]["why"]}
    assert (dnat["hook"], dnat["table"], dnat["reached"], dnat["difference"]) == ("PREROUTING", "nat", True, "")
    assert visit["end"]["difference"] == ""


def test_where_a_packet_was_lost_before_a_rule_that_nobody_knows_the_way_that_tells_its_end_is_shown() -> None:
    text = (
        "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m statistic --mode random --probability 0.5 -j NOBODYKNOWS\n"
        "-A FORWARD -j ACCEPT\nCOMMIT\n"
    )
    tables = tuple(replace(table, family="ip") for table in saved_rules.read(text, "rules of node-1")[0])
    ways = explain(tables, ASKS, HERE, every=True).ways
    assert [way.fate.kind for way in ways] == ["unknown", "accept"]
    whole = told(ways[1], End(kind="lost", node="node-1", why="nobody knows"))
    steps = [step for step in whole.steps if step.hook is None]
    found = compared(altered(whole, lambda _: [*steps, replace(steps[0], kind="hook", hook="PREROUTING")]), tables)
    (visit,) = found.visits
    assert (visit.predicted.startswith("sent on"), visit.unknown, found.agrees) == (True, "", True)
