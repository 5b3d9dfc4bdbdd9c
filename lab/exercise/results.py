"""Results for a teacher: the document that a learner hands in, and what is read from it.

The checksum deters casual editing, and no more: whoever has this program can make one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import msgspec

import lab
from lab.errors import TopologyError
from lab.model.part import Part
from lab.model.progress import RESULTS_VERSION, Progress, Results, Row

KIND = "ExerciseResults"
_PREFIX = "hairpin exercise results\n"
_REMARK = "The checksum shows casual editing, and no more: whoever has Hairpin can compute one."


class _Document(Part, frozen=True, kw_only=True):
    """The file's form: the results, and what stands around them."""

    api_version: str
    kind: str
    results: Results
    checksum: str
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class HandedIn:
    """Results as they were handed in: in which file, and whether that is as it was written."""

    file: str
    results: Results
    untouched: bool


def collected(progress: Progress, rows: tuple[Row, ...], *, learner: str, now: float) -> Results:
    """Return the results of a learner; `rows`: the exercises, in the course's order; `now` in seconds since the epoch.

    An exam that is under way is not among them.
    """
    written_as = learner.encode("utf-8", "replace").decode()  # what has no letter in UTF-8 would not be read again
    written = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"
    made_by = f"hairpin {lab.__version__}"
    return Results(learner=written_as, written=written, made_by=made_by, exercises=rows, exams=progress.exams)


def document(results: Results) -> str:
    """Return the results as the text of a file, with their checksum."""
    raw = msgspec.to_builtins(results)
    told = {
        "apiVersion": RESULTS_VERSION,
        "kind": KIND,
        "remark": _REMARK,
        "results": raw,
        "checksum": _checksum(raw),
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def read(raw: bytes, file: str) -> HandedIn:
    """Return what a file holds; raises `TopologyError`, naming `file`, if it is no results of ours."""
    hint = "expected a file that `invoke exercise.export` wrote"
    try:
        data = json.loads(raw, parse_constant=_no_number)
        found = msgspec.convert(data, _Document)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, too
        raise TopologyError(f"{file}: {error}", hint=hint) from None
    if (found.api_version, found.kind) != (RESULTS_VERSION, KIND):
        said = f"{found.api_version} {found.kind}"
        raise TopologyError(f"{file}: expected {RESULTS_VERSION} {KIND}, found {said[:80]!r}", hint=hint)
    return HandedIn(file=file, results=found.results, untouched=_checksum(data["results"]) == found.checksum)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _checksum(results: dict[str, Any]) -> str:
    """Return a digest of the values, however they are laid out."""
    text = json.dumps(results, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256((_PREFIX + text).encode()).hexdigest()}"
