"""What a class handed in: tables for its teacher, and the same as CSV."""

from __future__ import annotations

import csv
import io
import statistics
import unicodedata
from typing import TYPE_CHECKING, Any

from lab import words
from lab.report.table import PLAIN, Look, mark, paint, table, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.exercise.results import HandedIn
    from lab.model.progress import Exam, Row

_COLUMNS = (
    "learner", "exercise", "chapter", "title", "difficulty", "state", "attempts", "checks", "hints", "wrong_answers",
    "passes", "best_s", "first_passed", "written", "file", "untouched",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_WIDE = 80
_LEARNER, _EXERCISE = 17, 22  # columns for a name, beside what else a row has at most: `33 of 33`, `102 min`


def text(handed_in: Sequence[HandedIn], look: Look = PLAIN) -> str:
    """Return a row for each learner, and a row for each exercise that somebody has begun."""
    parts = [_learners(handed_in, look)]
    begun = _begun(handed_in)
    if begun:
        parts.append(_exercises(begun, look))
    remarks = [paint(wrap(one, _WIDE), "red", look) for one in _remarks(handed_in)]
    return "\n\n".join([*parts, *(["\n".join(remarks)] if remarks else [])])


def _remarks(handed_in: Sequence[HandedIn]) -> Iterator[str]:
    """Yield what a teacher should look at: files that were edited, and learners with more than one."""
    for one in handed_in:
        if not one.untouched:
            yield f"{words.line(one.file)}: not as written: the checksum does not match"
    files: dict[str, list[str]] = {}
    for one in handed_in:
        files.setdefault(words.line(one.results.learner), []).append(words.line(one.file))
    for learner, of in files.items():
        if len(of) > 1:
            yield f"{_short(learner, _EXERCISE)} has handed in {len(of)} files: {words.several(of, 'and')}"


def _learners(handed_in: Sequence[HandedIn], look: Look) -> str:
    rows = []
    for one in handed_in:
        found = one.results.exercises
        took = [row.record.best_s for row in found if row.record.best_s is not None]
        rows.append([
            _short(one.results.learner, _LEARNER),
            f"{sum(row.record.passes > 0 for row in found)} of {len(found)}",
            str(sum(row.record.state == "given up" for row in found)),
            str(sum(row.record.checks for row in found)),
            str(sum(row.record.hints for row in found)),
            words.seconds(sum(took)) if took else "",
            _exam(one.results.exams),
            mark(one.untouched, look),
        ])  # fmt: skip
    headers = ["LEARNER", "PASSED", "GAVE UP", "CHECKS", "HINTS", "TIME", "EXAM", "CHECKSUM"]
    return table(rows, headers, look, right="PASSED GAVE UP CHECKS HINTS TIME")


def _exam(exams: Sequence[Exam]) -> str:
    best = max(exams, key=lambda exam: (exam.passed / (len(exam.items) or 1), -len(exam.left)), default=None)
    return f"{best.passed} of {len(best.items)}" if best else ""


def _begun(handed_in: Sequence[HandedIn]) -> dict[str, list[Row]]:
    """Return the rows of each exercise that somebody has begun, by its name, in the first learner's order."""
    found: dict[str, list[Row]] = {}
    for one in handed_in:
        for row in one.results.exercises:
            found.setdefault(row.name, []).append(row)
    return {name: rows for name, rows in found.items() if any(row.record.attempts for row in rows)}


def _exercises(begun: dict[str, list[Row]], look: Look) -> str:
    rows = []
    for name, of in begun.items():
        took = [row.record.best_s for row in of if row.record.best_s is not None]
        rows.append([
            _short(name, _EXERCISE),
            str(sum(row.record.attempts > 0 for row in of)),
            str(sum(row.record.passes > 0 for row in of)),
            str(sum(row.record.state == "given up" for row in of)),
            str(sum(row.record.hints for row in of)),
            words.seconds(statistics.median(took)) if took else "",
        ])  # fmt: skip
    headers = ["EXERCISE", "BEGUN BY", "PASSED BY", "GAVE UP", "HINTS", "MEDIAN TIME"]
    return table(rows, headers, look, right="BEGUN PASSED BY GAVE UP HINTS MEDIAN TIME")


def _short(text: str, width: int) -> str:
    return words.cut(words.line(text), width, "...")


def as_csv(handed_in: Sequence[HandedIn]) -> str:
    """Return a line for each exercise of each learner, under a header (RFC 4180, but for the lines' ends).

    Times are in seconds and, of days, seconds since the epoch. A text that a spreadsheet would take for a formula has
    an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in handed_in:
        writer.writerows([_harmless(cell) for cell in _line(one, row)] for row in one.results.exercises)
    return out.getvalue()


def _line(one: HandedIn, row: Row) -> Iterable[Any]:
    record, best = row.record, row.record.best_s
    return (
        one.results.learner, row.name, row.chapter, row.title, row.difficulty, record.state, record.attempts,
        record.checks, record.hints, record.wrong, record.passes, None if best is None else round(best, 1),
        record.first_passed, one.results.written, one.file, "yes" if one.untouched else "no",
    )  # fmt: skip


def _harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    flat = words.line(cell)
    # Some spreadsheets take the wide forms of East Asian text for the same (U+FF1D for =).
    return f"'{flat}" if unicodedata.normalize("NFKC", flat[:1]).startswith(_FORMULA) else flat
