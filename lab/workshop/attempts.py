"""A learner's present attempt: its lab is built, broken, come back to, and built anew."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from lab import words
from lab.errors import HostError, LabError, TopologyError
from lab.exercise import progress as events
from lab.model.exercise import Exercise
from lab.model.progress import Attempt, Progress
from lab.standing import session, state
from lab.standing.meter import Meter
from lab.standing.session import Standing
from lab.workshop import labs, scenes
from lab.workshop import progress as file
from lab.workshop.course import Course, place
from lab.workshop.scenes import Scene

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
    return scenes.scene(scenes.find(attempt.exercise, attempt.folder), attempt.seed)


def present(at: Course) -> Sitting:
    """Return the present attempt; raises `TopologyError`, with the next move, unless its lab stands, broken."""
    attempt = begun(at)
    what, again = at.present, "build it anew, broken in the same way: invoke exercise.reset"
    if attempt.built is None:
        raise TopologyError(f"{what}: its lab was not finished, something came between", hint=again)
    record = _record(attempt)
    if record is None:
        raise TopologyError(f"{what}: its lab {attempt.lab} does not stand any more", hint=again)
    if record.created != attempt.built:
        said = f"the lab {attempt.lab} that stands is another one ({record.source})"
        raise TopologyError(f"{what}: its lab does not stand any more; {said}", hint=again)
    return Sitting(scene=scene(at), attempt=attempt, standing=Standing(record))


def chosen(at: Course, name: str, *, seed: int | None = None) -> Scene:
    """Return the scene of an attempt that can be begun here and now, or gone on with; `seed`: None draws one.

    Raises `LabError`, before anything is done, if it cannot.
    """
    exercise = scenes.find(name, at.folder)
    _refuse(at, exercise)
    present_one = at.progress.attempt
    if present_one and at.under_way(exercise) and seed is None:
        return scenes.scene(exercise, present_one.seed)
    items = {item.exercise: item.seed for item in at.progress.exam.left} if at.progress.exam else {}
    return scenes.scene(exercise, items.get(name, secrets.randbelow(SEEDS) if seed is None else seed))


def goes_on(at: Course, made: Scene) -> bool:
    """Return whether a scene is that of the present attempt, which is not solved."""
    attempt = at.progress.attempt
    return attempt is not None and at.under_way(made.exercise) and made.seed == attempt.seed


def start(at: Course, made: Scene, progress: Meter) -> Sitting:
    """Begin an attempt of what was `chosen`, or come back to it if it is the present one and not solved.

    Raises `LabError`; an attempt whose lab could not be built is the present one nevertheless.
    """
    if goes_on(at, made):
        return resume(at, progress)
    file.change(lambda found: found)  # what cannot be noted is told before anything ends
    _end(at.progress.attempt)
    other: list[Attempt | None] = []

    def begin(found: Progress) -> Progress:
        other.append(found.attempt)
        return events.begun(found, _new(at, made, lab=_free(found.attempt)))

    attempt = begun(replace(at, progress=file.change(begin)))
    _end(*other)  # another command may have begun it since `at` was read: of two that begin, the later one wins
    return _build(made, attempt, progress)


def _new(at: Course, made: Scene, *, lab: str) -> Attempt:
    """Return an attempt that begins now."""
    now = time.time()
    return Attempt(
        exercise=made.exercise.name,
        folder=at.folder,
        place=place(made.exercise),
        seed=made.seed,
        lab=lab,
        since=now,
        touched=now,
    )


def note(attempt: Attempt, event: Callable[[Progress], Progress]) -> Progress:
    """Note what became of an attempt, and return the progress; raises `TopologyError` if it is not the present one.

    Another command may have begun another one meanwhile, or built its lab anew.
    """

    def noted(found: Progress) -> Progress:
        if not attempt.same(found.attempt):
            raise TopologyError(
                "meanwhile another command began another exercise, or built this one's lab anew",
                hint="what is under way now: invoke exercise",
            )
        return event(found)

    return file.change(noted)


def _refuse(at: Course, exercise: Exercise) -> None:
    """Raise `LabError` if this exercise cannot be begun here and now."""
    exam = at.progress.exam
    left = [item.exercise for item in exam.left] if exam else []
    if exam and (exercise.name not in left or at.folder != exam.folder):
        numbers = [str(number) for number, item in enumerate(exam.items, 1) if item in exam.left]
        raise TopologyError(
            f"an exam is under way; expected an exercise of it that is not passed: {words.several(numbers, 'or')}",
            hint="to leave the exam: invoke exercise.exam --end",
        )
    if exercise.spec.needs == "root" and os.geteuid():
        raise HostError(
            f"{at.called(exercise)} needs root: a user namespace cannot do what it is about",
            hint="take it as root; what is kept of it is root's, then",
        )


def resume(at: Course, progress: Meter) -> Sitting:
    """Return the present attempt; its lab is built anew if it is gone. Raises `LabError`."""
    begun(at)
    with suppress(TopologyError):
        return present(at)
    return reset(at, progress)


def reset(at: Course, progress: Meter) -> Sitting:
    """Build the present attempt's lab anew, broken in the same way. Raises `LabError`."""
    made, attempt = scene(at), begun(at)
    note(attempt, lambda found: found)  # as above
    _end(attempt)
    lab = _free(attempt)
    found = note(attempt, lambda found: events.built(found, None, time.time(), lab=lab))
    assert found.attempt is not None  # noqa: S101 - it was noted just now
    return _build(made, found.attempt, progress)


def _build(made: Scene, attempt: Attempt, progress: Meter) -> Sitting:
    """Build the lab of the attempt that was noted, and note that it stands; if it cannot be noted, the lab ends."""
    try:
        standing = labs.start(made, lab=attempt.lab, progress=progress)
    except LabError:
        note(attempt, lambda found: found)  # that another command has ended it meanwhile is the better reason
        raise
    try:
        after = note(attempt, lambda found: events.built(found, standing.record.created, time.time()))
    except BaseException:
        session.down(standing.name)
        raise
    assert after.attempt is not None  # noqa: S101 - as above
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


def _free(present: Attempt | None) -> str:
    """Return a name that no lab has, nor one that is just ending, nor one that another command may be building."""
    taken = {record.name for record in state.standing()}  # removes what is left of those that are gone
    with suppress(FileNotFoundError):
        taken |= set(os.listdir(state.root()))
    if present is not None and present.built is None:
        taken.add(present.lab)
    names = (LAB, *(f"{LAB}-{number}" for number in range(2, 3 + len(taken))))
    return next(name for name in names if name not in taken)
