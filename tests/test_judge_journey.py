from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab import judge
from lab.model.finding import Finding
from lab.model.journey import Journey
from lab.model.lab import MarkHook
from lab.model.netfilter import Dnat, Masquerade, Match, Note, Reject, Remember, Rule, Statement
from lab.model.netfilter import Mark as MarkStatement
from lab.model.observation import Observation, Resolved

from . import journeys
from .test_judge import expect

MASQUERADED = journeys.hairpin()


def judged(journey: Journey, /, *, lost: str = "", **expected: Any) -> dict[str, Finding]:
    seen = Observation(replies=(journey.reply,), journey=journey, lost=lost)
    findings = judge.judge(expect(**expected), seen, Resolved())
    assert len({finding.what for finding in findings}) == len(findings)
    return {finding.what: finding for finding in findings}


def only(journey: Journey, /, *, lost: str = "", **expected: Any) -> Finding:
    (finding,) = judged(journey, lost=lost, **expected).values()
    return finding


def test_a_journey_shows_the_moments_that_are_expected_and_where_they_were() -> None:
    finding = only(journeys.clusterip(), journey=["choose", "dnat", "reply-translated"])
    assert (finding.what, finding.expected) == ("journey", "choose, dnat, reply-translated")
    assert finding.holds
    told = "choose, dnat, reply-translated on node-1"
    assert finding.observed == told


@pytest.mark.parametrize(
    ("expected", "holds"),
    [
        (["dnat on node-1"], True),
        (["dnat on node-2"], False),
        (["dnat", "choose"], False),  # in this order
        (["dnat", "dnat"], False),  # once is not twice
        (["choose", "reply-translated on node-1"], True),
        (["masquerade"], False),
    ],
)
def test_moments_hold_in_their_order_at_their_places(expected: list[str], holds: bool) -> None:
    assert only(journeys.clusterip(), journey=expected).holds == holds


@pytest.mark.parametrize(
    ("excluded", "holds"),
    [
        (["masquerade", "hairpin"], True),
        (["dnat"], False),
        (["masquerade", "dnat on node-1"], False),
        (["dnat on node-2"], True),
    ],
)
def test_moments_that_must_not_be_there_are_looked_for_in_all_legs(excluded: list[str], holds: bool) -> None:
    finding = only(journeys.clusterip(), journey={"without": excluded})
    assert (finding.what, finding.expected, finding.holds) == ("journey without", " or ".join(excluded), holds)


@pytest.mark.parametrize(
    ("via", "holds"),
    [(["node-1", "node-2"], True), (["node-1"], False), (["node-2"], False), (["node-2", "node-1"], False)],
)
def test_the_request_came_by_exactly_these_nodes_and_the_reply_is_not_asked(via: list[str], holds: bool) -> None:
    finding = only(replace(journeys.clusterip(), nodes=("node-1", "node-2")), journey={"via": via})
    assert (finding.what, finding.observed, finding.holds) == ("journey via", "node-1, node-2", holds)


@pytest.mark.parametrize(
    ("journey", "end", "holds"),
    [
        (journeys.clusterip(), "delivered", True),
        (journeys.clusterip(), "delivered on web-2", True),
        (journeys.clusterip(), "delivered on web-1", False),
        (journeys.drop(), "dropped on node-1", True),
        (journeys.drop(), "lost", False),
        (journeys.reject(), "refused", True),
        (journeys.hairpin(port=False), "lost on node-1", True),
        (journeys.lost(known=False), "lost", False),  # what is not known is not known
        (journeys.untranslated(), "delivered", True),  # the reply's end is its own
    ],
)
def test_the_end_is_what_became_of_the_request(journey: Journey, end: str, holds: bool) -> None:
    finding = only(journey, journey={"end": end})
    request = journey.legs[0].end
    assert (finding.what, finding.expected, finding.holds) == ("journey end", end, holds)
    assert finding.observed == f"{request.kind} on {request.node}: {request.why}"


def test_each_part_of_a_journey_is_a_finding_of_its_own() -> None:
    wanted = {"contains": ["dnat"], "without": ["hairpin"], "via": ["node-1"], "end": "delivered"}
    found = judged(replace(MASQUERADED, nodes=("node-1",)), journey=wanted)
    assert {what: one.holds for what, one in found.items()} == {
        "journey": True,
        "journey without": False,
        "journey via": True,
        "journey end": True,
    }


def test_who_expects_a_journey_expects_no_answer_unless_he_says_so() -> None:
    assert only(journeys.drop(), journey=["drop"]).holds
    found = judged(journeys.drop(), journey=["drop"], answer={"by": "web-2"})
    assert {what: one.holds for what, one in found.items()} == {"answer": False, "journey": True}


