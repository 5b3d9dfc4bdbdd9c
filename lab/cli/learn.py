"""The tasks `exercise.*` for a learner: begin, check, hint, and go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context

from lab.cli import course
from lab.cli.course import FOLDER, GOING_ON
from lab.cli.output import FAILED, clear_progress, look, note, number, progress, show, show_json
from lab.cli.task import JSON, command

if TYPE_CHECKING:
    from lab.model.progress import Progress
    from lab.model.verdict import Verdict
    from lab.workshop.attempts import Sitting
    from lab.workshop.course import Course


SEED = "draw names, addresses and the affected endpoint with this number, as an attempt before did; default: a new one"


@command(help={"exercise": "its number in exercise.list, or its name", "seed": SEED, "folder": FOLDER})
def start(_: Context, exercise: str, seed: str = "", folder: str = "") -> None:
    """Begin an exercise: build its lab, break it, show it.

    One that is under way already goes on as it is.
    """
    at = course.at(folder)
    begin(at, at.named(exercise), number("--seed", seed) if seed else None)


@command("next", help={"skip": "go on although this one is not passed yet", "folder": GOING_ON})
def next_(_: Context, skip: bool = False, folder: str = "") -> None:
    """Begin the next exercise that is not passed."""
    go_on(course.at(folder, going_on=True), skip=skip)


@command(help={"folder": GOING_ON})
def resume(_: Context, folder: str = "") -> None:
    """Go on where you left off; `invoke exercise` does it, too."""
    from lab.workshop import attempts

    at = course.at(folder, going_on=True)
    if at.unsolved:
        show_sitting(attempts.resume(at, progress))
    else:
        go_on(at, skip=True)


def go_on(at: Course, *, skip: bool) -> Sitting | None:
    """Begin what comes next and return it, or say that nothing does."""
    from lab.errors import TopologyError
    from lab.report import course as report

    if at.unsolved and not skip and not at.passed_before:
        raise TopologyError(
            f"{at.present} is not passed yet",
            hint="check it: invoke exercise.check; leave it: invoke exercise.next --skip",
        )
    course.note_mistaken(at)
    following = at.following
    if following:
        return begin(at, following, None)
    for_root = [at.numbers[name] for name in at.for_root if name in at.numbers]
    show(report.nothing_follows(at.present if at.unsolved else "", for_root))
    return None


def begin(at: Course, name: str, seed: int | None) -> Sitting:
    """Begin an exercise, show it and return it."""
    from lab.workshop import attempts

    made = attempts.chosen(at, name, seed=seed)
    if not attempts.goes_on(at, made):
        note_leaving(at)
        note(f"building {at.called(made.exercise)} ...")  # before what takes a while
    return show_sitting(attempts.start(at, made, progress))


def note_leaving(at: Course) -> None:
    """Say that the present exercise is left, if it is not solved."""
    if at.unsolved:
        note(f"leaving {at.present}, which is not passed: its lab ends")


def show_sitting(sitting: Sitting) -> Sitting:
    """Show an exercise and return it: its ticket, its picture, what may be done, and what comes next."""
    from lab.parse.exercise import TICKET
    from lab.picture import topology as picture
    from lab.report import exercise as report
    from lab.report import quiz
    from lab.report.prose import flowed
    from lab.workshop.course import course as course_now

    clear_progress()
    at, made = course_now(going_on=True), sitting.scene
    parts = [
        report.title(made.exercise, made.spec, at.number(made.exercise.name), look()),
        flowed(made.text(made.exercise.ticket, TICKET), report.WIDE),
        picture.text(picture.scene(made.completed.cluster, lab=sitting.standing.name), report.narrow(look())),
        report.task(made.spec.may, made.spec.success, look()),
        *([quiz.questions(made.spec.questions, sitting.attempt.answers, look())] if made.spec.questions else []),
        report.next_moves(_moves(sitting, at.progress)),
    ]
    show("\n\n".join(parts))
    if not sitting.built:
        note(f"under way already; its lab {sitting.standing.name} stands as you left it (seed {sitting.attempt.seed})")
    return sitting


def _named(sitting: Sitting) -> str:
    """Return the lab's name where others stand, too, and it must be said; else ""."""
    from lab.standing import session

    return sitting.standing.name if len(session.rows()) > 1 else ""


