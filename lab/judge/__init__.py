"""Expected beside observed: an expectation and what came of its requests make findings."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, TypeVar

from lab import shares
from lab.judge import flows, journey, replies, rules
from lab.judge.flows import matching
from lab.judge.replies import answered_by, endpoints
from lab.model.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.judge.said import Said
    from lab.model.cluster import Cluster
    from lab.model.lab import Expectation, FlowExpectation, MarkExpectation, Mode, Outcome, RulesExpectation, Step
    from lab.model.observation import Observation, Resolved

__all__ = [
    "answered_by",
    "applies",
    "endpoints",
    "flow_expectations",
    "judge",
    "mark_expectations",
    "matching",
    "modes",
    "names",
    "requests_needed",
    "rules_expectations",
]

Part = TypeVar("Part", "FlowExpectation", "MarkExpectation", "RulesExpectation")


def applies(expectation: Expectation, cluster: Cluster) -> bool:
    """Return whether the expectation is meant for a lab such as `cluster` (its `when`).

    `when.iptables` names who installs the rules of iptables mode, so it means that mode too; `rules` with those of one
    mode alone mean that one. `when.hairpinMode` names what a bridge does, so it means that there is one.
    """
    when, network = expectation.when, cluster.spec.network
    return (
        when.mode in {None, cluster.mode}
        and when.plugin in {None, network.plugin}
        and when.overlay in {None, network.overlay}
        and (when.hairpin_mode is None or (network.plugin == "bridge" and when.hairpin_mode == network.hairpin_mode))
        and (when.iptables is None or (cluster.mode == "iptables" and when.iptables == cluster.spec.iptables))
        and cluster.mode in modes(expectation)
    )


def modes(expectation: Expectation) -> tuple[Mode, ...]:
    """Return kube-proxy's modes that the rules which an expectation names are of; every mode if it names none."""
    wanted = [one for part in (expectation, *expectation.then) for one in rules_expectations(part)]
    return tuple(mode for mode in rules.CHAINS if not any(rules.foreign(one, mode) for one in wanted))


def flow_expectations(outcome: Outcome) -> tuple[FlowExpectation, ...]:
    """Return what is expected of nodes' conntrack, as a tuple however it was written."""
    return _several(outcome.flow)


def mark_expectations(outcome: Outcome) -> tuple[MarkExpectation, ...]:
    """Return what is expected of the packet's mark, as a tuple however it was written."""
    return _several(outcome.mark)


def rules_expectations(outcome: Outcome) -> tuple[RulesExpectation, ...]:
    """Return which rules are expected to match, as a tuple however it was written."""
    return _several(outcome.rules)


def _several(one_or_more: Part | tuple[Part, ...]) -> tuple[Part, ...]:
    return one_or_more if isinstance(one_or_more, tuple) else (one_or_more,)


def names(outcome: Outcome) -> tuple[str, ...]:
    """Return the names whose addresses `Resolved.addresses` must have to judge the outcome."""
    source = outcome.answer.source if outcome.answer else ""
    wanted = flow_expectations(outcome)
    found = [source, *(flow.dnat for flow in wanted), *(flow.snat for flow in wanted)]
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str) and name))


def requests_needed(outcome: Outcome, resolved: Resolved, *, askers: int = 1) -> int:
    """Return how many requests each asker makes for the outcome to be judged: one, or as many as rule out luck.

    Luck is that a fair choice leads to what is expected: where it is among the Service's pods and `answer.by` names but
    some of them, or where the same pod is expected `again`.
    """
    number = len(endpoints(outcome, resolved))
    if outcome.shares == "equal":
        return shares.requests_needed(number)
    if outcome.shares == "one":
        return shares.requests_to_stick(number)
    if outcome.shares == "some":
        return shares.requests_to_reach(len(set(resolved.endpoints) | set(endpoints(outcome, resolved))))
    lucky = replies.luck(outcome, resolved)
    return ceil(shares.requests_to_rule_out(lucky) / askers) if lucky else 1


def judge(expectation: Expectation | Step, observation: Observation, resolved: Resolved) -> tuple[Finding, ...]:
    """Return a finding for each thing that the expectation, or one step of it, says.

    One that says nothing of the reply, nor of anything else, expects a reply. `observation` has at least one reply;
    `resolved.addresses` has every name of `names(expectation)`, and `observation` the journey if one is expected.
    """
    said = list(replies.said(expectation, observation, resolved))
    for wanted in flow_expectations(expectation):
        flow = next((flow for flow in observation.flows if flow.node == wanted.node), None)
        said.extend(flows.said(wanted, flow, resolved))
    if expectation.traced:
        said.extend(_of_journey(expectation, observation))
    return tuple(
        Finding(it=expectation.it, what=what, expected=expected, observed=observed, holds=holds)
        for what, expected, observed, holds in said
    )


def _of_journey(wanted: Outcome, observation: Observation) -> Iterator[Said]:
    """Judge what the journey tells; where it is not there, or something of its evidence was lost, nothing holds."""
    seen, lost = observation.journey, observation.lost
    if seen is None:
        yield "journey", "traced", "not traced", False
        return
    said = [
        *(journey.marked(one, seen) for one in mark_expectations(wanted)),
        *(rules.hit(one, seen) for one in rules_expectations(wanted)),
    ]
    if (expected := wanted.story) is not None:
        said.extend(journey.said(expected, seen))
    for what, expectation, observed, holds in said:
        yield what, expectation, f"{observed} ({lost})" if lost else observed, holds and not lost
