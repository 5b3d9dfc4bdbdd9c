"""Whether an exercise is as it says, each claim of it in a lab of its own.

Green before the break; after it exactly those cells and probes red that it announces; every wrong fix stays red; every
solution is green, twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from lab import check
from lab.errors import LabError, TopologyError
from lab.exercise import judge, vary
from lab.kernel import children
from lab.model.exercise import Exercise, Script
from lab.model.verdict import Stage, Trial, Verdict, Verified
from lab.standing.meter import Meter, silently
from lab.standing.session import Standing
from lab.workshop import labs, quiz, scenes
from lab.workshop.scenes import Scene

PER_CORE = 3
"""How many labs to have at a time on each core: half of a trial's time is waiting for what does not come."""

SEED = 1
"""What the variables are drawn with; solutions and answers are also tried with one that draws other choices."""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What one lab is built for: an exercise, what is tried, and with which seed."""

    exercise: Exercise
    stage: Stage
    seed: int
    script: Script | None = None


def verify(exercises: Sequence[Exercise], progress: Meter) -> list[Verified]:
    """Prove exercises, several labs at a time, and return what came of it, in the same order.

    Whatever ends this early, even a signal, no lab of it stays.
    """
    found = {one.name: _first(one) for one in exercises}
    todo = [
        work for one in exercises if found[one.name].holds and not found[one.name].not_tried for work in _works(one)
    ]
    ended = 0

    def done(number: int, _trials: tuple[Trial, ...]) -> None:
        nonlocal ended
        ended += 1
        progress(f"verify: {todo[number].exercise.name}", ended, len(todo))

    progress("verify", 0, len(todo))
    name = f"verify-{os.getpid()}"
    tried = children.each(
        [partial(_try, work, f"{name}-{number}") for number, work in enumerate(todo)],
        at_once=PER_CORE * (os.cpu_count() or 1),
        done=done,
    )
    for work, trials in zip(todo, tried, strict=True):
        one = found[work.exercise.name]
        found[work.exercise.name] = replace(one, trials=(*one.trials, *trials))
    return [_shown(one, found[one.name]) for one in exercises]


def _first(exercise: Exercise) -> Verified:
    """Return what can be said of an exercise without a lab."""
    mistakes: list[str] = []
    for seed in _seeds(exercise):
        try:
            scenes.scene(exercise, seed)
        except TopologyError as error:
            mistakes += [one for one in error.mistakes if one not in mistakes]
    why = "needs root" if exercise.spec.needs == "root" and os.geteuid() else ""
    return Verified(exercise=exercise.name, mistakes=tuple(mistakes), not_tried="" if mistakes else why)


def _seeds(exercise: Exercise) -> tuple[int, int]:
    return SEED, vary.unlike(exercise.spec, SEED)


def _works(exercise: Exercise) -> list[_Work]:
    seeds = _seeds(exercise)
    asked = seeds if exercise.spec.questions else (SEED,)
    return [
        *(_Work(exercise=exercise, stage="broken", seed=seed) for seed in asked),
        *(_Work(exercise=exercise, stage="wrong", seed=SEED, script=one) for one in exercise.wrong),
        *(_Work(exercise=exercise, stage="solve", seed=seed, script=one) for one in exercise.solve for seed in seeds),
    ]


def _shown(exercise: Exercise, found: Verified) -> Verified:
    """Add the costs that no solution has, where solutions were tried."""
    if not found.holds or not any(trial.stage == "solve" for trial in found.trials):
        return found
    costs = [says for trial in found.trials for says in trial.costs]
    return replace(found, mistakes=judge.not_shown(scenes.scene(exercise, SEED).spec, costs, exercise.source))


def _try(work: _Work, lab: str) -> tuple[Trial, ...]:
    """Build a lab, and try in it what it is for."""
    begun = time.perf_counter()
    script = work.script.name if work.script else ""
    blank = Trial(stage=work.stage, seed=work.seed, script=script, began_s=begun)
    try:
        made = scenes.scene(work.exercise, work.seed)
        with labs.passing(made, lab=lab) as standing:
            if work.script is None:
                return _before_and_after(made, standing, begun)
            labs.breaking(made, standing)
            labs.run(made, standing, work.script)
            wrong = _of_fix(labs.check_lab(made, standing, silently), blank)
            return (replace(wrong, took_s=time.perf_counter() - begun),)
    except LabError as error:
        return (replace(blank, wrong=(str(error),), took_s=time.perf_counter() - begun),)


def _of_fix(verdict: Verdict, blank: Trial) -> Trial:
    """Judge what came of a fix."""
    if blank.stage == "wrong":
        return replace(blank, wrong=("this fix is called wrong, and all is green with it",) if verdict.holds else ())
    return _green(verdict, replace(blank, costs=verdict.costs))


def _green(verdict: Verdict, blank: Trial) -> Trial:
    """Judge what must be green."""
    if verdict.holds:
        return blank
    bad = tuple(cell for cell in verdict.cells if cell.state != "green")
    how = "red" if verdict.stable else "green at first, and then red"
    return replace(blank, wrong=(f"{how}: {', '.join(cell.name for cell in bad)}",), cells=bad)


def _before_and_after(made: Scene, standing: Standing, begun: float) -> tuple[Trial, ...]:
    """Judge the healthy lab, break it, and judge that it is broken as the exercise announces."""
    before = _green(labs.look(made, standing, silently), Trial(stage="before", seed=made.seed, began_s=begun))
    lost = labs.costs(made, standing)
    wrong = (*before.wrong, *(f"a cost that the healthy lab has already: {says}" for says in lost))
    middle = time.perf_counter()
    before = replace(before, wrong=wrong, took_s=middle - begun)
    after = Trial(stage="broken", seed=made.seed, began_s=middle)
    try:
        labs.breaking(made, standing)
        verdict = labs.look(made, standing, silently)
        wrong = (*judge.lies(made.spec, verdict), *_unproven(made, standing))
        otherwise = set(verdict.red) ^ set(made.spec.red)
        after = replace(after, wrong=wrong, cells=tuple(cell for cell in verdict.cells if cell.name in otherwise))
    except LabError as error:
        after = replace(after, wrong=(str(error),))
    return before, replace(after, took_s=time.perf_counter() - middle)


def _unproven(made: Scene, standing: Standing) -> tuple[str, ...]:
    """Return the questions whose answer the lab belies; those of a quiz are run as for a learner."""
    asked = made.spec.questions
    if made.spec.mend:
        proven = list(zip(asked, check.several(standing, [one.proof for one in asked], silently), strict=True))
    else:
        runs = quiz.run(made, standing, silently)
        proven = [(one, [part]) for run in runs for one, part in zip(run.questions, run.findings, strict=True)]
    return tuple(
        f"the proof of the answer to {one.name!r} does not hold: {judge.told(found)}"
        for one, found in proven
        if not judge.holds(found)
    )
