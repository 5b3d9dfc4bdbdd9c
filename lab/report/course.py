"""What a learner reads of the course as a whole: the list, how far one is, an exam. It fits into 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from lab import words
from lab.report.exercise import WIDE, narrow, next_moves, told
from lab.report.table import PLAIN, Look, mark, paint, table, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.model.progress import Attempt, Exam, Progress, Row

_LEAST = 16  # columns for a title
_BESIDE = 22  # columns beside a title where an exam is told
_TOLD = ("passed", "given up")


def course(
    rows: Sequence[Row],
    numbers: Mapping[str, int],
    current: str = "",
    look: Look = PLAIN,
    *,
    names: bool = False,
) -> str:
    """Return the exercises in the course's order under their chapters; `current`: the name of the present one.

    `numbers`: theirs, by their names, which say what is wrong: they are shown of those that are passed or given up, and
    of all only if `names`.
    """
    if not rows:
        return "there is no exercise here"
    room = max(_LEAST, narrow(look).width - len(str(len(rows))) - 38)
    titles = [wrap(_title(row, name=names or row.record.state in _TOLD), room) for row in rows]
    cells = [
        [
            ">" if row.name == current else " ",
            str(numbers.get(row.name, "")),
            title,
            str(row.difficulty),
            row.record.state,
            _best(row),
            _hints(row),
        ]
        for row, title in zip(rows, titles, strict=True)
    ]
    headers = ["", "#", "TITLE", "LEVEL", "STATE", "BEST", "HINTS"]
    head, *lines = table(cells, headers, look, right="# LEVEL BEST HINTS").splitlines()
    parts, chapter = [head], ""
    rest = iter(lines)
    for row, title in zip(rows, titles, strict=True):
        if row.chapter != chapter:
            chapter = row.chapter
            parts.append(paint(f"   {chapter}", "bold", look))
        parts += [next(rest).rstrip() for _ in title.splitlines()]
    return "\n".join([*parts, "", *_count(rows, numbers)])


def _title(row: Row, *, name: bool) -> str:
    return f"{words.line(row.title)} ({row.name})" if name else words.line(row.title)


def mistaken(found: Mapping[str, Sequence[str]]) -> str:
    """Return which exercises were left out (`found`: their mistakes, by their places), the first mistake of each."""
    lines = [f"left out, since {words.noun(len(found), 'its', 'their')} files have mistakes:"]
    for place, mistakes in found.items():
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        lines.append(f"  {place}: {words.line(mistakes[0])}{more}")
    return "\n".join([*lines, "  hint: its author is told all by: invoke exercise.verify NAME --folder FOLDER"])


def nothing_follows(unsolved: str, for_root: Sequence[int]) -> str:
    """Return why no exercise comes next.

    `unsolved`: what the present one is called; `for_root`: the numbers of those that root alone can take.
    """
    if unsolved:
        said = f"{unsolved} is the only one that is left: invoke exercise"
    elif for_root:
        said = "all exercises are passed that can be taken without root: invoke exercise.list has your times"
    else:
        said = "all exercises are passed: invoke exercise.list has your times"
    return "\n".join([said, *([wrap(f"as root: {_listed(for_root)}", WIDE)] if for_root else [])])


def _listed(numbers: Sequence[int]) -> str:
    return f"{words.noun(len(numbers), 'exercise')} {words.several([str(one) for one in numbers], 'and')}"


def _count(rows: Sequence[Row], numbers: Mapping[str, int]) -> Iterator[str]:
    passed = sum(row.record.passes > 0 for row in rows)
    yield f"{passed} of {words.count(len(rows), 'exercise')} passed; levels go from 1 (easy) to 5 (hard)"
    if len(numbers) < len(rows):
        yield "the numbers are those of the exam that is under way"
    root = [numbers[row.name] for row in rows if row.needs_root and row.name in numbers]
    if root:
        yield wrap(f"needs root: {_listed(root)}", WIDE)


def _best(row: Row) -> str:
    return "" if row.record.best_s is None else words.seconds(row.record.best_s)


def _hints(row: Row) -> str:
    return str(row.record.hints) if row.record.attempts else ""


def progress(found: Progress, rows: Sequence[Row], present: str, now: float, look: Look = PLAIN) -> str:
    """Return the course's sum, the present attempt (`present`: what its exercise is called), and the exams."""
    passed = [row for row in rows if row.record.passes]
    best = [row.record.best_s for row in passed if row.record.best_s is not None]
    lines = [f"{len(passed)} of {words.count(len(rows), 'exercise')} passed{_bar(len(passed), len(rows), look)}"]
    lines.append(f"best times together: {words.seconds(sum(best)) if best else 'none yet'}")
    lines.append(f"hints: {sum(row.record.hints for row in rows)}, checks: {sum(row.record.checks for row in rows)}")
    chapters = dict.fromkeys(row.chapter for row in rows)
    for chapter in chapters:
        of = [row for row in rows if row.chapter == chapter]
        lines.append(f"  {chapter}: {sum(row.record.passes > 0 for row in of)} of {len(of)}")
    if found.attempt:
        lines.append(_present(found.attempt, present))
    lines += [exam(one, now) for one in (*found.exams, *([found.exam] if found.exam else ()))]
    return "\n".join(lines)


