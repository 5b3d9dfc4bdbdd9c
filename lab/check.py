"""Whether a lab does what its topology expects: make the requests, change what shall change, judge what was seen.

Expectations of replies and flows alone are tried together. One that is traced, wants an order, or goes on (`then`) is
tried when nothing else is under way, in the order of the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

from lab import edits, judge, words
from lab.cases import Case, Known, case_or_finding
from lab.model.cluster import Cluster
from lab.model.finding import Finding
from lab.model.lab import Expectation, Step
from lab.model.observation import Observation
from lab.model.request import Reply, Request
from lab.model.trace import Evidence
from lab.parse.sloppy import parse_duration
from lab.standing import live, observe
from lab.standing.meter import Meter, silently
from lab.standing.session import Standing

AT_ONCE = 1000
"""So many requests are under way at a time where nothing depends on their order: most of those that fail only wait."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `check` found: the findings of each expectation and step, and the expectations that are for other labs."""

    judged: tuple[tuple[Finding, ...], ...]
    left_out: tuple[Expectation, ...]

    @property
    def holds(self) -> bool:
        """Whether every finding does."""
        return all(finding.holds for findings in self.judged for finding in findings)


OnFailure = Callable[[Standing, str, Sequence[tuple[Request, Reply]]], None]
"""Called with the lab as it is then, what was expected of it, and the requests that showed otherwise."""


def _unwatched(_lab: Standing, _it: str, _asked: Sequence[tuple[Request, Reply]]) -> None:
    """Look no further at what failed."""


Judged = list[tuple[Finding, ...]]
"""The findings of an expectation, and of each of its steps."""


def check(lab: Standing, progress: Meter, on_failure: OnFailure = _unwatched) -> Verdict:
    """Make the requests of the topology's expectations, and judge what clients, servers, conntrack and rules saw.

    Nobody else changes the lab meanwhile; what expectations change is put back before this ends. Raises `LabError` if
    the lab cannot be asked.
    """
    with live.held(lab, progress) as standing:
        cluster = standing.cluster
        meant = [one for one in cluster.spec.expect if judge.applies(one, cluster)]
        judged = _check(standing, meant, progress, on_failure)
        return Verdict(
            judged=tuple(findings for every in judged for findings in every),
            left_out=tuple(one for one in cluster.spec.expect if one not in meant),
        )


def several(lab: Standing, wanted: Sequence[Expectation], progress: Meter) -> list[Judged]:
    """Judge expectations that need not be the lab's own, as `check` does; return the findings of each, step by step.

    What one names and is not there does not hold.
    """
    with live.held(lab, progress) as standing:
        return _check(standing, wanted, progress, _unwatched)


def _check(lab: Standing, wanted: Sequence[Expectation], progress: Meter, on_failure: OnFailure) -> list[Judged]:
    together = {number: one for number, one in enumerate(wanted) if not _alone(one)}
    judged = _together(lab, together, progress, on_failure)
    for number, one in enumerate(wanted):
        if number not in judged:
            progress("expectations", number, len(wanted))
            judged[number] = _in_turn(lab, one, on_failure)
    return [judged[number] for number in range(len(wanted))]


def _alone(expectation: Expectation) -> bool:
    """Return whether nothing else may be under way while an expectation is tried."""
    return bool(expectation.traced or expectation.then or expectation.shares == "one")


def _together(
    lab: Standing, wanted: Mapping[int, Expectation], progress: Meter, on_failure: OnFailure
) -> dict[int, Judged]:
    """Try expectations at once, and return the findings of each by its number."""
    known = Known.of(lab.cluster)
    cases = {number: case_or_finding(lab.cluster, one, one, known) for number, one in wanted.items()}
    to_try = [case for case in cases.values() if isinstance(case, Case)]
    nodes = observe.node_names(lab.cluster)
    observed = iter(lab.call(partial(_observe_all, to_try, nodes, progress)) if to_try else ())
    return {
        number: [_judged(lab, case, next(observed), on_failure) if isinstance(case, Case) else (case,)]
        for number, case in cases.items()
    }


def _judged(lab: Standing, case: Case, seen: Observation, on_failure: OnFailure) -> tuple[Finding, ...]:
    findings = judge.judge(case.wanted, seen, case.resolved)
    if not all(finding.holds for finding in findings):
        on_failure(lab, case.wanted.it, list(zip(case.in_full(), seen.replies, strict=True)))
    return findings


def one(lab: Standing, expectation: Expectation, on_failure: OnFailure) -> Judged:
    """Judge one expectation, whose words mean something in the lab, and its steps, as `check` does."""
    with live.held(lab, silently) as standing:
        return _in_turn(standing, expectation, on_failure)