def test_a_journey_of_which_nothing_was_seen_has_neither_moments_nor_nodes_nor_an_end() -> None:
    nothing = replace(journeys.drop(), legs=())
    found = judged(nothing, journey={"contains": ["drop"], "without": ["dnat"], "via": ["node-1"], "end": "dropped"})
    assert [(one.observed, one.holds) for one in found.values()] == [
        ("none", False),
        ("none", True),
        ("no node", False),
        ("the packet was not seen", False),
    ]
    assert only(nothing, mark={"node": "node-1", "is": 0}).observed == "the packet was not seen there"


def test_nothing_holds_of_which_evidence_was_lost() -> None:
    everything = {
        "journey": {"contains": ["dnat"], "without": ["drop"], "via": ["node-1"], "end": "delivered"},
        "mark": {"node": "node-1", "is": 0x4000},
        "rules": {"node": "node-1", "hit": []},
    }
    found = judged(MASQUERADED, lost="12 events were lost on node-1", **everything)
    assert len(found) == 6
    assert not any(one.holds for one in found.values())
    assert all(one.observed.endswith(" (12 events were lost on node-1)") for one in found.values())


@pytest.mark.parametrize("wanted", [{"journey": ["dnat"]}, {"mark": {"node": "node-1", "is": 0}}])
def test_nothing_holds_that_nobody_looked_at(wanted: dict[str, Any]) -> None:
    (finding,) = judge.judge(expect(**wanted), Observation(replies=(MASQUERADED.reply,)), Resolved())
    assert not finding.holds


@pytest.mark.parametrize(
    ("at", "mark"),
    [("prerouting", 0x4000), ("forward", 0x4000), ("postrouting", 0x4000)],  # there before kube-proxy takes it off
)
def test_a_mark_is_the_one_behind_a_hooks_rules(at: MarkHook, mark: int) -> None:
    finding = only(MASQUERADED, mark={"node": "node-1", "at": at, "is": mark})
    assert (finding.what, finding.expected) == (f"mark at {at} on node-1", f"{mark:#x}")
    assert (finding.observed, finding.holds) == ("0x4000", True)
    assert not only(MASQUERADED, mark={"node": "node-1", "at": at, "is": 0}).holds


@pytest.mark.parametrize("where", [{"node": "node-2"}, {"node": "node-1", "at": "input"}])
def test_a_mark_where_the_request_never_was_does_not_hold(where: dict[str, str]) -> None:
    finding = only(MASQUERADED, mark={**where, "is": 0})
    assert (finding.holds, finding.observed) == (False, "the packet was not seen there")


def test_a_mark_that_is_not_known_does_not_hold() -> None:
    request, *others = MASQUERADED.legs
    unknown = replace(request, steps=tuple(replace(step, mark_before=None, mark_after=None) for step in request.steps))
    finding = only(replace(MASQUERADED, legs=(unknown, *others)), mark={"node": "node-1", "is": 0x4000})
    assert (finding.holds, finding.observed) == (False, "it is not known")


def test_a_hook_that_is_passed_twice_must_show_the_mark_both_times() -> None:
    story = journeys.Story(journeys.way("192.168.0.10:1 127.0.0.1:30080"), node="node-1", mark=0)
    story.hook("POSTROUTING").hook("PREROUTING")
    story.mark = 7
    request = story.hook("POSTROUTING").leg("request", "tcp [S]", journeys.arrived("node-1"))
    twice = replace(MASQUERADED, legs=(request,))
    finding = only(twice, mark={"node": "node-1", "is": 7})
    assert (finding.holds, finding.observed) == (False, "0x0 and 0x7")


HIT = [
    "KUBE-SERVICES > KUBE-SVC",
    "KUBE-SVC > KUBE-SEP",
    "KUBE-SEP > KUBE-MARK-MASQ",
    "KUBE-MARK-MASQ > MARK",
    "KUBE-SEP > DNAT",
    "KUBE-FORWARD > ACCEPT",
    "KUBE-POSTROUTING > MARK",
    "KUBE-POSTROUTING > MASQUERADE",
]


def test_exactly_the_rules_that_are_expected_must_have_matched() -> None:
    finding = only(MASQUERADED, rules={"node": "node-1", "hit": HIT})
    assert finding.holds
    assert (finding.what, finding.expected) == ("rules on node-1", ", ".join(HIT))
    assert finding.observed == ", ".join(HIT)  # in the order of the packet, without hashes
    for number in range(len(HIT)):
        assert not only(MASQUERADED, rules={"node": "node-1", "hit": HIT[:number] + HIT[number + 1 :]}).holds
    assert not only(MASQUERADED, rules={"node": "node-1", "hit": [*HIT, "KUBE-SERVICES > KUBE-NODEPORTS"]}).holds
    assert only(MASQUERADED, rules={"node": "node-2", "hit": []}).holds


