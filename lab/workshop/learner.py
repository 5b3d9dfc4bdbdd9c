"""What a learner asks of an exercise: a check, a hint, whether an answer is right, the solution; and exams."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from lab.errors import KernelError, LabError, TopologyError
from lab.exercise import answers
from lab.exercise import progress as events
from lab.exercise.exam import drawn
from lab.model.exercise import HINTS, Question
from lab.model.progress import Exam, Progress
from lab.model.verdict import CellSeen, Verdict
from lab.parse.exercise import HINTS_FILE, SOLUTION
from lab.parse.mistake import listed, show
from lab.standing.meter import Meter
from lab.workshop import attempts, labs, quiz
from lab.workshop import progress as file
from lab.workshop.attempts import Sitting
from lab.workshop.course import Course

MOST_MINUTES = 7 * 24 * 60
"""How long an exam may take, in minutes."""


def check(sitting: Sitting, progress: Meter) -> tuple[Verdict, Progress]:
    """Judge the present attempt, until it is stable, and note what was red; run what a quiz predicts.

    Raises `LabError`.
    """
    asked = time.time()  # whoever has mended it by now has done so in time
    attempts.note(sitting.attempt, lambda found: found)  # what cannot be noted is told before the work is done
    mend = sitting.scene.spec.mend
    with _whole(sitting):
        verdict = _mended(sitting, progress) if mend else _predicted(sitting, progress)
    red = tuple(cell.name for cell in verdict.cells if cell.state != "green")
    if not verdict.stable:
        red = red or ("stable",)

    def noted(found: Progress) -> Progress:
        return events.checked(events.ran(found) if verdict.runs else found, red, asked)

    return verdict, attempts.note(sitting.attempt, noted)


@contextmanager
def _whole(sitting: Sitting) -> Iterator[None]:
    """Say what comes next if the lab cannot be judged: somebody has taken from it what no exercise takes."""
    try:
        yield
    except (KernelError, OSError, TopologyError) as error:
        if isinstance(error, TopologyError) and sitting.standing.record.keeper.alive:
            raise
        attempts.note(sitting.attempt, lambda found: found)  # says so if another command has ended it
        what = "the exercise's lab is not whole any more"
        hint = "build it anew, broken in the same way: invoke exercise.reset"
        raise KernelError(f"{what}: {error.message if isinstance(error, LabError) else error}", hint=hint) from None


def _mended(sitting: Sitting, progress: Meter) -> Verdict:
    lab = labs.check_lab(sitting.scene, sitting.standing, progress)
    return replace(lab, cells=(*lab.cells, *_answers(sitting, ran=False)))


def _predicted(sitting: Sitting, progress: Meter) -> Verdict:
    """Run what is predicted, if all of it is, and was not run before."""
    missing = answers.open_(sitting.scene.spec, sitting.attempt.answers)
    if missing or sitting.attempt.ran:
        return Verdict(cells=_answers(sitting, ran=sitting.attempt.ran), open=missing)
    runs = quiz.run(sitting.scene, sitting.standing, progress)
    quiz.check_unchanged(runs)
    return Verdict(cells=_answers(sitting, ran=True), runs=runs)


def _answers(sitting: Sitting, *, ran: bool) -> tuple[CellSeen, ...]:
    return answers.cells(sitting.scene.spec, sitting.attempt.answers, ran=ran)


def look(sitting: Sitting, progress: Meter) -> Verdict:
    """Look once at how the present attempt's lab is, which is not counted; of a quiz there is nothing to be seen.

    Raises `LabError`.
    """
    if not sitting.scene.spec.mend:
        return Verdict(cells=())
    with _whole(sitting):
        return labs.look(sitting.scene, sitting.standing, progress)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer that was noted. `right`: None of a prediction that was not run; `open`: what has no answer yet."""

    question: Question
    given: str
    right: bool | None
    open: tuple[str, ...]


