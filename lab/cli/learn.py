"""The tasks `exercise.*` for a learner: begin, check, hint, and go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context  # noqa: TC002 - invoke reads the annotation

from lab.cli.output import FAILED, clear_progress, look, note, number, progress, show, show_json
from lab.cli.task import JSON, command

if TYPE_CHECKING:
    from lab.attempts import Course, Sitting
    from lab.model.progress import Progress
    from lab.model.verdict import Verdict

# What a task needs is imported when it runs: `invoke --list` shall not wait for all of it.
# ruff: noqa: PLC0415

FOLDER = "another folder of exercises (docs/exercises.md); default: $HAIRPIN_EXERCISES, or those that come along"
GOING_ON = "another folder of exercises (docs/exercises.md); default: that of the present one"
SEED = "draw names, addresses and the affected endpoint with this number, as an attempt before did; default: a new one"


@command("list", help={"folder": FOLDER, "json": JSON})
def list_(_: Context, folder: str = "", json: bool = False) -> None:
    """List the exercises: level, state, best time, hints used."""
    from lab import attempts
    from lab.report import exercise as report

    if json:
        at = attempts.course(folder)
        show_json(report.data(at.progress, at.rows)["exercises"])
    else:
        show_course(folder)


def show_course(folder: str = "") -> None:
    """Show the exercises."""
    from lab import attempts
    from lab.report import exercise as report

    at = attempts.course(folder)
    current = at.progress.attempt.exercise if at.progress.attempt else ""
    show(report.course(at.rows, current, look()))


@command(help={"name": "an exercise's name (see exercise.list)", "seed": SEED, "folder": FOLDER})
def start(_: Context, name: str, seed: str = "", folder: str = "") -> None:
    """Begin an exercise: build its lab, break it, show it.

    One that is under way already goes on as it is.
    """
    from lab import attempts

    begin(attempts.course(folder), name, number("--seed", seed) if seed else None)


@command("next", help={"skip": "go on although this one is not passed yet", "folder": GOING_ON})
def next_(_: Context, skip: bool = False, folder: str = "") -> None:
    """Begin the next exercise that is not passed."""
    from lab import attempts

    go_on(attempts.course(folder, going_on=True), skip=skip)


@command(help={"folder": GOING_ON})
def resume(_: Context, folder: str = "") -> None:
    """Go on where you left off; `invoke exercise` does it, too."""
    from lab import attempts

    at = attempts.course(folder, going_on=True)
    if attempts.unsolved(at):
        show_sitting(attempts.resume(at, progress))
    else:
        go_on(at, skip=True)


def go_on(at: Course, *, skip: bool) -> Sitting | None:
    """Begin what comes next and return it, or say that nothing does."""
    from lab import attempts
    from lab.errors import TopologyError

    name = attempts.unsolved(at)
    if name and not skip:
        raise TopologyError(
            f"exercise {name} is not passed yet",
            hint="check it: invoke exercise.check; leave it: invoke exercise.next --skip",
        )
    following = attempts.following(at)
    if following:
        return begin(at, following, None)
    if name:
        show(f"exercise {name} is the only one that is left: invoke exercise")
    else:
        show("all exercises are passed: invoke exercise.list has your times")
    return None


def begin(at: Course, name: str, seed: int | None) -> Sitting:
    """Begin an exercise, show it and return it."""
    from lab import attempts, workshop

    if attempts.unsolved(at) != workshop.find(name, at.folder).name:
        note(f"building {name} ...")  # before what takes a while
    return show_sitting(attempts.start(at, name, progress, seed=seed))


def show_sitting(sitting: Sitting) -> Sitting:
    """Show an exercise and return it: its ticket, its picture, what may be done, and what comes next."""
    from lab import attempts
    from lab.parse.exercise import TICKET
    from lab.picture import topology as picture
    from lab.report import exercise as report
    from lab.report.prose import flowed

    clear_progress()
    at, made = attempts.course(going_on=True), sitting.scene
    place = at.place(made.exercise.name)
    parts = [
        report.title(made.exercise, made.spec, place, look()),
        flowed(made.text(made.exercise.ticket, TICKET), report.WIDE),
        picture.text(picture.scene(sitting.standing.cluster, lab=sitting.standing.name), look()),
        report.task(made.spec.may, made.spec.success, look()),
        *(report.question(one, sitting.attempt.answers.get(one.name), look()) for one in made.spec.questions),
        report.next_moves(_moves(sitting, at.progress)),
    ]
    show("\n\n".join(parts))
    if not sitting.built:
        note(f"under way already; its lab {sitting.standing.name} stands as you left it (seed {sitting.attempt.seed})")
    return sitting


def _moves(sitting: Sitting, found: Progress) -> list[tuple[str, str]]:
    from lab import session

    option = f" --lab {sitting.standing.name}" if len(session.rows()) > 1 else ""
    moves = [(f"invoke lab.shell{option}", "go in; there `ip netns exec NAME COMMAND` works")]
    if sitting.scene.spec.questions:
        moves.append(("invoke exercise.answer QUESTION NUMBER", "answer a question"))
    moves += [
        ("invoke exercise.check", "is it right?"),
        ("invoke exercise.watch", "checks whenever you change something"),
    ]
    if found.exam is None:
        moves.append(("invoke exercise.hint", "where to look"))
    return moves


@command(help={"json": JSON})
def check(_: Context, json: bool = False) -> None:
    """Check the present exercise by how the lab behaves.

    kube-proxy writes its rules anew meanwhile, as it would on a node. Exit status 1 if something is red.
    """
    from lab import attempts, learner
    from lab.report import exercise as report

    sitting = attempts.present(attempts.course())
    note("checking ...")
    verdict, found = learner.check(sitting, progress)
    clear_progress()
    if json:
        show_json(report.verdict_data(verdict))
    else:
        show_verdict(verdict, found)
    if not verdict.holds:
        sys.exit(FAILED)


def show_verdict(verdict: Verdict, found: Progress, *, bad_only: bool = False) -> None:
    """Show what a check found (`bad_only`: without what is as it should be), and what comes next."""
    from lab import attempts, learner
    from lab.report import exercise as report

    cells = [cell for cell in verdict.cells if not bad_only or cell.state != "green"]
    parts = [report.checked(cells, look())] if cells else []
    show("\n\n".join([*parts, report.verdict(verdict, found, look())]))
    if not verdict.holds:
        return
    moves = [("invoke exercise.next", "the next one"), ("invoke exercise.solution", "why it works, what to read")]
    if found.exam is not None:
        if not found.exam.left:
            show(report.exam(learner.end_exam(attempts.course()), time.time()))
            return
        moves = moves[:1]
    show(report.next_moves(moves))


@command(help={"level": "a hint's level, 1 to 4: one that was shown before, or the next; default: the next"})
def hint(_: Context, level: str = "") -> None:
    """Show the next hint of four; they are counted.

    Where to look, which tool, the mechanism, nearly the solution. The first also looks at the present state.
    """
    from lab import attempts

    show_hint(attempts.course(), number("--level", level) if level else None)


def show_hint(at: Course, level: int | None) -> None:
    """Show a hint."""
    from lab import attempts, learner
    from lab.report import exercise as report

    shown, sight = learner.next_hint(at, level), ""
    if shown == 1:
        note("looking at the lab ...")
        sight = report.sight(learner.look(attempts.present(at), progress))
        clear_progress()
    text = learner.hint(at, shown)
    show("\n\n".join(filter(None, [report.hint(shown, text, look()), sight])))


@command(help={"question": "the question's name", "choice": "the number of a choice, or its text"})
def answer(_: Context, question: str, choice: str) -> None:
    """Answer a question of the present exercise.

    Exit status 1 if the answer is wrong; wrong ones are counted.
    """
    from lab import attempts, learner

    sitting = attempts.present(attempts.course())
    asked, right = learner.answer(sitting, question, choice)
    show(asked.why if right and asked.why else "right" if right else "no: look again at what the lab does")
    if not right:
        sys.exit(FAILED)
    show("then: invoke exercise.check")


@command()
def reset(_: Context) -> None:
    """Build the present exercise's lab anew, broken as before.

    What you did to it is gone; hints and time stay counted.
    """
    from lab import attempts

    at = attempts.course()
    note(f"building {attempts.begun(at).exercise} anew ...")
    sitting = attempts.reset(at, progress)
    clear_progress()
    show(f"lab {sitting.standing.name} stands anew, broken as at first")


@command(help={"give-up": "read it although the exercise is not passed; this attempt then does not count as passed"})
def solution(_: Context, give_up: bool = False) -> None:
    """Show the solution: the fix, why it works, what to read.

    Also why the popular wrong fixes are wrong. After solving, or with --give-up.
    """
    from lab import attempts, learner
    from lab.report.exercise import WIDE
    from lab.report.prose import flowed

    show(flowed(learner.solution(attempts.course(), give_up=give_up), WIDE))


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (list_, start, next_, resume, check, hint, answer, reset, solution)
