"""What a learner has done: the nouns of the progress file, and of the results that are handed to a teacher."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from lab.model.part import Part

VERSION = 1
"""Of the progress file's form."""

RESULTS_VERSION = "hairpin/v1alpha1"

State = Literal["new", "begun", "given up", "passed"]
"""Of an exercise: never begun; begun; its solution was read before it was passed; passed without that."""


class Attempt(Part, frozen=True, kw_only=True, omit_defaults=False):
    """One go at an exercise, the present one.

    `folder`: the folder of exercises that it is from, "" for those that come along. `place`: the exercise's own, as an
    absolute path, "" as before. `seed`: what its variables were drawn with. `lab`: its lab's name. `built`: when that
    was built (seconds since the epoch, as the lab's record has it), None until it is built and broken. `hints`: the
    highest level that was shown. `red`: what was red at the last check, None before the first. `answers`: those to
    questions, by their names; `wrong`: how many were wrong so far. `ran`: what a quiz predicts was run. `passed`: it
    was passed; `gave_up`: the solution was read before. `since` and `touched`: when this sitting began and when its
    last command came, `spent_s`: how long the sittings before it took, so that a night between two sittings does not
    count.
    """

    exercise: str
    seed: int
    lab: str
    since: float
    touched: float
    folder: str = ""
    place: str = ""
    built: float | None = None
    spent_s: float = field(default=0.0, name="spentSeconds")
    hints: int = 0
    checks: int = 0
    red: tuple[str, ...] | None = None
    answers: dict[str, str] = {}
    wrong: int = 0
    ran: bool = False
    passed: bool = False
    gave_up: bool = False

    @property
    def over(self) -> bool:
        """Whether it was passed or given up: what is read or tried from then on counts no more."""
        return self.passed or self.gave_up

    @property
    def key(self) -> str:
        """Under which its exercise's record is kept: other folders may have exercises of the same name."""
        return self.place or self.exercise

    def same(self, other: Attempt | None) -> bool:
        """Return whether another is this one, with the same lab, whatever was done in it."""
        return other is not None and _identity(self) == _identity(other)


def _identity(attempt: Attempt) -> tuple[object, ...]:
    return attempt.key, attempt.seed, attempt.lab, attempt.built


class Record(Part, frozen=True, kw_only=True, omit_defaults=False):
    """What was done about one exercise, in all attempts.

    `wrong`: how many wrong answers were given. `best_s`: the shortest time, in seconds, of the attempts that passed
    without the solution, which `passes` counts.
    """

    attempts: int = 0
    checks: int = 0
    hints: int = 0
    wrong: int = 0
    passes: int = 0
    best_s: float | None = field(default=None, name="bestSeconds")
    first_passed: float | None = None
    gave_up: bool = False

    @property
    def state(self) -> State:
        """What it comes to."""
        if self.passes:
            return "passed"
        return "given up" if self.gave_up else "begun" if self.attempts else "new"


class ExamItem(Part, frozen=True, kw_only=True, omit_defaults=False):
    """One exercise of an exam, and how long it took, in seconds, once it was passed."""

    exercise: str
    seed: int
    took_s: float | None = field(default=None, name="tookSeconds")


class Exam(Part, frozen=True, kw_only=True, omit_defaults=False):
    """Exercises against the clock: when it began and ended (seconds since the epoch), and how long it may take.

    `folder`: as an attempt's.
    """

    began: float
    minutes: float
    items: tuple[ExamItem, ...]
    ended: float | None = None
    folder: str = ""

    @property
    def deadline(self) -> float:
        """When its time is over, in seconds since the epoch."""
        return self.began + 60 * self.minutes

    @property
    def passed(self) -> int:
        """How many of its exercises were passed."""
        return sum(item.took_s is not None for item in self.items)

    @property
    def left(self) -> tuple[ExamItem, ...]:
        """Return those that were not passed."""
        return tuple(item for item in self.items if item.took_s is None)


class Progress(Part, frozen=True, kw_only=True, omit_defaults=False):
    """All that a learner has done: the present attempt, the present exam, and what came before.

    `records` are under the names of exercises that come along, and under the places of others, as `Attempt.key`.
    """

    version: int = VERSION
    attempt: Attempt | None = None
    records: dict[str, Record] = {}
    exam: Exam | None = None
    exams: tuple[Exam, ...] = ()

    def record(self, key: str) -> Record:
        """Return what was done about an exercise."""
        return self.records.get(key, Record())


class Row(Part, frozen=True, kw_only=True, omit_defaults=False):
    """One exercise of the course beside what was done about it."""

    name: str
    chapter: str
    title: str
    difficulty: int
    needs_root: bool = False
    record: Record = Record()


class Results(Part, frozen=True, kw_only=True, omit_defaults=False):
    """What `exercise.export` writes: a learner's rows and exams. `written`: RFC 3339's form, in UTC."""

    learner: str
    written: str
    made_by: str
    exercises: tuple[Row, ...]
    exams: tuple[Exam, ...] = ()
