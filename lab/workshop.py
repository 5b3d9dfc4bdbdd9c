"""Exercises at work: their labs are built and broken, checked by what they do, and the exercises themselves proven."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import lab as package
from lab import catalogue, check, enter, installed, live, session, topology
from lab.errors import KernelError, TopologyError
from lab.exercise import judge, vary
from lab.judge import applies
from lab.kernel import command
from lab.kernel.command import Command, Done
from lab.model.exercise import Cell, Exercise, ExerciseSpec, Script
from lab.model.verdict import CellSeen, Verdict
from lab.parse import exercise as parse
from lab.parse.files import FILE, printable
from lab.parse.mistake import Mistakes, did_you_mean, listed, show
from lab.session import Progress, Standing
from lab.topology import Completed

SCRIPT_S = 180.0
"""How long a script may take, in seconds; some take ten of a quiet machine's, and `exercise.verify` makes it busy."""
STABLE_S = 1.5
"""How long to wait, in seconds, before what was found green is looked at again."""
SHOWN = 12
"""So many lines of a failed script's output are told."""


def folder() -> Path:
    """Return the folder of the exercises: beside the package in a checkout, within it where it was installed."""
    place = Path(package.__file__).parent
    return next((found for found in (place.parent / "exercises", place / "exercises") if found.is_dir()), place)


def course(root: str = "") -> tuple[Exercise, ...]:
    """Return the exercises of a folder ("": those that come along) in order; see `lab.parse.exercise.course`."""
    return parse.course(Path(root) if root else folder())


def readable(root: str = "") -> tuple[tuple[Exercise, ...], parse.Mistaken]:
    """Return those exercises of a folder that have no mistakes in their files or their labs; and the others' mistakes.

    Raises `TopologyError` if there is none at all, good or bad.
    """
    found, mistaken = parse.readable(Path(root) if root else folder())
    for one in found:
        try:
            scene(one, seed=0)
        except TopologyError as error:
            mistaken[parse.place(one.folder)] = error.mistakes
    return tuple(one for one in found if parse.place(one.folder) not in mistaken), mistaken


def find(name: str, root: str = "") -> Exercise:
    """Return an exercise of a folder by its name, whatever is wrong with others.

    Raises `TopologyError` with the nearest name, or with every mistake of the exercise.
    """
    places = parse.folders(Path(root) if root else folder())
    for place in places:
        if place.resolve().name == name:
            return parse.read(place)
    known = [place.resolve().name for place in places]
    text = f"there is no exercise {show(name)}; expected {listed(known)}{did_you_mean(name, known)}"
    raise TopologyError(text, hint="`invoke exercise.list` says what each one is about")


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


def start(made: Scene, *, lab: str, progress: Progress) -> Standing:
    """Build an exercise's lab, break it, and return it; whatever goes wrong, nothing stays.

    Raises `TopologyError` if a lab of that name stands already.
    """
    stays = False
    with passing(made, lab=lab, progress=progress, stays=lambda: stays) as standing:
        breaking(made, standing)
        stays = True
        return standing


@contextmanager
def passing(
    made: Scene, *, lab: str, progress: Progress = session.silently, stays: Callable[[], bool] | None = None
) -> Iterator[Standing]:
    """Build an exercise's healthy lab, give it, and end it with the block, unless it `stays`."""
    source = f"exercise {made.exercise.name}"
    chosen = made.completed
    with session.passing(
        chosen.cluster, name=lab, source=source, notes=chosen.notes, progress=progress, stays=stays
    ) as standing:
        if made.exercise.prepare:
            run(made, standing, made.exercise.prepare)
        yield standing


def breaking(made: Scene, standing: Standing) -> None:
    """Break a healthy lab of the exercise, if it is one in which something is broken."""
    if made.exercise.break_:
        run(made, standing, made.exercise.break_)


def run(made: Scene, standing: Standing, script: Script) -> None:
    """Run a script of an exercise inside its lab.

    Raises `TopologyError`, with what the script printed, if it fails or does not end.
    """
    env = {**made.variables, "here": str(made.exercise.folder.resolve()), **enter.environment(standing)}
    wanted = Command(argv=("sh", "-eu", "-c", script.text, script.name), env=env, group=True)
    where = printable(made.exercise.folder / script.name)
    try:
        (done,) = standing.call(partial(command.run_all, [wanted], timeout_s=SCRIPT_S))
    except KernelError:
        if not standing.record.keeper.alive:
            raise
        raise TopologyError(f"{where}: still running after {SCRIPT_S:.0f} s, and was killed") from None
    if done.status:
        raise _failed(where, done, made.seed)


def _failed(where: str, done: Done, seed: int) -> TopologyError:
    printed = [f"    {line}" for line in (done.stdout + done.stderr).splitlines()]
    lines = "\n".join(printed[-SHOWN:]) or "    (it printed nothing)"
    return TopologyError(
        f"{where}: exit {done.status}, with seed {seed}\n{lines}",
        hint="scripts are run by `sh -eu` inside the lab: a command that fails ends them",
    )


def look(made: Scene, standing: Standing, progress: Progress) -> Verdict:
    """Let kube-proxy write its rules anew, then look once at all cells and probes."""
    spec, cluster = made.spec, made.completed.cluster
    if spec.sync:
        installed.rewrite(standing, progress)
    with live.held(standing, progress) as here:
        now = here.cluster
    probes, cells = judge.probes(spec, cluster), judge.cells(spec, cluster, now=now)
    every = (*probes, *cells)
    first = _tried(standing, [one for one in every if not one.needs and not one.last], progress)
    green = {name for name, one in first.items() if one.state == "green"}
    then = [one for one in every if one.needs and (one.needs in green or one.needs not in first)]
    found = first | _tried(standing, then, progress)
    found |= _tried(standing, [one for one in every if one.last], progress)
    return Verdict(cells=tuple(found.get(one.name) or judge.untried(one) for one in (*cells, *probes)))


def check_lab(made: Scene, standing: Standing, progress: Progress) -> Verdict:
    """Judge an exercise's lab by what it does: as `look` does, and, if all is green, once more, and what that costs.

    Nothing is cleared meanwhile: what outlives its cause is what some exercises are about.
    """
    verdict = look(made, standing, progress)
    if not verdict.holds:
        return verdict
    time.sleep(STABLE_S)  # what comes and goes by itself is to be seen
    again = look(made, standing, progress)
    return replace(again, stable=again.holds, costs=costs(made, standing) if again.holds else ())


def costs(made: Scene, standing: Standing) -> tuple[str, ...]:
    """Return what is lost in a lab that passes, in the exercise's sentences."""
    wanted = [one for one in made.spec.costs if applies(one, made.completed.cluster)]
    judged = check.several(standing, wanted, session.silently)
    return tuple(one.says for one, found in zip(wanted, judged, strict=True) if not judge.holds(found))


def _tried(standing: Standing, cells: Sequence[Cell], progress: Progress) -> dict[str, CellSeen]:
    judged = iter(check.several(standing, [one for cell in cells for one in cell.expectations], progress))
    return {cell.name: judge.seen(cell, [next(judged) for _ in cell.expectations]) for cell in cells}
