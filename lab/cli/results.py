"""The tasks `exercise.*` about results: a learner's own, and those that a teacher collects; and exams."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Sequence
from typing import Any

from invoke import Context

from lab.cli import course, learn
from lab.cli.output import STDOUT, look, note, number, show, write_file
from lab.cli.task import command
from lab.errors import TopologyError


@command(
    help={
        "file": "a new file; - for standard output",
        "name": "your name; default: that of your login",
        "folder": course.FOLDER,
    }
)
def export(_: Context, file: str = STDOUT, name: str = "", folder: str = "") -> None:
    """Write your results for a teacher, with a checksum.

    It deters casual editing, and is no more than that.
    """
    from lab.exercise import results

    at = course.at(folder)
    collected = results.collected(at.progress, at.rows, learner=name or _login(), now=time.time())
    write_file(file, results.document(collected), option="--file")
    if file != STDOUT:
        note(f"wrote {file}")
    course.note_mistaken(at)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@command(
    iterable=["file"],
    help={"file": "a file that exercise.export wrote; repeatable", "csv": "print CSV, a line for each exercise"},
)
def report(_: Context, file: list[str], csv: bool = False) -> None:
    """Show what a class has handed in: by learner, by exercise."""
    from lab.report import results
    from lab.workshop import handed_in

    if not file:
        raise TopologyError("no file was named", hint="invoke exercise.report --file ann.json --file bob.json")
    found = handed_in.read(file)
    show(results.as_csv(found).rstrip("\n") if csv else results.text(found, look()))


@command(
    help={
        "count": "how many exercises",
        "minutes": "how long it may take, up to a week",
        "seed": "draw the same exercises, broken in the same way, as others did with this number; default: a new one",
        "folder": course.FOLDER,
        "end": "end the exam that is under way",
    },
)
def exam(
    _: Context, count: str = "5", minutes: str = "45", seed: str = "", folder: str = "", end: bool = False
) -> None:
    """Begin an exam: exercises against the clock, no hints.

    They come from all chapters. What was passed within the time counts;
    exercise.next goes from one to the next.
    """
    from lab.report import course as told
    from lab.workshop import learner

    at = course.at(folder)
    if end:
        show(course.exam_over(learner.end_exam(at)))
        return
    drawn = number("--seed", seed) if seed else None
    begun = learner.examine(at, number("--count", count), number("--minutes", minutes, of=float), drawn)
    learn.note_leaving(at)
    note(f"{told.exam(begun, time.time())}\nexercise.next --skip goes on, exercise.exam --end ends it")
    learn.go_on(course.at(), skip=True)


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (export, report, exam)
