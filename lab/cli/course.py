"""The tasks `exercise.*` about the course as a whole; and what others need of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli.output import look, note, show, show_json
from lab.cli.task import JSON, command
from lab.errors import HostError, TopologyError

if TYPE_CHECKING:
    from lab.model.progress import Exam
    from lab.workshop.course import Course


FOLDER = "another folder of exercises (docs/exercises.md); default: $HAIRPIN_EXERCISES, or those that come along"
GOING_ON = "another folder of exercises (docs/exercises.md); default: that of the present one"
NAMES = "show all names, as teachers and authors need them"


def at(folder: str = "", *, going_on: bool = False) -> Course:
    """Return the course as `lab.workshop.course.course` does; say so if the time of an exam was found to be over."""
    from lab.workshop.course import course

    found = course(folder, going_on=going_on)
    if found.over:
        note(f"the time is up\n{exam_over(found.over)}\n")
    return found


def exam_over(exam: Exam) -> str:
    """Return what an exam came to that has ended; in a line, if its exercises cannot be read any more."""
    from lab.report import course as report
    from lab.workshop import progress as file
    from lab.workshop.course import Course, chosen_folder

    of = Course(folder=exam.folder, progress=file.read())
    try:
        rows, elsewhere = of.rows, of.folder != chosen_folder("")
    except TopologyError:
        return report.exam(exam, time.time())
    return report.exam_over(exam, rows, of.numbers, of.progress.attempt, look(), elsewhere=elsewhere)


def note_mistaken(of: Course) -> None:
    """Say which exercises were left out, since their files have mistakes."""
    from lab.report import course as report

    if of.mistaken:
        note(f"\n{report.mistaken(of.mistaken)}")


@command("list", help={"folder": FOLDER, "names": NAMES, "json": JSON})
def list_(_: Context, folder: str = "", names: bool = False, json: bool = False) -> None:
    """List the exercises: level, state, best time, hints used.

    An exercise's name says what is wrong: it is told when you have passed it
    or given it up.
    """
    show_course(folder, names=names, json=json)


def show_course(folder: str = "", *, going_on: bool = False, names: bool = False, json: bool = False) -> None:
    """Show the exercises, also where nobody can know what was done about them; `names`: with all their names."""
    from lab.model.progress import Progress
    from lab.report import course as report
    from lab.workshop.course import course

    try:
        found = at(folder, going_on=going_on)
    except HostError as error:
        note(f"without your progress: {error}\n")
        found = course(folder, known=Progress())
    if json:
        show_json(report.data(found.progress, found.rows)["exercises"])
    else:
        show(report.course(found.rows, found.numbers, found.current, look(), names=names))
    note_mistaken(found)


@command(help={"folder": FOLDER, "json": JSON})
def progress(_: Context, folder: str = "", json: bool = False) -> None:
    """Show how far you are, and where it is kept."""
    from lab.report import course as report
    from lab.workshop import progress as file

    found = at(folder)
    if json:
        show_json({"file": file.path(), **report.data(found.progress, found.rows)})
    else:
        said = report.progress(found.progress, found.rows, found.present, time.time(), look())
        show(f"{said}\nkept in {file.path()}")
    note_mistaken(found)


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (list_, progress)