def answer(sitting: Sitting, name: str, choice: str) -> Answered:
    """Note an answer, a choice's text or number; raises `TopologyError` for a name or a choice that is none."""
    questions = {one.name: one for one in sitting.scene.spec.questions}
    if name not in questions:
        expected = f"expected {listed(questions)}" if questions else "it asks nothing"
        raise TopologyError(f"{show(name)} is no question of this exercise; {expected}")
    asked = questions[name]
    numbered = {str(number): text for number, text in enumerate(asked.choices, 1)}
    given = numbered.get(choice, choice)
    if given not in asked.choices:
        raise TopologyError(f"{show(choice)}: expected a number from 1 to {len(asked.choices)}, or a choice's text")
    right = given == asked.answer
    found = attempts.note(sitting.attempt, lambda found: events.answered(found, name, given, time.time(), right=right))
    attempt, spec = found.attempt, sitting.scene.spec
    assert attempt is not None  # noqa: S101 - it has just been answered
    told = answers.told(spec, ran=attempt.ran)
    return Answered(
        question=asked, given=given, right=right if told else None, open=answers.open_(spec, attempt.answers)
    )


def next_hint(at: Course, level: int | None) -> int:
    """Return the level of the hint that is to be shown: `level`, if it was shown or is next; None: the next.

    Raises `TopologyError` in an exam, and for a level that is none or is not its turn.
    """
    attempt = attempts.begun(at)
    if at.progress.exam:
        raise TopologyError("an exam has no hints", hint="to leave it: invoke exercise.exam --end")
    following = min(attempt.hints + 1, HINTS)
    most = HINTS if attempt.over else following
    if level is not None and not 1 <= level <= most:
        raise TopologyError(f"--level {level}: expected 1 to {most}: one comes after the other")
    return following if level is None else level


def hint(at: Course, level: int) -> str:
    """Return the hint of a level, and note that it was shown; raises `TopologyError` as `attempts.scene` does."""
    made = attempts.scene(at)
    text = made.text(made.exercise.hints[level - 1], HINTS_FILE)
    attempts.note(attempts.begun(at), lambda found: events.hinted(found, level, time.time()))
    return text


def solution(at: Course, *, give_up: bool) -> str:
    """Return the solution of the present exercise, if that is passed, or is given up with this.

    Raises `TopologyError` if neither, and in an exam.
    """
    attempt = attempts.begun(at)
    if at.progress.exam:
        raise TopologyError("an exam has no solutions before its end", hint="to end it: invoke exercise.exam --end")
    made = attempts.scene(at)
    if not attempt.over:
        if not give_up:
            raise TopologyError(
                f"{at.present} is not passed yet",
                hint="go on: invoke exercise.hint; give up: invoke exercise.solution --give-up",
            )
        attempts.note(attempt, lambda found: events.gave_up(found, time.time()))
    return made.text(made.exercise.solution, SOLUTION)


def examine(at: Course, count: int, minutes: float, seed: int | None) -> Exam:
    """Begin an exam, which ends the present attempt; raises `TopologyError` if one is under way, or for odd numbers.

    What needs root is never among it: the same `seed` shall draw the same for a whole class.
    """
    if at.progress.exam:
        raise TopologyError(
            "an exam is under way", hint="go on with it: invoke exercise; or end it: invoke exercise.exam --end"
        )
    rows = [row for row in at.rows if not row.needs_root]
    if not rows:
        raise TopologyError("there is no exercise here that can be taken without root, as those of exams must be")
    mistakes = [text for text, wrong in (
        (f"--count {count}: expected 1 to {len(rows)}, as many as can be taken without root",
         not 1 <= count <= len(rows)),
        (f"--minutes {minutes:g}: expected more than 0, and at most {MOST_MINUTES} (a week)",
         not 0 < minutes <= MOST_MINUTES),
    ) if wrong]  # fmt: skip
    if mistakes:
        raise TopologyError(mistakes)
    items = drawn(rows, count, secrets.randbelow(attempts.SEEDS) if seed is None else seed)
    found = file.change(lambda progress: events.examined(progress, items, minutes, time.time(), folder=at.folder))
    assert found.exam is not None  # noqa: S101 - it has just begun
    attempts.leave(at)
    return found.exam


def end_exam(at: Course) -> Exam:
    """End the exam; raises `TopologyError` if there is none."""
    if not at.progress.exam:
        raise TopologyError("no exam is under way", hint="begin one: invoke exercise.exam")
    return file.change(lambda progress: events.exam_over(progress, time.time())).exams[-1]
