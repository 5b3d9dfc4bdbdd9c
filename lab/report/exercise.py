"""What a learner reads: the course, a ticket, a check, a hint. It fits into 80 columns, and needs no colour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from lab import words
from lab.exercise.progress import spent_s
from lab.report.prose import flowed
from lab.report.table import PLAIN, Look, mark, paint, table, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.model.exercise import Exercise, ExerciseSpec
    from lab.model.progress import Exam, Progress, Row
    from lab.model.verdict import CellSeen, Verdict

WIDE = 80
"""Texts have so many columns at most, however wide the terminal is."""

_LEAST = 16  # columns for a title
_LEVELS = ("where to look", "which tool shows it", "the mechanism", "nearly the solution")


def narrow(look: Look) -> Look:
    """Return a look that is as wide as texts are here, or narrower."""
    return replace(look, width=min(look.width, WIDE))


def course(rows: Sequence[Row], current: str = "", look: Look = PLAIN) -> str:
    """Return the exercises in the course's order under their chapters; `current`: the name of the present one."""
    if not rows:
        return "there is no exercise here"
    names = max(len(row.name) for row in rows)
    room = max(_LEAST, narrow(look).width - names - 40)
    titles = [wrap(words.line(row.title), room) for row in rows]
    cells = [
        [
            ">" if row.name == current else " ",
            row.name,
            title,
            str(row.difficulty),
            row.record.state,
            _best(row),
            _hints(row),
        ]
        for row, title in zip(rows, titles, strict=True)
    ]
    headers = ["", "EXERCISE", "TITLE", "LEVEL", "STATE", "BEST", "HINTS"]
    head, *lines = table(cells, headers, look, right="LEVEL BEST HINTS").splitlines()
    parts, chapter = [head], ""
    rest = iter(lines)
    for row, title in zip(rows, titles, strict=True):
        if row.chapter != chapter:
            chapter = row.chapter
            parts.append(paint(f"   {chapter}", "bold", look))
        parts += [next(rest).rstrip() for _ in title.splitlines()]
    return "\n".join([*parts, "", *_count(rows)])


def mistaken(found: Mapping[str, Sequence[str]]) -> str:
    """Return which exercises were left out (`found`: their mistakes, by their places), the first mistake of each."""
    lines = [f"left out, since {words.noun(len(found), 'its', 'their')} files have mistakes:"]
    for place, mistakes in found.items():
        more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
        lines.append(f"  {place}: {words.line(mistakes[0])}{more}")
    return "\n".join([*lines, "  hint: its author is told all by: invoke exercise.verify NAME --folder FOLDER"])


def nothing_follows(unsolved: str, for_root: Sequence[str]) -> str:
    """Return why no exercise comes next. `unsolved`: the present one; `for_root`: those that root alone can take."""
    if unsolved:
        said = f"exercise {unsolved} is the only one that is left: invoke exercise"
    elif for_root:
        said = "all exercises are passed that can be taken without root: invoke exercise.list has your times"
    else:
        said = "all exercises are passed: invoke exercise.list has your times"
    return "\n".join([said, *([wrap(f"as root: {', '.join(for_root)}", WIDE)] if for_root else [])])


def _count(rows: Sequence[Row]) -> Iterator[str]:
    passed = sum(row.record.passes > 0 for row in rows)
    yield f"{passed} of {words.count(len(rows), 'exercise')} passed; levels go from 1 (easy) to 5 (hard)"
    root = [row.name for row in rows if row.needs_root]
    if root:
        yield wrap(f"needs root: {', '.join(root)}", WIDE)


def _best(row: Row) -> str:
    return "" if row.record.best_s is None else words.seconds(row.record.best_s)


def _hints(row: Row) -> str:
    return str(row.record.hints) if row.record.attempts else ""


