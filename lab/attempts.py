"""A learner's course and the present attempt: its lab is built, broken, come back to, and built anew."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from lab import progress as file
from lab import session, state, workshop
from lab.errors import HostError, TopologyError
from lab.exercise import progress as events
from lab.model.exercise import Exercise
from lab.model.progress import Attempt, Progress, Row
from lab.session import Standing
from lab.workshop import Scene

VARIABLE = "HAIRPIN_EXERCISES"
"""The environment variable that names another folder of exercises than the one that comes along."""

LAB = "exercise"
"""The lab's name, if nobody has taken it: the exercise's would tell what is wrong."""

SEEDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Sitting:
    """The present attempt with its scene and its lab; `built`: it was built just now."""

    scene: Scene
    attempt: Attempt
    standing: Standing
    built: bool = False


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was done about the exercises of a folder ("": those that come along)."""

    folder: str
    progress: Progress

    @cached_property
    def exercises(self) -> tuple[Exercise, ...]:
        """The exercises in their order; raises `TopologyError` with every mistake of all of them."""
        return workshop.course(self.folder)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return a row for each exercise."""
        return tuple(
            Row(
                name=one.name,
                chapter=one.chapter,
                title=one.spec.title,
                difficulty=one.spec.difficulty,
                needs_root=one.spec.needs == "root",
                record=self.progress.record(one.name),
            )
            for one in self.exercises
        )

    def place(self, name: str) -> str:
        """Return `exercise 3 of 24`, or where it stands in the exam that is under way."""
        exam, names = self.progress.exam, []
        with suppress(TopologyError):  # mistakes of others do not keep anybody from this one
            names = [item.exercise for item in exam.items] if exam else [one.name for one in self.exercises]
        what = "exam, exercise" if exam else "exercise"
        return f"{what} {names.index(name) + 1} of {len(names)}" if name in names else what


def course(folder: str = "", *, going_on: bool = False) -> Course:
    """Return the course of a folder; an exam whose time is over is over. Raises `LabError`.

    "" means that of the exam that is under way, that of the present attempt if it is `going_on`, that which
    $HAIRPIN_EXERCISES names, or the one that comes along.
    """
    found = file.read()
    if found.exam and time.time() > found.exam.deadline:
        found = file.change(lambda progress: events.exam_over(progress, time.time()))
    if found.exam and not folder:
        return Course(folder=found.exam.folder, progress=found)
    if going_on and found.attempt and not folder:
        return Course(folder=found.attempt.folder, progress=found)
    chosen = folder or os.environ.get(VARIABLE, "")
    return Course(folder=os.path.abspath(chosen) if chosen else "", progress=found)


def begun(at: Course) -> Attempt:
    """Return the present attempt; raises `TopologyError` if none was begun."""
    if at.progress.attempt is None:
        raise TopologyError(
            "no exercise was started", hint="start the first: invoke exercise.next; or choose: invoke exercise.list"
        )
    return at.progress.attempt


def scene(at: Course) -> Scene:
    """Return the present attempt's scene; raises `TopologyError` if none was begun, or its files have mistakes."""
    attempt = begun(at)
    return workshop.scene(workshop.find(attempt.exercise, attempt.folder), attempt.seed)


def present(at: Course) -> Sitting:
    """Return the present attempt; raises `TopologyError`, with the next move, unless its lab stands, broken."""
    attempt = begun(at)
    what, again = f"exercise {attempt.exercise}", "build it anew, broken in the same way: invoke exercise.reset"
    if attempt.built is None:
        raise TopologyError(f"{what}: its lab was not finished, something came between", hint=again)
    record = _record(attempt)
    if record is None:
        raise TopologyError(f"{what}: its lab {attempt.lab} does not stand any more", hint=again)
    if record.created != attempt.built:
        said = f"the lab {attempt.lab} that stands is another one ({record.source})"
        raise TopologyError(f"{what}: its lab does not stand any more; {said}", hint=again)
    return Sitting(scene=scene(at), attempt=attempt, standing=Standing(record))


