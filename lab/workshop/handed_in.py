"""The files of results that a class has handed in."""

from __future__ import annotations

from collections.abc import Sequence

from lab.errors import TopologyError
from lab.exercise import results
from lab.exercise.results import HandedIn

MOST_BYTES = 4 * 1024 * 1024
"""Results are some kilobytes; whatever is so large is something else."""


def read(files: Sequence[str]) -> list[HandedIn]:
    """Return what the files hold; raises `TopologyError` with the mistakes of all of them."""
    found: list[HandedIn] = []
    mistakes: list[str] = []
    hint = ""
    for file in dict.fromkeys(files):
        try:
            found.append(results.read(_bytes(file), file))
        except TopologyError as error:
            mistakes += error.mistakes
            hint = hint or error.hint
    if mistakes:
        raise TopologyError(mistakes, hint=hint)
    return found


def _bytes(file: str) -> bytes:
    try:
        with open(file, "rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise TopologyError(f"{file}: {said}") from None
    if len(raw) > MOST_BYTES:
        raise TopologyError(f"{file}: too large for results: more than {MOST_BYTES} bytes")
    return raw
