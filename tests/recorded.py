"""Evidence that was recorded in labs, cut down to the packets that are told of, in tests/golden/evidence."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lab.model.trace import Evidence
from lab.parse import trace_json

FOLDER = Path(__file__).resolve().parent / "golden" / "evidence"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@cache
def recorded(name: str) -> Evidence:
    """Return the evidence `name`."""
    return trace_json.restore((FOLDER / f"{name}.json").read_bytes())
