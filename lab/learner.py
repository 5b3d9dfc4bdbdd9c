"""What a learner asks of an exercise: a check, a hint, whether an answer is right, the solution; and exams."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import replace

from lab import attempts, session, workshop
from lab import progress as file
from lab.attempts import Course, Sitting
from lab.errors import TopologyError
from lab.exercise import progress as events
from lab.exercise.exam import drawn
from lab.model.exercise import HINTS, Question
from lab.model.finding import Finding
from lab.model.progress import Exam, Progress
from lab.model.verdict import CellSeen, Verdict
from lab.parse.exercise import HINTS_FILE, SOLUTION
from lab.parse.mistake import listed, show


def check(sitting: Sitting, progress: session.Progress) -> tuple[Verdict, Progress]:
    """Judge the present attempt, until it is stable, and note what was red. Raises `LabError`."""
    lab = (
        workshop.check_lab(sitting.scene, sitting.standing, progress) if sitting.scene.spec.mend else Verdict(cells=())
    )
    verdict = _with_answers(sitting, lab)
    red = tuple(cell.name for cell in verdict.cells if cell.state != "green")
    if not verdict.stable:
        red = red or ("stable",)
    return verdict, file.change(lambda found: events.checked(found, red, time.time()))


def look(sitting: Sitting, progress: session.Progress) -> Verdict:
    """Look once at how the present attempt is, which is not counted. Raises `LabError`."""
    lab = workshop.look(sitting.scene, sitting.standing, progress) if sitting.scene.spec.mend else Verdict(cells=())
    return _with_answers(sitting, lab)


def _with_answers(sitting: Sitting, verdict: Verdict) -> Verdict:
    """Return a verdict with a cell for each question."""
    asked = (_answered(one, sitting.attempt.answers.get(one.name)) for one in sitting.scene.spec.questions)
    return replace(verdict, cells=(*verdict.cells, *asked))


def _answered(question: Question, given: str | None) -> CellSeen:
    right = given == question.answer
    observed = "right" if right else "none yet" if given is None else f"{given}: that is not it"
    found = Finding(it=question.ask, what="answer", expected="the right one", observed=observed, holds=right)
    return CellSeen(name=question.name, it=question.ask, state="green" if right else "red", findings=((found,),))


def answer(sitting: Sitting, name: str, choice: str) -> tuple[Question, bool]:
    """Note an answer, a choice's text or number; return the question and whether it is right.

    Raises `TopologyError` for a name or a choice that is none.
    """
    questions = {one.name: one for one in sitting.scene.spec.questions}
    if name not in questions:
        expected = f"expected {listed(questions)}" if questions else "it asks nothing"
        raise TopologyError(f"{show(name)} is no question of exercise {sitting.attempt.exercise}; {expected}")
    asked = questions[name]
    numbered = {str(number): text for number, text in enumerate(asked.choices, 1)}
    given = numbered.get(choice, choice)
    if given not in asked.choices:
        raise TopologyError(f"{show(choice)}: expected a number from 1 to {len(asked.choices)}, or a choice's text")
    right = given == asked.answer
    file.change(lambda found: events.answered(found, name, given, time.time(), right=right))
    return asked, right


def next_hint(at: Course, level: int | None) -> int:
    """Return the level of the hint that is to be shown: `level`, if it was shown or is next; None: the next.

    Raises `TopologyError` in an exam, and for a level that is none or is not its turn.
    """
    attempt = attempts.begun(at)
    if at.progress.exam:
        raise TopologyError("an exam has no hints", hint="to leave it: invoke exercise.exam --end")
    most = min(attempt.hints + 1, HINTS)
    if level is not None and not 1 <= level <= most:
        raise TopologyError(f"--level {level}: expected 1 to {most}: one comes after the other")
    return most if level is None else level


def hint(at: Course, level: int) -> str:
    """Return the hint of a level, and note that it was shown; raises `TopologyError` as `attempts.scene` does."""
    made = attempts.scene(at)
    text = made.text(made.exercise.hints[level - 1], HINTS_FILE)
    file.change(lambda found: events.hinted(found, level, time.time()))
    return text


def solution(at: Course, *, give_up: bool) -> str:
    """Return the solution of the present exercise, if that is passed, or is given up with this.

    Raises `TopologyError` if neither, and in an exam.
    """
    attempt = attempts.begun(at)
    if at.progress.exam:
        raise TopologyError("an exam has no solutions before its end", hint="to end it: invoke exercise.exam --end")
    made = attempts.scene(at)
    if not attempt.passed and not attempt.gave_up:
        if not give_up:
            raise TopologyError(
                f"exercise {attempt.exercise} is not passed yet",
                hint="another hint: invoke exercise.hint; to give up and read it: invoke exercise.solution --give-up",
            )
        file.change(lambda found: events.gave_up(found, time.time()))
    return made.text(made.exercise.solution, SOLUTION)


def examine(at: Course, count: int, minutes: float, seed: int | None) -> Exam:
    """Begin an exam, which ends the present attempt; raises `TopologyError` if one is under way, or for odd numbers."""
    if at.progress.exam:
        raise TopologyError(
            "an exam is under way", hint="go on with it: invoke exercise; or end it: invoke exercise.exam --end"
        )
    rows = [row for row in at.rows if not (row.needs_root and os.geteuid())]
    mistakes = [text for text, wrong in (
        (f"--count {count}: expected 1 to {len(rows)}, as many as there are", not 1 <= count <= len(rows)),
        (f"--minutes {minutes}: expected how long it may take", not 0 < minutes < float("inf")),
    ) if wrong]  # fmt: skip
    if mistakes:
        raise TopologyError(mistakes)
    items = drawn(rows, count, secrets.randbelow(attempts.SEEDS) if seed is None else seed)
    attempts.leave(at)
    found = file.change(lambda progress: events.examined(progress, items, minutes, time.time(), folder=at.folder))
    assert found.exam is not None  # noqa: S101 - it has just begun
    return found.exam


def end_exam(at: Course) -> Exam:
    """End the exam; raises `TopologyError` if there is none."""
    if not at.progress.exam:
        raise TopologyError("no exam is under way", hint="begin one: invoke exercise.exam")
    return file.change(lambda progress: events.exam_over(progress, time.time())).exams[-1]
