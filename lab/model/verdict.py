"""What came of a check of an exercise, and of a proof that the exercise itself is as it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.model.exercise import Question
    from lab.model.finding import Finding
    from lab.model.journey import Journey
    from lab.model.lab import Expectation

State = Literal["green", "red", "untried"]
Stage = Literal["before", "broken", "wrong", "solve"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellSeen:
    """A cell of the matrix, or a probe, and how it was found: `untried` where what it needs is red.

    `findings`: of each expectation, and each of its steps; `asked`: for each of these the expectation, which says who
    asked whom; () of an answer to a question, for which nobody asked anybody.
    """

    name: str
    it: str
    state: State
    findings: tuple[tuple[Finding, ...], ...] = ()
    asked: tuple[Expectation, ...] = ()

    @property
    def tried(self) -> Iterator[tuple[Expectation | None, tuple[Finding, ...]]]:
        """The findings of each expectation and step, with the expectation; None: nobody asked anybody."""
        return zip(self.asked or (None,) * len(self.findings), self.findings, strict=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A request that was predicted, and its journey; `questions` that it answers, the `findings` of their proofs."""

    questions: tuple[Question, ...]
    journey: Journey
    findings: tuple[tuple[Finding, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a check found. `stable`: a second look found the same; the cells are those of the last look.

    `costs`: what a fix that passed costs, in sentences. Of a quiz, `open`: the questions that must be predicted before
    anything is run; `runs`: what was run.
    """

    cells: tuple[CellSeen, ...]
    stable: bool = True
    costs: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def red(self) -> tuple[str, ...]:
        """The names of what is red."""
        return tuple(cell.name for cell in self.cells if cell.state == "red")

    @property
    def holds(self) -> bool:
        """Whether all is green, and stays so."""
        return self.stable and all(cell.state == "green" for cell in self.cells)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One proof of an exercise, in a lab of its own: what was tried, what is wrong with it, how long it took.

    `began_s`: when it began, in seconds of a clock that all trials share. `script`: the fix that was tried. `seed`:
    what the variables were drawn with. `wrong`: "" if it is as the exercise says; `cells`: those that tell why.
    `costs`: what the fix was found to cost.
    """

    stage: Stage
    seed: int
    script: str = ""
    wrong: tuple[str, ...] = ()
    cells: tuple[CellSeen, ...] = ()
    costs: tuple[str, ...] = ()
    began_s: float = 0.0
    took_s: float = 0.0


def span_s(trials: Sequence[Trial]) -> float:
    """Return the seconds from the first trial's beginning to the last one's end; some stand side by side."""
    ends = [one.began_s + one.took_s for one in trials]
    return max(ends, default=0.0) - min((one.began_s for one in trials), default=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """An exercise and its proofs; or why it was not tried; or mistakes that no trial is needed to see."""

    exercise: str
    trials: tuple[Trial, ...] = ()
    mistakes: tuple[str, ...] = ()
    not_tried: str = ""

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.mistakes and not any(trial.wrong for trial in self.trials)

    @property
    def took_s(self) -> float:
        """The seconds from its first trial's beginning to its last one's end."""
        return span_s(self.trials)