def _bar(done: int, of: int, look: Look) -> str:
    width = 24
    full = width * done // of if of else 0
    return f" [{paint('#' * full, 'green', look)}{'-' * (width - full)}]"


def _present(attempt: Attempt, present: str) -> str:
    name = told(attempt, present)
    if attempt.passed:
        return wrap(f"the last one: {name}, passed", WIDE)
    used = f"{words.count(attempt.hints, 'hint')}, {words.count(attempt.checks, 'check')}"
    return wrap(f"under way: {name} (seed {attempt.seed}): {used}", WIDE)


def exam(one: Exam, now: float) -> str:
    """Return how an exam stands, in a line."""
    so_far = f"{one.passed} of {words.count(len(one.items), 'exercise')} passed"
    took = sum(item.took_s or 0.0 for item in one.items)
    if one.ended is None:
        return f"exam: {so_far}, {words.seconds(max(0.0, one.deadline - now))} left"
    had = words.seconds(60 * one.minutes)
    return f"exam over: {so_far}{f' in {words.seconds(took)}, of {had}' if took else f'; it had {had}'}"


def exam_over(
    one: Exam,
    rows: Sequence[Row],
    numbers: Mapping[str, int],
    attempt: Attempt | None,
    look: Look = PLAIN,
    *,
    elsewhere: bool = False,
) -> str:
    """Return what an exam came to, exercise by exercise, and what comes next: going on, and the solutions.

    `rows`, `numbers`: the course's, to which the exercises now belong again; `attempt`: the present one; `elsewhere`:
    the course is another one than commands take by themselves.
    """
    titles = {row.name: words.line(row.title) for row in rows}
    cells = [
        [
            str(numbers.get(item.exercise, "")),
            wrap(titles.get(item.exercise, "(it cannot be read any more)"), narrow(look).width - _BESIDE),
            mark(item.took_s is not None, look),
            "" if item.took_s is None else words.seconds(item.took_s),
        ]
        for item in one.items
    ]
    shown = table(cells, ["#", "TITLE", "PASSED", "TIME"], look, right="# TIME")
    moves, mine = [], attempt and (attempt.exercise, attempt.seed)
    if attempt and mine in {(item.exercise, item.seed) for item in one.items}:
        moves = _after(attempt, f"exercise {numbers[attempt.exercise]}" if attempt.exercise in numbers else "it")
    if len(one.items) > bool(moves):
        start = f"invoke exercise.start NUMBER{' --folder FOLDER' if elsewhere else ''}"
        moves.append((start, "begin another of these; exercise.solution --give-up then tells its solution"))
    said = "The numbers are those of the course again."
    return "\n\n".join([exam(one, one.ended or 0.0), shown, f"{said}\n{next_moves(moves)}"])


def _after(attempt: Attempt, called: str) -> list[tuple[str, str]]:
    """Return what comes next for the exercise that was under way when an exam ended."""
    if attempt.over:
        return [("invoke exercise.solution", f"the solution of {called}")]
    return [
        ("invoke exercise", f"go on with {called}: its lab stays as it is, and now there are hints"),
        ("invoke exercise.solution --give-up", f"the solution of {called}"),
    ]


def data(found: Progress, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the present `attempt` (null if there is none), the `exam`, the `exams` and the `exercises`.

    Each of the exercises has `name`, `chapter`, `title`, `difficulty`, `needsRoot`, `state` and its record.
    """
    return {
        "attempt": to_builtins(found.attempt),
        "exam": to_builtins(found.exam),
        "exams": to_builtins(found.exams),
        "exercises": [_row(row) for row in rows],
    }


def _row(row: Row) -> dict[str, Any]:
    record = row.record
    return {
        "name": row.name,
        "chapter": row.chapter,
        "title": row.title,
        "difficulty": row.difficulty,
        "needsRoot": row.needs_root,
        "state": record.state,
        "attempts": record.attempts,
        "passes": record.passes,
        "checks": record.checks,
        "hints": record.hints,
        "wrong": record.wrong,
        "bestSeconds": record.best_s,
    }
