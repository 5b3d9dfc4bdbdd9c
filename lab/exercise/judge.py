"""Cells and probes to what is tried, and what was seen of them to a verdict; and whether an exercise says the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab import judge, words
from lab.controllers import expect
from lab.exercise.matrix import matrix
from lab.model.cluster import Cluster
from lab.model.exercise import Cell, ExerciseSpec
from lab.model.finding import Finding
from lab.model.verdict import CellSeen, State, Verdict
from lab.parse.mistake import LAB, Mistakes, did_you_mean, listed, show

Judged = Sequence[tuple[Finding, ...]]


def probes(spec: ExerciseSpec, cluster: Cluster) -> tuple[Cell, ...]:
    """Return the exercise's own probes, as cells."""
    meant = (one for one in spec.probes if judge.applies(one, cluster))
    return tuple(Cell(name=one.name, it=one.it, expectations=(one,), last=one.last) for one in meant)


def cells(spec: ExerciseSpec, cluster: Cluster, *, now: Cluster | None = None) -> tuple[Cell, ...]:
    """Return the cells of the matrix that the exercise does not leave out; see `lab.exercise.matrix.matrix`."""
    return tuple(cell for cell in matrix(cluster, sync=spec.sync, now=now) if cell.name not in spec.leave)


def check(spec: ExerciseSpec, cluster: Cluster, out: Mistakes) -> None:
    """Report what exercise.yaml names and means nothing in its lab."""
    known = [cell.name for cell in matrix(cluster, sync=spec.sync)]
    for name in spec.leave:
        if name not in known:
            out.add(LAB, ("spec", "leave", name), _no_cell(name, known), key=True)
    left = [name for name in known if name not in spec.leave]
    names = [*left, *(probe.name for probe in spec.probes)]
    for number, name in enumerate(spec.red):
        if name not in names:
            out.add(LAB, ("spec", "red", number), _no_cell(name, names))
    for number, probe in enumerate(spec.probes):
        if probe.name in known:
            where = ("spec", "probes", number, "name")
            out.add(LAB, where, f"{show(probe.name)} is a cell of the matrix; expected another name")
    _expectations(spec, cluster, out)


def _expectations(spec: ExerciseSpec, cluster: Cluster, out: Mistakes) -> None:
    for field, every in (("probes", spec.probes), ("costs", spec.costs)):
        for number, one in enumerate(every):
            expect.judge(cluster, one, ("spec", field, number), out)
    for number, question in enumerate(spec.questions):
        where = ("spec", "questions", number, "proof")
        expect.judge(cluster, question.proof, where, out)
        if not spec.mend and (question.proof.then or question.proof.shares or question.proof.connections):
            text = "what is predicted is shown by one request; expected neither `then` nor `shares` nor `connections`"
            out.add(LAB, where, text, key=True)


def _no_cell(name: str, known: Sequence[str]) -> str:
    return f"there is neither a cell nor a probe {show(name)} here; expected {listed(known)}{did_you_mean(name, known)}"


def seen(cell: Cell, judged: Sequence[Judged]) -> CellSeen:
    """Return a cell with the findings of each of its expectations, which it was tried with."""
    findings = tuple(part for one in judged for part in one)
    asked = tuple(wanted for wanted, one in zip(cell.expectations, judged, strict=True) for _ in one)
    state: State = "green" if holds(findings) else "red"
    return CellSeen(name=cell.name, it=cell.it, state=state, findings=findings, asked=asked)


def holds(judged: Judged) -> bool:
    """Return whether every finding does."""
    return all(finding.holds for part in judged for finding in part)


def told(judged: Judged) -> str:
    """Return what does not hold, in a line."""
    bad = (one for part in judged for one in part if not one.holds)
    return "; ".join(f"{one.what}: expected {one.expected}, observed {one.observed}" for one in bad)


def untried(cell: Cell) -> CellSeen:
    """Return a cell that could not be tried, since what it needs is red."""
    return CellSeen(name=cell.name, it=cell.it, state="untried")


def lies(spec: ExerciseSpec, verdict: Verdict) -> tuple[str, ...]:
    """Return how what is red after the break differs from what the exercise announces, in sentences."""
    red, announced = set(verdict.red), set(spec.red)
    order = [cell.name for cell in verdict.cells]
    found = []
    if silent := [name for name in order if name in announced - red]:
        found.append(f"announced as red, and not red after the break: {words.several(silent, 'and')}")
    if more := [name for name in order if name in red - announced]:
        found.append(f"red after the break, and not announced: {words.several(more, 'and')}")
    return tuple(found)


def not_shown(spec: ExerciseSpec, shown: Iterable[str], source: str) -> tuple[str, ...]:
    """Return the costs that no solution has: what is never shown may not be true. `source`: the exercise's file."""
    every = set(shown)
    return tuple(
        f"{source}: no fix in solve/ has the cost {show(cost.says)}: add one that has it, or drop it"
        for cost in spec.costs
        if cost.says not in every
    )