def title(exercise: Exercise, spec: ExerciseSpec, place: str, look: Look = PLAIN) -> str:
    """Return an exercise's heading; `spec`: with its variables filled in; `place`: `exercise 3 of 24`."""
    under = f"{place}, {exercise.chapter}: {exercise.name}, level {spec.difficulty} of 5, about {spec.minutes} min"
    return f"{paint(words.line(spec.title), 'bold', look)}\n{wrap(under, WIDE)}"


def task(may: str, success: str, look: Look = PLAIN) -> str:
    """Return what may be touched, and what success means."""
    parts = [("you may touch", may), ("it is solved when", success)]
    return "\n".join(wrap(f"{paint(f'{name}:', 'bold', look)} {words.line(said)}", WIDE) for name, said in parts)


def next_moves(moves: Sequence[tuple[str, str]]) -> str:
    """Return commands, each with what it is for."""
    room = max(len(command) for command, _ in moves)
    begin = "\n" + " " * (room + 4)
    whys = [wrap(why, WIDE - room - 4).replace("\n", begin) for _, why in moves]
    return "\n".join(["next:", *(f"  {command:{room}}  {why}" for (command, _), why in zip(moves, whys, strict=True))])


def checked(cells: Sequence[CellSeen], look: Look = PLAIN) -> str:
    """Return a row for each cell: whether it holds, and, where it does not, what was expected and what was seen."""
    names = max((len(cell.name) for cell in cells), default=0)
    room = max(2 * _LEAST, narrow(look).width - names - 8)
    rows = [[_sign(cell, look), cell.name, _reason(cell, room)] for cell in cells]
    return "\n".join(line.rstrip() for line in table(rows, ["", "CELL", "OBSERVED"], look).splitlines())


def _sign(cell: CellSeen, look: Look) -> str:
    return paint("?", "yellow", look) if cell.state == "untried" else mark(cell.state == "green", look)


def _reason(cell: CellSeen, room: int) -> str:
    """Return what a cell is about, and of the first finding that does not hold what was seen."""
    it = wrap(words.line(cell.it), room)
    if cell.state == "untried":
        said = [f"{finding.what}: {finding.observed}" for part in cell.findings for finding in part]
        return f"{it}\n{wrap(words.line('; '.join(said) or 'not tried: what it needs is red'), room)}"
    failed = next((finding for part in cell.findings for finding in part if not finding.holds), None)
    if failed is None:
        return it
    about = "" if failed.it == cell.it else f"{failed.it}: "
    seen = f"{about}{failed.what}: {failed.observed}; expected {failed.expected}"
    return f"{it}\n{wrap(words.line(seen), room)}"


def since(before: Sequence[str] | None, seen: Verdict, look: Look = PLAIN) -> str:
    """Return what has become green and what red since the last check, which found `before` red (None: there was none).

    "" if nothing has.
    """
    if before is None:
        return ""
    green = [cell.name for cell in seen.cells if cell.state == "green" and cell.name in before]
    red = [cell.name for cell in seen.cells if cell.state == "red" and cell.name not in before]
    parts = [(paint("green now:", "green", look), green), (paint("red now:", "red", look), red)]
    return "\n".join(wrap(f"{said} {words.several(names, 'and')}", WIDE) for said, names in parts if names)


def hint(level: int, text: str, look: Look = PLAIN) -> str:
    """Return one hint under its number and what such a hint is about."""
    return f"{paint(f'hint {level} of {len(_LEVELS)}, {_LEVELS[level - 1]}', 'bold', look)}\n\n{flowed(text, WIDE)}"


def sight(verdict: Verdict) -> str:
    """Return what the first hint says of the present state: which cells are red, and which are not."""
    red, green = ([cell.name for cell in verdict.cells if cell.state == state] for state in ("red", "green"))
    if not red:
        return "Just now nothing is red: invoke exercise.check"
    listed = words.several(red, "and")
    if not green:
        return wrap(f"Just now all that was tried is red ({listed}): what does all of it need?", WIDE)
    are, not_ = (words.noun(len(names), "is", "are") for names in (red, green))
    said = f"Just now {listed} {are} red, and {words.several(green, 'and')} {not_} not."
    return wrap(f"{said} What do the former need that the latter can do without?", WIDE)


