"""The texts and scripts of our exercises: what a learner reads fits into 80 columns, and scripts please shellcheck."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.exercise import vary
from lab.model.exercise import ExerciseSpec
from lab.parse import course
from lab.parse import exercise as parse
from lab.picture import topology as picture
from lab.report import exercise as report
from lab.report import quiz
from lab.report.prose import flowed
from lab.report.table import Look
from lab.workshop import scenes
from lab.workshop.scenes import Scene

from .shellcheck import complaints

ROOT = Path(__file__).resolve().parent.parent
PLACES = course.folders(scenes.folder())
SEEDS = range(4)

ADDRESS = re.compile(r" *https://\S+")
"""A line that has a page's address and nothing else, which cannot be broken."""


def drawn(place: Path) -> Iterator[Scene]:
    """Yield an exercise with what some seeds draw, and with the longest addresses and names."""
    exercise = parse.read(place)
    for seed in {*SEEDS, max(range(500), key=lambda seed: letters(exercise.spec, seed))}:
        yield scenes.scene(exercise, seed)


def letters(spec: ExerciseSpec, seed: int) -> int:
    return sum(map(len, vary.drawn(spec, seed).values()))


def shown(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield what a learner gets to read, each with what it is of."""
    exercise, spec = scene.exercise, scene.spec
    yield "exercise.yaml", report.title(exercise, spec, "exam, exercise 30 of 30")
    yield "exercise.yaml", report.task(spec.may, spec.success)
    yield "exercise.yaml", quiz.questions(spec.questions, {})
    yield parse.TICKET, flowed(scene.text(exercise.ticket, parse.TICKET), report.WIDE)
    for level, text in enumerate(exercise.hints, 1):
        yield parse.HINTS_FILE, report.hint(level, scene.text(text, parse.HINTS_FILE))
    yield parse.SOLUTION, flowed(scene.text(exercise.solution, parse.SOLUTION), report.WIDE)
    seen = picture.scene(scene.completed.cluster, lab="exercise")
    yield "lab.yaml", picture.text(seen, Look(width=report.WIDE))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_what_a_learner_reads_fits_into_80_columns(place: Path) -> None:
    lines = {(file, line) for scene in drawn(place) for file, text in shown(scene) for line in text.splitlines()}
    assert sorted((file, line) for file, line in lines if len(line) > report.WIDE and not ADDRESS.fullmatch(line)) == []


def test_the_scripts_of_exercises_please_shellcheck() -> None:
    scripts = sorted(scenes.folder().glob("*/*/**/*.sh"))
    assert len(scripts) > len(PLACES)
    # SC2154, a variable that nobody has set: the engine sets them, in the environment.
    assert complaints(scripts, "--exclude=SC2154", dialect="sh") == ""


def test_the_readme_tells_how_many_exercises_there_are() -> None:
    chapters = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    said = f"{len(PLACES)} exercises in {chapters[len({place.parent for place in PLACES})]} chapters"
    assert said in (ROOT / "README.md").read_text(encoding="utf-8")
