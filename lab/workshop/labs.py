"""The labs of exercises: built, broken, and judged by what they do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from msgspec import structs

from lab import check
from lab.errors import KernelError, TopologyError
from lab.exercise import judge
from lab.judge import applies
from lab.kernel import command
from lab.kernel.command import Command, Done
from lab.model.cluster import Cluster
from lab.model.exercise import Cell, Script
from lab.model.verdict import CellSeen, Verdict
from lab.parse.files import printable
from lab.standing import enter, installed, live, session
from lab.standing.meter import Meter, silently
from lab.standing.session import Standing
from lab.workshop.scenes import Scene

SCRIPT_S = 180.0
"""How long a script may take, in seconds; some take ten of a quiet machine's, and `exercise.verify` makes it busy."""
STABLE_S = 1.5
"""How long to wait, in seconds, before what was found green is looked at again."""
SOURCE, TOPOLOGY = "an exercise", "exercise"
"""What the lists of labs say of where a lab is from, and what its topology is called."""
SHOWN = 12
"""So many lines of a failed script's output are told."""


def start(made: Scene, *, lab: str, progress: Meter) -> Standing:
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
    made: Scene, *, lab: str, progress: Meter = silently, stays: Callable[[], bool] | None = None
) -> Iterator[Standing]:
    """Build an exercise's healthy lab, give it, and end it with the block, unless it `stays`.

    Nothing of the lab has the exercise's name.
    """
    notes = made.completed.notes
    with session.passing(
        _nameless(made.completed.cluster), name=lab, source=SOURCE, notes=notes, progress=progress, stays=stays
    ) as standing:
        if made.exercise.prepare:
            run(made, standing, made.exercise.prepare)
        yield standing


def _nameless(cluster: Cluster) -> Cluster:
    """Return a lab under a name that does not tell what is wrong with it, as its author's may."""
    lab = cluster.lab
    return replace(cluster, lab=structs.replace(lab, metadata=structs.replace(lab.metadata, name=TOPOLOGY)))


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


def look(made: Scene, standing: Standing, progress: Meter) -> Verdict:
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


def check_lab(made: Scene, standing: Standing, progress: Meter) -> Verdict:
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
    judged = check.several(standing, wanted, silently)
    return tuple(one.says for one, found in zip(wanted, judged, strict=True) if not judge.holds(found))


def _tried(standing: Standing, cells: Sequence[Cell], progress: Meter) -> dict[str, CellSeen]:
    judged = iter(check.several(standing, [one for cell in cells for one in cell.expectations], progress))
    return {cell.name: judge.seen(cell, [next(judged) for _ in cell.expectations]) for cell in cells}
