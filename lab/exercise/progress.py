"""How a learner's progress goes on: each function returns it as it is after one event.

Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from lab.model.progress import Attempt, Exam, ExamItem, Progress, Record


def begun(progress: Progress, attempt: Attempt) -> Progress:
    """A new attempt; the one before it is over."""
    record = progress.record(attempt.key)
    return _noted(replace(progress, attempt=attempt), attempt.key, replace(record, attempts=record.attempts + 1))


def built(progress: Progress, created: float | None, now: float, *, lab: str = "") -> Progress:
    """The attempt's lab stands, broken, since `created`; None: it is being built. A new sitting begins.

    `lab`: its name, if that is another one now.
    """
    attempt = _attempt(progress)
    changed = replace(
        attempt,
        built=created,
        lab=lab or attempt.lab,
        spent_s=spent_s(attempt, attempt.touched),
        since=now,
        touched=now,
        red=None,
    )
    return replace(progress, attempt=changed)


def hinted(progress: Progress, level: int, now: float) -> Progress:
    """The hint of a level was shown; each counts once, and none that is read when the exercise is over."""
    attempt = _attempt(progress)
    if attempt.over:
        return progress
    new = max(0, level - attempt.hints)
    progress = replace(progress, attempt=replace(attempt, hints=attempt.hints + new, touched=now))
    record = progress.record(attempt.key)
    return _noted(progress, attempt.key, replace(record, hints=record.hints + new))


def answered(progress: Progress, question: str, answer: str, now: float, *, right: bool) -> Progress:
    """A question was answered; a wrong answer stays until there is another."""
    attempt = _attempt(progress)
    answers = {**attempt.answers, question: answer}
    wrong = 0 if right else 1
    progress = replace(progress, attempt=replace(attempt, answers=answers, wrong=attempt.wrong + wrong, touched=now))
    record = progress.record(attempt.key)
    return _noted(progress, attempt.key, replace(record, wrong=record.wrong + wrong))


def ran(progress: Progress) -> Progress:
    """What a quiz predicts was run: from now on an answer is told to be right or wrong."""
    return replace(progress, attempt=replace(_attempt(progress), ran=True))


def checked(progress: Progress, red: Sequence[str], now: float) -> Progress:
    """A check has found these cells red; none: the exercise is passed. Checks behind that do not count."""
    attempt = replace(_attempt(progress), red=tuple(red))
    if attempt.passed:
        return replace(progress, attempt=attempt)
    attempt = replace(attempt, checks=attempt.checks + 1, touched=now)
    record = progress.record(attempt.key)
    record = replace(record, checks=record.checks + 1)
    if not red:
        took_s = spent_s(attempt, now)
        attempt = replace(attempt, passed=True)
        if not attempt.gave_up:
            record = _passed(record, took_s, now)
            progress = _passed_in_exam(progress, attempt, took_s, now)
    return _noted(replace(progress, attempt=attempt), attempt.key, record)


def gave_up(progress: Progress, now: float) -> Progress:
    """The solution was read before the exercise was passed."""
    attempt = replace(_attempt(progress), gave_up=True, touched=now)
    record = progress.record(attempt.key)
    return _noted(replace(progress, attempt=attempt), attempt.key, replace(record, gave_up=True))


def examined(
    progress: Progress, items: Sequence[ExamItem], minutes: float, now: float, *, folder: str = ""
) -> Progress:
    """An exam begins; the attempt before it is over."""
    exam = Exam(began=now, minutes=minutes, items=tuple(items), folder=folder)
    return replace(progress, attempt=None, exam=exam)


def exam_over(progress: Progress, now: float) -> Progress:
    """Return it without the exam, which is then among those that were; it ended now, or when its time was over."""
    if progress.exam is None:
        return progress
    exam = replace(progress.exam, ended=min(now, progress.exam.deadline))
    return replace(progress, exam=None, exams=(*progress.exams, exam))


def spent_s(attempt: Attempt, now: float) -> float:
    """Return how long the attempt has taken, in seconds, without the time between its sittings."""
    return attempt.spent_s + max(0.0, now - attempt.since)  # the clock may have been set back


def _attempt(progress: Progress) -> Attempt:
    if progress.attempt is None:
        raise ValueError("no exercise was started")  # the callers have looked
    return progress.attempt


def _noted(progress: Progress, key: str, record: Record) -> Progress:
    return replace(progress, records={**progress.records, key: record})


def _passed(record: Record, took_s: float, now: float) -> Record:
    best_s = took_s if record.best_s is None else min(record.best_s, took_s)
    return replace(record, passes=record.passes + 1, best_s=best_s, first_passed=record.first_passed or now)


def _passed_in_exam(progress: Progress, attempt: Attempt, took_s: float, now: float) -> Progress:
    """Note what the exam is for; behind its end nothing counts."""
    exam = progress.exam
    if exam is None or now > exam.deadline:
        return progress
    mine = (attempt.exercise, attempt.seed)
    items = tuple(replace(one, took_s=took_s) if (one.exercise, one.seed) == mine else one for one in exam.items)
    return replace(progress, exam=replace(exam, items=items))
