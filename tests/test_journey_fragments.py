"""Evidence of which much is missing: nothing is raised, nothing is claimed that was not seen."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.journey import assemble, questions
from lab.model.journey import Journey
from lab.model.trace import Evidence
from tests.recorded import NAMES, recorded

# What a step claims that has a moment and is said to be observed: where, of which table and chain, what.
Claim = tuple[str, str, str, str]


@cache
def whole(name: str) -> Journey:
    return assemble(recorded(name))


def claims(journey: Journey) -> set[Claim]:
    """Return the moments that are said to be observed; without its text a rule that refuses is one that drops."""
    return {
        (step.node, step.table, step.chain, "drop" if moment == "reject" else moment)
        for step in journey.steps
        if step.observed
        for moment in step.moments
    }


def verdicts(journey: Journey) -> set[tuple[str, str]]:
    """Return where packets were seen to be ended, and whose."""
    fatal = ("dropped", "refused")
    return {(leg.packet, leg.end.node) for leg in journey.legs if leg.end.kind in fatal and leg.end.observed}


@st.composite
def fragments(draw: st.DrawFn) -> tuple[str, Evidence]:
    """Draw a piece of recorded evidence: some of its taps, some of its events, perhaps nothing of what is around."""
    name = draw(st.sampled_from(NAMES))
    evidence = recorded(name)
    rate = draw(st.integers(0, 100))
    random = draw(st.randoms(use_true_random=False))
    less = replace(
        evidence,
        taps=tuple(one for one in evidence.taps if random.randrange(100) < rate),
        events=tuple(one for one in evidence.events if random.randrange(100) < rate),
    )
    for part in ("flows", "links", "routes", "listings", "names", "sysctls", "taps", "events"):
        if random.randrange(10) == 0:
            less = replace(less, **{part: type(getattr(evidence, part))()})
    return name, less


@settings(max_examples=150, deadline=None)
@given(fragments())
def test_whatever_is_missing_no_step_claims_to_have_seen_what_was_not(fragment: tuple[str, Evidence]) -> None:
    name, less = fragment
    journey = assemble(less)
    questions(less)
    more = claims(journey) - claims(whole(name))
    if any(leg.times > 1 for leg in whole(name).legs):  # it may be the second time's, which is not told else
        events = {(recorded(name).places[one.netns], one.table, one.chain) for one in recorded(name).events}
        more = {claim for claim in more if claim[:3] not in events}
    assert not more
    assert verdicts(journey) <= verdicts(whole(name))
    for leg in journey.legs:
        assert leg.end.kind in ("delivered", "dropped", "refused") or not leg.end.observed
        times = [step.time_ns for step in leg.steps if step.time_ns is not None]
        assert times == sorted(times)


def test_a_machine_to_which_a_refusal_came_did_not_send_it() -> None:
    evidence = recorded("fault-no-route")
    seen = [one for one in evidence.taps if one.netns == "client-a" or one.time_ns > evidence.taps[5].time_ns]
    (end,) = [leg.end for leg in assemble(replace(evidence, taps=tuple(seen), events=(), links=(), routes=())).legs[:1]]
    assert (end.kind, end.node, end.observed) == ("lost", "client-a", False)


def test_which_packet_a_reset_answers_is_inferred() -> None:
    evidence = recorded("fault-bridge-nf-off")
    taps = replace(evidence, events=(), listings=(), links=(), routes=(), flows=(), names={}, sysctls={})
    journey = assemble(taps)
    ends = [leg.end for leg in journey.legs if leg.packet == "tcp [S.]"]
    assert [(end.kind, end.node, end.observed) for end in ends] == [("refused", "client-a", False)]
    assert "it answered tcp [R]" in ends[0].why


@pytest.mark.parametrize("name", NAMES)
def test_without_any_events_the_taps_tell_the_way(name: str) -> None:
    evidence = recorded(name)
    journey = assemble(replace(evidence, events=(), listings=()))
    assert not {step.kind for step in journey.steps} & {"rule", "hook"}
    seen = [(step.node, step.interface, step.direction) for step in whole(name).legs[0].steps if step.kind == "tap"]
    told = [(step.node, step.interface, step.direction) for step in journey.legs[0].steps if step.kind == "tap"]
    assert told == seen


def test_a_translation_whose_rule_was_not_seen_is_inferred() -> None:
    evidence = recorded("nodeport-client-iptables-nft")
    journey = assemble(replace(evidence, events=()))
    moments = [(step.moments, step.observed) for step in journey.legs[0].steps if step.moments]
    assert moments == [(("dnat", "masquerade"), False)]


def test_without_any_taps_the_events_tell_the_way() -> None:
    evidence = recorded("nodeport-client-iptables-nft")
    hooks = [
        (step.node, step.hook) for step in whole("nodeport-client-iptables-nft").legs[0].steps if step.kind == "hook"
    ]
    journey = assemble(replace(evidence, taps=()))
    assert [(step.node, step.hook) for step in journey.legs[0].steps if step.kind == "hook"] == hooks


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"lost": {"node-1": 3}}, "3 packets or events of node-1 were lost: steps may be missing"),
        ({"left_out": 1}, "1 packet or event were not kept"),
    ],
)
def test_a_loss_of_evidence_is_said_and_makes_an_unexplained_end_unknown(change: dict[str, object], note: str) -> None:
    evidence = recorded("hairpin-none-iptables-legacy")
    journey = assemble(replace(evidence, **change))  # type: ignore[arg-type] # a field and its value
    assert any(note in one for one in journey.notes)
    assert [(leg.end.kind, leg.end.observed) for leg in journey.legs] == [("unknown", False)]


def test_rules_that_changed_meanwhile_are_said() -> None:
    evidence = recorded("clusterip-other-node-nft")
    moved = tuple(replace(one, steady=one.netns != "node-1") for one in evidence.listings)
    notes = assemble(replace(evidence, listings=moved)).notes
    assert set(notes) == {"the rules of node-1 changed meanwhile: their texts may be others'"}


def test_without_a_listing_a_rule_is_told_by_its_handle() -> None:
    evidence = recorded("clusterip-other-node-iptables-nft")
    rules = [step for step in assemble(replace(evidence, listings=())).steps if step.kind == "rule"]
    assert rules
    assert all((step.rule, step.text) == (None, "the rule is not in the listing") for step in rules)
    assert all(step.handle for step in rules)


def test_a_request_of_which_nothing_was_seen_is_unknown_and_says_the_askers_error() -> None:
    evidence = recorded("fault-neigh")
    (leg,) = assemble(replace(evidence, taps=(), events=(), routes=())).legs
    assert (leg.end.kind, leg.end.observed, leg.times, leg.steps) == ("unknown", False, 0, ())
    assert "timeout" in leg.end.why