def verdict(seen: Verdict, found: Progress, look: Look = PLAIN) -> str:
    """Return what a check comes to: how many cells are red, or that the exercise is passed, and what the fix costs."""
    if seen.open:
        before = wrap(f"predict first: {words.several(seen.open, 'and')}; then a check makes the requests", WIDE)
        return paint(before, "yellow", look)
    if not seen.holds and seen.runs:
        number = f"{sum(cell.state == 'green' for cell in seen.cells)} of {words.count(len(seen.cells), 'prediction')}"
        return paint(f"right: {number}; what was wrong is to be answered anew", "red", look)
    if not seen.holds:
        bad = sum(cell.state != "green" for cell in seen.cells)
        if not bad:
            return paint("not stable: a second look found something else; check again", "red", look)
        number = f"{bad} of {words.count(len(seen.cells), 'cell')}"
        return paint(f"{number} {words.noun(bad, 'is', 'are')} not as it should be", "red", look)
    attempt = found.attempt
    assert attempt is not None  # noqa: S101 - it was checked just now
    used = f"{words.seconds(spent_s(attempt, attempt.touched))}, {words.count(attempt.hints, 'hint')}"
    used += f", {words.count(attempt.checks, 'check')}"
    if attempt.wrong:
        used += f", {words.count(attempt.wrong, 'wrong answer')}"
    counts = " (the solution was read before: it does not count as passed)" if attempt.gave_up else ""
    lines = [paint(wrap(f"solved: {attempt.exercise}, {used}{counts}", WIDE), "green", look)]
    lines += [wrap(words.line(cost), WIDE) for cost in seen.costs]
    return "\n".join(lines)


def verdict_data(seen: Verdict) -> dict[str, Any]:
    """Return `holds`, `stable`, `costs` and the `cells`: each `name`, `it`, `state` and its `findings`."""
    return {
        "holds": seen.holds,
        "stable": seen.stable,
        "costs": list(seen.costs),
        "cells": [
            {
                "name": cell.name,
                "it": cell.it,
                "state": cell.state,
                "findings": [to_builtins(finding) for part in cell.findings for finding in part],
            }
            for cell in seen.cells
        ],
    }


def progress(found: Progress, rows: Sequence[Row], now: float, look: Look = PLAIN) -> str:
    """Return the course's sum, the present attempt, and the exams."""
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
        lines.append(_present(found))
    lines += [exam(one, now) for one in (*found.exams, *([found.exam] if found.exam else ()))]
    return "\n".join(lines)


def _bar(done: int, of: int, look: Look) -> str:
    width = 24
    full = width * done // of if of else 0
    return f" [{paint('#' * full, 'green', look)}{'-' * (width - full)}]"


def _present(found: Progress) -> str:
    attempt = found.attempt
    assert attempt is not None  # noqa: S101 - the caller has looked
    if attempt.passed:
        return f"the last one: {attempt.exercise}, passed"
    spent = words.seconds(spent_s(attempt, max(attempt.touched, attempt.since)))
    used = f"{words.count(attempt.hints, 'hint')}, {words.count(attempt.checks, 'check')}"
    return wrap(f"under way: {attempt.exercise} (seed {attempt.seed}): {spent}, {used}", WIDE)


def exam(one: Exam, now: float) -> str:
    """Return how an exam stands, in a line."""
    so_far = f"{one.passed} of {words.count(len(one.items), 'exercise')} passed"
    took = sum(item.took_s or 0.0 for item in one.items)
    if one.ended is None:
        return f"exam: {so_far}, {words.seconds(max(0.0, one.deadline - now))} left"
    had = words.seconds(60 * one.minutes)
    return f"exam over: {so_far}{f' in {words.seconds(took)}, of {had}' if took else f'; it had {had}'}"


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
