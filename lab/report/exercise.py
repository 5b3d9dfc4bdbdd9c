"""What a learner reads of an exercise: a ticket, a check, a hint. It fits into 80 columns, and needs no colour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from lab import words
from lab.exercise.progress import spent_s
from lab.report import again
from lab.report.prose import flowed
from lab.report.table import PLAIN, Look, mark, paint, table, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.exercise import Exercise, ExerciseSpec
    from lab.model.progress import Attempt, Progress
    from lab.model.verdict import CellSeen, Verdict

WIDE = 80
"""Texts have so many columns at most, however wide the terminal is."""

_LEAST = 32  # columns for what was observed
_LEVELS = ("where to look", "which tool shows it", "the mechanism", "nearly the solution")


def narrow(look: Look) -> Look:
    """Return a look that is as wide as texts are here, or narrower."""
    return replace(look, width=min(look.width, WIDE))


def title(exercise: Exercise, spec: ExerciseSpec, place: str, look: Look = PLAIN) -> str:
    """Return an exercise's heading; `spec`: with its variables filled in; `place`: `exercise 3 of 24`.

    Its name is not in it, which says what is wrong.
    """
    where = ", ".join(filter(None, [place, exercise.chapter]))
    under = f"{where}: level {spec.difficulty} of 5, about {spec.minutes} min"
    return f"{paint(words.line(spec.title), 'bold', look)}\n{wrap(under, WIDE)}"


def told(attempt: Attempt, called: str) -> str:
    """Return what an attempt's exercise is `called` (`exercise 3`), and its name when that is no secret any more."""
    return f"{called}, {attempt.exercise}" if attempt.over else called


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
    room = max(_LEAST, narrow(look).width - names - 8)
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
    bad = ((asked, finding) for asked, part in cell.tried for finding in part if not finding.holds)
    asked, failed = next(bad, (None, None))
    if failed is None:
        return it
    who = f"{again.in_short(asked)}: " if asked else ""
    about = "" if failed.it == cell.it else f"{failed.it}: "
    seen = f"{who}{about}{failed.what}: {failed.observed}; expected {failed.expected}"
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
        return "Just now nothing in the lab is red: invoke exercise.check"
    listed = words.several(red, "and")
    if not green:
        return wrap(f"Just now all that was tried is red ({listed}): what does all of it need?", WIDE)
    are, not_ = (words.noun(len(names), "is", "are") for names in (red, green))
    said = f"Just now {listed} {are} red, and {words.several(green, 'and')} {not_} not."
    return wrap(f"{said} What do the former need that the latter can do without?", WIDE)


def verdict(seen: Verdict, found: Progress, called: str, look: Look = PLAIN) -> str:
    """Return what a check comes to: how many cells are red, or that the exercise is passed, and what the fix costs.

    `called`: what the exercise is called until then (`exercise 3`); who has passed it is told its name.
    """
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
        return paint(f"{number} {words.noun(bad, 'is not as it', 'are not as they')} should be", "red", look)
    attempt = found.attempt
    assert attempt is not None  # noqa: S101 - it was checked just now
    used = f"in {words.seconds(spent_s(attempt, attempt.touched))}, {words.count(attempt.hints, 'hint')}"
    used += f", {words.count(attempt.checks, 'check')}"
    if attempt.wrong:
        used += f", {words.count(attempt.wrong, 'wrong answer')}"
    counts = " (the solution was read before: it does not count as passed)" if attempt.gave_up else ""
    lines = [paint(wrap(f"solved: {told(attempt, called)}, {used}{counts}", WIDE), "green", look)]
    lines += [wrap(words.line(cost), WIDE) for cost in seen.costs]
    return "\n".join(lines)


def verdict_data(seen: Verdict) -> dict[str, Any]:
    """Return `holds`, `stable`, `costs` and the `cells`: each `name`, `it`, `state` and its `findings`.

    Of each finding there is, too, what `lab.report.again.data` says of its request.
    """
    return {
        "holds": seen.holds,
        "stable": seen.stable,
        "costs": list(seen.costs),
        "cells": [
            {
                "name": cell.name,
                "it": cell.it,
                "state": cell.state,
                "findings": [
                    {**again.data(asked), **to_builtins(finding)} for asked, part in cell.tried for finding in part
                ],
            }
            for cell in seen.cells
        ],
    }
