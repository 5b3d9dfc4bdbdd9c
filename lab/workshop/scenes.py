"""The exercises of a folder, and each with what a seed draws: its lab as it shall be, and its texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import lab as package
from lab import catalogue, topology
from lab.errors import TopologyError
from lab.exercise import judge, vary
from lab.model.exercise import Exercise, ExerciseSpec
from lab.parse import course as courses
from lab.parse import exercise as parse
from lab.parse.files import FILE, printable
from lab.parse.mistake import Mistakes, did_you_mean, show
from lab.topology import Completed


def folder() -> Path:
    """Return the folder of the exercises: beside the package in a checkout, within it where it was installed."""
    place = Path(package.__file__).parent
    return next((found for found in (place.parent / "exercises", place / "exercises") if found.is_dir()), place)


def course(root: str = "") -> tuple[Exercise, ...]:
    """Return the exercises of a folder ("": those that come along) in order; see `lab.parse.course.course`."""
    return courses.course(Path(root) if root else folder())


def readable(root: str = "") -> tuple[tuple[Exercise, ...], courses.Mistaken]:
    """Return those exercises of a folder that have no mistakes in their files or their labs; and the others' mistakes.

    Raises `TopologyError` if there is none at all, good or bad.
    """
    found, mistaken = courses.readable(Path(root) if root else folder())
    for one in found:
        try:
            scene(one, seed=0)
        except TopologyError as error:
            mistaken[courses.place(one.folder)] = error.mistakes
    return tuple(one for one in found if courses.place(one.folder) not in mistaken), mistaken


def find(name: str, root: str = "") -> Exercise:
    """Return an exercise of a folder by its name, whatever is wrong with others.

    Raises `TopologyError` with the nearest name, or with every mistake of the exercise.
    """
    places = courses.folders(Path(root) if root else folder())
    for place in places:
        if place.resolve().name == name:
            return parse.read(place)
    known = [place.resolve().name for place in places]
    raise TopologyError(
        f"there is no exercise {show(name)}{did_you_mean(name, known)}",  # to list them all would tell what is wrong
        hint="`invoke exercise.list` has their numbers, with --names their names",
    )


@dataclass(frozen=True)
class Scene:
    """An exercise with the variables that a seed has drawn: its lab as it shall be, and its texts."""

    exercise: Exercise
    seed: int

    @cached_property
    def _drawn(self) -> vary.Variables:
        return vary.drawn(self.exercise.spec, self.seed)

    @cached_property
    def completed(self) -> Completed:
        """The lab as it shall be; raises `TopologyError` with every mistake of its lab.yaml."""
        text = self.exercise.topology
        if text is None:
            return catalogue.choose(self.exercise.spec.topology)
        source = printable(self.exercise.folder / FILE)
        return topology.read(parse.filled(text, self._drawn, source), source)

    @cached_property
    def variables(self) -> vary.Variables:
        """All that the exercise's texts and scripts may name."""
        return vary.complete(self._drawn, self.completed.cluster)

    @cached_property
    def spec(self) -> ExerciseSpec:
        """What exercise.yaml says with its variables filled in; raises `TopologyError` with its mistakes."""
        spec = parse.settled(self.exercise, self.variables)
        out = Mistakes()
        judge.check(spec, self.completed.cluster, out)
        if out.kept:
            raise parse.refusal(self.exercise, out)
        return spec

    def text(self, template: str, name: str) -> str:
        """Return the exercise's ticket, a hint or the solution with its variables filled in; `name` is the file's."""
        return parse.filled(template, self.variables, printable(self.exercise.folder / name))


def scene(exercise: Exercise, seed: int) -> Scene:
    """Return an exercise's scene; raises `TopologyError` with every mistake of its files and its lab."""
    made = Scene(exercise, seed)
    mistakes: list[str] = []
    texts = [(exercise.ticket, parse.TICKET), (exercise.solution, parse.SOLUTION)]
    texts += [(hint, parse.HINTS_FILE) for hint in exercise.hints]
    reads: list[Callable[[], object]] = [lambda: made.spec, *(partial(made.text, *one) for one in texts)]
    for read in reads:
        try:
            read()
        except TopologyError as error:
            mistakes += [one for one in error.mistakes if one not in mistakes]
    if mistakes:
        raise TopologyError(mistakes, hint="docs/exercises.md says how an exercise is written")
    return made