def _in_turn(lab: Standing, expectation: Expectation, on_failure: OnFailure) -> Judged:
    """Try one expectation and its steps, one after the other, and put the lab back; return the findings of each."""
    parts: list[Expectation | Step] = [expectation, *expectation.then]
    judged: Judged = []
    before: Mapping[str, str] = {}
    with live.passing(lab, silently) as turn:
        for wanted in parts:
            if isinstance(wanted, Step):
                lab = _turned(lab, wanted, turn)
            case = case_or_finding(lab.cluster, expectation, wanted, Known.of(lab.cluster))
            if isinstance(case, Finding):
                judged.append((case,))
                continue
            seen = _observe_one(lab, case)
            judged.append(_judged(lab, case, replace(seen, before=before), on_failure))
            before = judge.answered_by(seen)
    return judged


def _turned(lab: Standing, step: Step, turn: live.Turn) -> Standing:
    """Change the conditions of a step's pods, wait as long as it says, and return the lab as it is then."""
    if step.change:
        now = live.moment()
        lab = turn(lambda cluster: _conditioned(cluster, step, now))
    if step.after:
        time.sleep(parse_duration(step.after))  # what is to be seen is what time itself does
    return lab


def _conditioned(cluster: Cluster, step: Step, now: str) -> Cluster:
    changes = step.change.items()
    return reduce(lambda old, change: edits.condition(old, *change, now=now), changes, cluster)


def _observe_all(cases: Sequence[Case], nodes: Sequence[str], progress: Meter) -> list[Observation]:
    """Inside the capsule: send every request, then read what the nodes' conntrack holds of the first ones."""
    number = sum(len(case.in_full()) for case in cases)
    progress("requests", 0, number)
    answered = _replies(cases, nodes, concurrency=AT_ONCE)
    progress("requests", number, number)
    every = observe.flows_on(nodes) if any(judge.flow_expectations(case.wanted) for case in cases) else ()
    return [case.observation(mine, every) for case, mine in zip(cases, answered, strict=True)]


def _observe_one(lab: Standing, case: Case) -> Observation:
    """Send a case's requests, the first one traced if its journey is expected, and look at what came of them."""
    if case.wanted.traced:
        return traced(lab, case)
    return lab.call(partial(_observe_untraced, case, observe.node_names(lab.cluster)))


def traced(lab: Standing, case: Case) -> Observation:
    """Send a case's requests, the first one traced, and look at what came of them, in a lab that is held."""
    from lab.ask import traffic  # noqa: PLC0415 - few expectations need them
    from lab.journey import assemble  # noqa: PLC0415 - as above
    from lab.packets import trace  # noqa: PLC0415 - as above

    evidence = trace.of(lab, case.requests[0])
    others = case.in_full()[1:]
    replies = [evidence.reply, *(lab.call(partial(traffic.requests, others)) if others else ())]
    return replace(case.observation(replies, evidence.flows), journey=assemble(evidence), lost=_lost(evidence))


def _lost(evidence: Evidence) -> str:
    """Say what of a request's evidence is not there, or may be wrong; "" if nothing."""
    called = evidence.places
    numbers = {called[netns]: number for netns, number in evidence.lost.items() if number}
    lost = [f"{words.count(number, 'event')} lost on {name}" for name, number in numbers.items()]
    if evidence.left_out:
        lost.append(f"{words.count(evidence.left_out, 'event')} not kept")
    lost += [f"the rules of {called[one.netns]} changed meanwhile" for one in evidence.listings if not one.steady]
    return ", ".join(lost)


def _observe_untraced(case: Case, nodes: Sequence[str]) -> Observation:
    """Inside the capsule: send a case's requests, then read what the nodes' conntrack holds of the first one."""
    (replies,) = _replies([case], nodes)
    every = observe.flows_on(nodes) if judge.flow_expectations(case.wanted) else ()
    return case.observation(replies, every)


def _replies(cases: Sequence[Case], nodes: Sequence[str], *, concurrency: int = 64) -> list[list[Reply]]:
    """Send the cases' requests, each asker's first one from a port that no flow has; return each case's replies.

    The first ones are those whose flows are looked at: they go before the others, which may make flows like theirs.
    Where one pod must give all replies, they are waited for.
    """
    from lab.ask import ports, traffic  # noqa: PLC0415 - only needed in there

    firsts = [(request, case.ends) for case in cases for request in case.requests]
    others = [request for case in cases for request in case.others()]
    wanted, sockets = [request for request, _ in firsts], ports.bound(firsts, nodes)
    if any(case.wanted.shares == "one" for case in cases):
        replies = traffic.requests(wanted, concurrency=concurrency, sockets=sockets)
        replies += traffic.requests(others, concurrency=concurrency)
    else:
        replies = traffic.requests([*wanted, *others], concurrency=concurrency, sockets=sockets)
    first, other = iter(replies[: len(wanted)]), iter(replies[len(wanted) :])
    return [case.in_order(first, other) for case in cases]