def start(at: Course, name: str, progress: session.Progress, *, seed: int | None = None) -> Sitting:
    """Begin an exercise, or come back to it if it is the present one and not solved; `seed`: None draws one.

    Raises `LabError`; an attempt whose lab could not be built is the present one nevertheless.
    """
    exercise = workshop.find(name, at.folder)
    _refuse(at, exercise)
    old = at.progress.attempt
    if old and unsolved(at) == name and seed in (None, old.seed):
        return resume(at, progress)
    items = {item.exercise: item.seed for item in at.progress.exam.left} if at.progress.exam else {}
    drawn = items.get(name, secrets.randbelow(SEEDS) if seed is None else seed)
    made = workshop.scene(exercise, drawn)  # its mistakes come before anything is done
    _end(old)
    lab, now, folder = _free(), time.time(), at.folder
    noted = file.change(lambda found: events.begun(found, name, seed=drawn, lab=lab, now=now, folder=folder))
    return _build(made, noted, progress)


def _refuse(at: Course, exercise: Exercise) -> None:
    """Raise `LabError` if this exercise cannot be begun here and now."""
    left = [item.exercise for item in at.progress.exam.left] if at.progress.exam else None
    if left is not None and exercise.name not in left:
        raise TopologyError(
            f"{exercise.name}: an exam is under way; expected one of {', '.join(left)}",
            hint="to leave the exam: invoke exercise.exam --end",
        )
    if exercise.spec.needs == "root" and os.geteuid():
        raise HostError(
            f"exercise {exercise.name} needs root: a user namespace cannot do what it is about",
            hint="take it as root; what is kept of it is root's, then",
        )


def resume(at: Course, progress: session.Progress) -> Sitting:
    """Return the present attempt; its lab is built anew if it is gone. Raises `LabError`."""
    begun(at)
    with suppress(TopologyError):
        return present(at)
    return reset(at, progress)


def reset(at: Course, progress: session.Progress) -> Sitting:
    """Build the present attempt's lab anew, broken in the same way. Raises `LabError`."""
    made = scene(at)
    _end(begun(at))
    lab = _free()
    return _build(made, file.change(lambda found: events.built(found, None, time.time(), lab=lab)), progress)


def _build(made: Scene, found: Progress, progress: session.Progress) -> Sitting:
    """Build the lab of the attempt that was noted, and note that it stands."""
    name = found.attempt.lab if found.attempt else LAB
    standing = workshop.start(made, lab=name, progress=progress)
    after = file.change(lambda now: events.built(now, standing.record.created, time.time()))
    assert after.attempt is not None  # noqa: S101 - it was noted above
    return Sitting(scene=made, attempt=after.attempt, standing=standing, built=True)


def leave(at: Course) -> None:
    """End the present attempt's lab, if that still stands."""
    _end(at.progress.attempt)


def _end(attempt: Attempt | None) -> None:
    """End an attempt's lab, if it is still that one, or is one that was not finished."""
    record = _record(attempt) if attempt else None
    if record is not None and attempt is not None and attempt.built in (None, record.created):
        with suppress(TopologyError):  # it ended by itself just now
            session.down(record.name)


def _record(attempt: Attempt) -> state.Record | None:
    return next((one for one in state.standing() if one.name == attempt.lab), None)


def _free() -> str:
    """Return a name that no lab has, nor one that is just ending."""
    taken = {record.name for record in state.standing()}  # removes what is left of those that are gone
    with suppress(FileNotFoundError):
        taken |= set(os.listdir(state.root()))
    names = (LAB, *(f"{LAB}-{number}" for number in range(2, 3 + len(taken))))
    return next(name for name in names if name not in taken)


def unsolved(at: Course) -> str:
    """Return the present exercise's name if it is neither passed nor given up, else ""."""
    attempt = at.progress.attempt
    return attempt.exercise if attempt and not attempt.passed and not attempt.gave_up else ""


def following(at: Course) -> str:
    """Return the name of the next exercise that is not passed, behind the present one; "" if there is none.

    In an exam it is the next of that. What needs root is left out where we are not.
    """
    exam, rows = at.progress.exam, at.rows
    names = [item.exercise for item in exam.items] if exam else [row.name for row in rows]
    left = {row.name for row in rows if not row.record.passes and not (row.needs_root and os.geteuid())}
    if exam:
        left = {item.exercise for item in exam.left}
    here = at.progress.attempt.exercise if at.progress.attempt else ""
    first = names.index(here) + 1 if here in names else 0
    return next((name for name in (*names[first:], *names[:first]) if name in left and name != here), "")