def _moves(sitting: Sitting, found: Progress) -> list[tuple[str, str]]:
    lab = _named(sitting)
    moves = [(f"invoke lab.shell{f' --lab {lab}' if lab else ''}", "go in; there `ip netns exec NAME COMMAND` works")]
    if not sitting.scene.spec.mend:
        moves += [
            ("invoke exercise.answer QUESTION NUMBER", "predict"),
            ("invoke exercise.check", "when all is predicted: run it, and see"),
        ]
    else:
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
    """Check the exercise by how its lab behaves.

    Of a quiz it runs what was predicted. kube-proxy writes its rules anew
    meanwhile, as it would on a node. Exit status 1 if something is red.
    """
    from lab.report import exercise as report
    from lab.report import quiz
    from lab.workshop import attempts, learner

    at = course.at(going_on=True)
    sitting = attempts.present(at)
    note("checking ...")
    verdict, found = learner.check(sitting, progress)
    clear_progress()
    if json:
        show_json({**report.verdict_data(verdict), "runs": quiz.data(verdict.runs)})
    else:
        show_verdict(at, sitting, verdict, found)
    if not verdict.holds:
        sys.exit(FAILED)


def show_verdict(at: Course, sitting: Sitting, verdict: Verdict, found: Progress, *, bad_only: bool = False) -> None:
    """Show what a check found (`bad_only`: without what is as it should be), and what comes next."""
    from lab.report import again, quiz
    from lab.report import exercise as report

    cells = [cell for cell in verdict.cells if not bad_only or cell.state != "green"]
    parts = [report.checked(cells, look())] if cells else []
    parts += filter(None, [again.first_red(cells, _named(sitting)), report.since(sitting.attempt.red, verdict, look())])
    if verdict.runs:
        parts = [quiz.text(verdict.runs, sitting.attempt.answers, _named(sitting), look())]
    show("\n\n".join([*parts, report.verdict(verdict, found, at.present, look())]))
    if found.exam is not None and time.time() > found.exam.deadline:
        course.at()  # says what the exam came to
    elif verdict.holds:
        _show_next(found)


def _show_next(found: Progress) -> None:
    """Show what comes behind a pass."""
    from lab.report.exercise import next_moves
    from lab.workshop import learner

    moves = [("invoke exercise.next", "the next one"), ("invoke exercise.solution", "why it works, what to read")]
    if found.exam is not None:
        if not found.exam.left:
            show(course.exam_over(learner.end_exam(course.at())))
            return
        moves = moves[:1]
    show(next_moves(moves))


@command(help={"level": "a hint's level, 1 to 4: one that was shown before, or the next; default: the next"})
def hint(_: Context, level: str = "") -> None:
    """Show the next hint of four; they are counted.

    Where to look, which tool, the mechanism, nearly the solution. The first also
    looks at the present state.
    """
    show_hint(course.at(going_on=True), number("--level", level) if level else None)


def show_hint(at: Course, level: int | None) -> None:
    """Show a hint."""
    from lab.report import exercise as report
    from lab.workshop import attempts, learner

    shown, sight = learner.next_hint(at, level), ""
    if shown == 1 and not attempts.begun(at).over:
        note("looking at the lab ...")
        seen = learner.look(attempts.present(at), progress)
        sight = report.sight(seen) if seen.cells else ""
        clear_progress()
    text = learner.hint(at, shown)
    show("\n\n".join(filter(None, [report.hint(shown, text, look()), sight])))


@command(help={"question": "the question's name", "choice": "the number of a choice, or its text"})
def answer(_: Context, question: str, choice: str) -> None:
    """Answer a question of the present exercise.

    Exit status 1 if the answer is wrong; wrong ones are counted. A quiz's are
    told with its exercise.check.
    """
    from lab import words
    from lab.report import again, quiz
    from lab.workshop import attempts, learner

    sitting = attempts.present(course.at(going_on=True))
    noted = learner.answer(sitting, question, choice)
    look_at = "" if sitting.scene.spec.mend else again.trace(noted.question.proof, _named(sitting))
    show(quiz.answered(noted.question, noted.given, look_at, right=noted.right))
    if noted.right is False:
        sys.exit(FAILED)
    if noted.right is None and noted.open:
        show(f"to be predicted yet: {words.several(noted.open, 'and')}")
    else:
        show("then: invoke exercise.check")


@command()
def reset(_: Context) -> None:
    """Build the present exercise's lab anew, broken as before.

    What you did to it is gone; hints and time stay counted.
    """
    from lab.workshop import attempts

    at = course.at(going_on=True)
    attempts.begun(at)
    note(f"building {at.present} anew ...")
    sitting = attempts.reset(at, progress)
    clear_progress()
    show(f"lab {sitting.standing.name} stands anew, broken as at first")


@command(help={"give-up": "read it although the exercise is not passed; this attempt then does not count as passed"})
def solution(_: Context, give_up: bool = False) -> None:
    """Show the solution: the fix, why it works, what to read.

    Also why the popular wrong fixes are wrong. After solving, or with --give-up.
    """
    from lab.report.exercise import WIDE
    from lab.report.prose import flowed
    from lab.workshop import learner

    show(flowed(learner.solution(course.at(going_on=True), give_up=give_up), WIDE))


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (start, next_, resume, check, hint, answer, reset, solution)
