"""A learner's course: the exercises of a folder, what was done about each, and which one comes next."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from lab import words
from lab.errors import TopologyError
from lab.exercise import progress as events
from lab.model.exercise import Exercise
from lab.model.progress import Exam, Progress, Row
from lab.parse.course import Mistaken
from lab.workshop import progress as file
from lab.workshop import scenes

VARIABLE = "HAIRPIN_EXERCISES"
"""The environment variable that names another folder of exercises than the one that comes along."""

MISTAKEN = "its author is told all by: invoke exercise.verify NAME --folder FOLDER"


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was done about the exercises of a folder ("": those that come along).

    `over`: the exam whose time was found to be over just now.
    """

    folder: str
    progress: Progress
    over: Exam | None = None

    @cached_property
    def _found(self) -> tuple[tuple[Exercise, ...], Mistaken]:
        return scenes.readable(self.folder)

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises in their order, without those that have mistakes; raises `TopologyError` if there is none."""
        found, mistaken = self._found
        if not found:
            raise TopologyError([text for every in mistaken.values() for text in every], hint=MISTAKEN)
        return found

    @property
    def mistaken(self) -> Mistaken:
        """The mistakes of the others."""
        return self._found[1]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return a row for each exercise that has no mistakes."""
        return tuple(
            Row(
                name=one.name,
                chapter=one.chapter,
                title=one.spec.title,
                difficulty=one.spec.difficulty,
                needs_root=one.spec.needs == "root",
                record=self.progress.record(key(one)),
            )
            for one in self.exercises
        )

    @property
    def current(self) -> str:
        """The name of the present attempt's exercise, if that is one of these; else ""."""
        attempt = self.progress.attempt
        return next((one.name for one in self.exercises if attempt and attempt.key == key(one)), "")

    @property
    def unsolved(self) -> bool:
        """Whether there is a present exercise, of whatever folder, that is neither passed nor given up."""
        attempt = self.progress.attempt
        return attempt is not None and not attempt.over

    @property
    def passed_before(self) -> bool:
        """Whether the present exercise was passed in another attempt."""
        attempt = self.progress.attempt
        return attempt is not None and self.progress.record(attempt.key).passes > 0

    @property
    def following(self) -> str:
        """The name of the next exercise that is not passed, behind the present one; "" if there is none.

        In an exam it is the next of that. What needs root is left out where we are not. The present one is the next
        if it is given up, and no other is left.
        """
        exam, rows = self.progress.exam, self.rows
        names = [item.exercise for item in exam.items] if exam else [row.name for row in rows]
        left = {row.name for row in rows if not row.record.passes} - set(self.for_root)
        if exam:
            left = {item.exercise for item in exam.left}
        if self.unsolved:
            left.discard(self.current)
        first = names.index(self.current) + 1 if self.current in names else 0
        return next((name for name in (*names[first:], *names[:first]) if name in left), "")

    @property
    def for_root(self) -> tuple[str, ...]:
        """The exercises that are not passed and that root alone can take, if we are somebody else."""
        return tuple(row.name for row in self.rows if not row.record.passes and row.needs_root and os.geteuid())

    def under_way(self, exercise: Exercise) -> bool:
        """Return whether an exercise is the present one, and neither passed nor given up."""
        attempt = self.progress.attempt
        return attempt is not None and self.unsolved and attempt.key == key(exercise)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The exercises' numbers, from 1, by their names: a learner is told numbers, since a name says what is wrong.

        They are those of the exam that is under way in this folder, or else of the course; none if that cannot be read.
        """
        with suppress(TopologyError):  # mistakes of others do not keep anybody from one
            return {name: number for number, name in enumerate(self._names, 1)}
        return {}

    @property
    def _names(self) -> list[str]:
        return [item.exercise for item in self._exam.items] if self._exam else [one.name for one in self.exercises]

    @property
    def _exam(self) -> Exam | None:
        exam = self.progress.exam
        return exam if exam and exam.folder == self.folder else None

    def named(self, wanted: str) -> str:
        """Return the name of an exercise that is wanted by its number or by its name, which may be nobody's.

        Raises `TopologyError` for a number that none has.
        """
        if not wanted.isdecimal():
            return wanted
        names = self._names
        found = next((name for number, name in enumerate(names, 1) if str(number) == wanted), "")
        if not found:
            where = " in the exam that is under way" if self._exam else ""
            raise TopologyError(
                f"there is no exercise {wanted[:9]}{where}; expected a number from 1 to {len(names)}, or a name",
                hint="`invoke exercise.list` says what each one is about",
            )
        return found

    def number(self, name: str) -> str:
        """Return `exercise 3 of 24`, or where it stands in the exam that is under way."""
        what = "exam, exercise" if self._exam else "exercise"
        return f"{what} {self.numbers[name]} of {len(self.numbers)}" if name in self.numbers else what

    def called(self, exercise: Exercise) -> str:
        """Return what an exercise of this folder is called while its name is not told: `exercise 3`."""
        number = self.numbers.get(exercise.name)
        return f"exercise {number}" if number else f'exercise "{words.line(exercise.spec.title)}"'

    @property
    def present(self) -> str:
        """What the present attempt's exercise is called while its name is not told: by its title if it is elsewhere."""
        attempt = self.progress.attempt
        with suppress(TopologyError):  # its files may have mistakes by now
            if self.current in self.numbers:
                return f"exercise {self.numbers[self.current]}"
            if attempt:
                return f'exercise "{words.line(scenes.find(attempt.exercise, attempt.folder).spec.title)}"'
        return "the present exercise"


def course(folder: str = "", *, going_on: bool = False, known: Progress | None = None) -> Course:
    """Return the course of a folder; an exam whose time is over is over. Raises `LabError`.

    "" means that of the exam that is under way, that of the present attempt if it is `going_on`, that which
    $HAIRPIN_EXERCISES names, or the one that comes along. `known`: the progress, where it cannot be read.
    """
    found, over = known or file.read(), None
    if found.exam and time.time() > found.exam.deadline:
        found = file.change(lambda progress: events.exam_over(progress, time.time()))
        over = found.exams[-1]
    chosen = chosen_folder(folder)
    if found.exam and not folder:
        chosen = found.exam.folder
    elif going_on and found.attempt and not folder:
        chosen = found.attempt.folder
    return Course(folder=chosen, progress=found, over=over)


def chosen_folder(folder: str) -> str:
    """Return a folder ("": what $HAIRPIN_EXERCISES names) as an absolute path; "" for that of those that come along."""
    chosen = os.path.realpath(folder or os.environ.get(VARIABLE) or scenes.folder())
    return "" if chosen == os.path.realpath(scenes.folder()) else chosen


def place(exercise: Exercise) -> str:
    """Return where an exercise lies, as an absolute path; "" for one that comes along, wherever that is."""
    whole = exercise.folder.resolve()
    return "" if whole.is_relative_to(scenes.folder().resolve()) else str(whole)


def key(exercise: Exercise) -> str:
    """Return what an exercise's record is kept under, as `Attempt.key` is."""
    return place(exercise) or exercise.name
