"""What is predicted is run: the requests of a quiz's proofs, each traced once, and whether they prove the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab import check, judge
from lab.cases import Case, Known, case_or_finding
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.exercise import Question
from lab.model.finding import Finding
from lab.model.request import Request
from lab.model.verdict import Run
from lab.standing import installed, live
from lab.standing.meter import Meter
from lab.standing.session import Standing
from lab.workshop.scenes import Scene

_AGAIN = "build it anew, as it was: invoke exercise.reset"


def run(made: Scene, lab: Standing, progress: Meter) -> tuple[Run, ...]:
    """Let kube-proxy write its rules anew, then make each request that is asked about, and return what became of it.

    Questions about the same request are answered by the same one. Raises `LabError`: `TopologyError` if what a request
    names is not there any more.
    """
    if made.spec.sync:
        installed.rewrite(lab, progress)
    with live.held(lab, progress) as standing:
        runs = []
        every = together(standing.cluster, made.spec.questions)
        for number, asked in enumerate(every):
            progress("requests", number, len(every))
            runs.append(_run(standing, asked))
        return tuple(runs)


def together(cluster: Cluster, questions: Sequence[Question]) -> list[list[tuple[Question, Case]]]:
    """Return the questions with how they are tried, those about the same request together.

    Raises `TopologyError` if what one names is not in the cluster.
    """
    known = Known.of(cluster)
    found: dict[Request, list[tuple[Question, Case]]] = {}
    for one in questions:
        case = case_or_finding(cluster, one.proof, one.proof, known)
        if isinstance(case, Finding):
            raise TopologyError(case.observed, hint=_AGAIN)
        found.setdefault(replace(case.requests[0], timeout_s=0.0), []).append((one, case))
    return list(found.values())


def _run(lab: Standing, asked: Sequence[tuple[Question, Case]]) -> Run:
    """Make one request, for as long as the most patient of those who ask about it, and judge each proof by it."""
    seen = check.traced(lab, max((case for _, case in asked), key=lambda case: case.requests[0].timeout_s))
    assert seen.journey is not None  # noqa: S101 - it was traced
    return Run(
        questions=tuple(question for question, _ in asked),
        journey=seen.journey,
        findings=tuple(judge.judge(case.wanted, seen, case.resolved) for _, case in asked),
    )


def check_unchanged(runs: Sequence[Run]) -> None:
    """Raise `TopologyError` if a lab does not do any more what makes the answers right."""
    wrong = [one for run in runs for part in run.findings for one in part if not one.holds]
    if wrong:
        told = [f"{one.it}: {one.what}: expected {one.expected}, observed {one.observed}" for one in wrong]
        raise TopologyError(["the lab was changed: it does not do what is asked about", *told], hint=_AGAIN)