def test_rules_of_all_legs_count() -> None:
    request, reply = MASQUERADED.legs
    more = journeys.Story(reply.steps[0].after, node="node-1", at="FORWARD")
    more.rule("filter", "KUBE-FORWARD", 3, "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
    later = replace(reply, steps=(*reply.steps, *more.steps))
    assert not only(replace(MASQUERADED, legs=(request, later)), rules={"node": "node-1", "hit": HIT}).holds


@pytest.mark.parametrize(
    "text",
    [
        f"{journeys.SVC} > {journeys.SEP_1}",
        "KUBE-SVC > KUBE-SEP",
        f"KUBE-SVC > {journeys.SEP_1}",
    ],
)
def test_a_rule_may_be_named_with_its_hashes_or_without(text: str) -> None:
    hit = [text if one == "KUBE-SVC > KUBE-SEP" else one for one in HIT]
    assert only(MASQUERADED, rules={"node": "node-1", "hit": hit}).holds
    other = text.replace(journeys.SEP_1, journeys.SEP_2).replace(journeys.SVC, "KUBE-SVC-AAAAAAAAAAAAAAAA")
    hit = [other if one == "KUBE-SVC > KUBE-SEP" else one for one in HIT]
    assert only(MASQUERADED, rules={"node": "node-1", "hit": hit}).holds == (other == text)


SERVICE, EXTERNAL = "service-SUSTUHLJ-default/web/tcp/http", "external-SUSTUHLJ-default/web/tcp/http"
MARKS = MarkStatement(text="", keep=0, flip=1)
ENDPOINT = "endpoint-5OJB2KTY-default/web/tcp/http__10.244.1.2/8080"


def nftables(*matched: tuple[str, str, tuple[Statement, ...]], table: str = "kube-proxy") -> Journey:
    """Return a journey in nftables mode with these rules: chain, verdict, what the rule is made of."""
    story = journeys.Story(journeys.way("10.244.1.3:1 10.96.0.10:80"), node="node-1")
    for chain, verdict, statements in matched:
        rule = Rule(text="as nft has it", place="", statements=statements)
        story.add("rule", table=table, chain=chain, verdict=verdict, rule=rule, hook="PREROUTING")
    leg = story.leg("request", "tcp [S]", journeys.arrived("web-1"))
    return replace(MASQUERADED, tool="nft", legs=(leg,))


@pytest.mark.parametrize(
    ("chain", "verdict", "statements", "named"),
    [
        ("services", f"goto {SERVICE}", (), "services > service"),
        ("services", f"goto {EXTERNAL}", (), f"services > {EXTERNAL}"),
        (EXTERNAL, "continue", (MARKS, Note(text="masquerade")), "external > mark"),
        (SERVICE, "accept", (Match(text="", field="protocol", among=()), Dnat(text="", choices={})), "service > dnat"),
        (ENDPOINT, "continue", (Remember(text="", name="x"),), "endpoint > update"),
        ("masquerading", "accept", (MARKS, Masquerade(text="")), "masquerading > masquerade"),
        ("reject-chain", "drop", (Reject(text="", answer=""),), "reject-chain > reject"),
        ("service-endpoints-check", "goto reject-chain", (), "service-endpoints-check > reject-chain"),
        ("firewall-check", "drop", (), "firewall-check > drop"),
        ("services", "continue", (Match(text="", field="protocol", among=()),), "services > none"),
    ],
)  # fmt: skip
def test_rules_of_nftables_mode_are_named_by_what_they_lead_to_or_do(
    chain: str, verdict: str, statements: tuple[Statement, ...], named: str
) -> None:
    journey = nftables((chain, verdict, statements))
    finding = only(journey, rules={"node": "node-1", "hit": [named]})
    assert finding.holds, finding.observed
    assert finding.observed == named.replace(EXTERNAL, "external")
    assert not only(journey, rules={"node": "node-1", "hit": []}).holds


def test_chains_that_the_kernel_calls_itself_and_tables_of_others_are_not_asked() -> None:
    hit = {"node": "node-1", "hit": ["services > service"]}
    called = nftables(("nat-prerouting", "jump services", ()), ("services", f"goto {SERVICE}", ()))
    assert only(called, rules=hit).holds
    assert not only(nftables(("services", f"goto {SERVICE}", ()), table="mine"), rules=hit).holds


def test_rules_of_both_modes_stand_in_one_list_and_each_is_asked_in_its_own() -> None:
    both = {"node": "node-1", "hit": [*HIT, "services > service"]}
    assert only(MASQUERADED, rules=both).holds
    finding = only(nftables(("services", f"goto {SERVICE}", ())), rules=both)
    assert (finding.expected, finding.holds) == ("services > service", True)
