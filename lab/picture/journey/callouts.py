"""Callouts: what is told beside a cell, broken into lines, and moved apart so that none covers another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab import words
from lab.picture.journey.told import Line
from lab.picture.svg import Box, width

INDENT = 30.0
"""From a callout's left edge to its words; the numbers of steps stand before them."""
EDGE = 6.0
LEADING = 16.0
FIRST = 14.0
"""From a callout's upper edge to the middle of its first line."""
APART = 8.0
ARROW = "→"


@dataclass(frozen=True, slots=True)
class Row:
    """One line as it is drawn: of which line of words, its text, and the number of its step, 0 on all but the first."""

    line: Line
    text: str
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Callout:
    """Rows in a box. `beside`: the y of the cell that it belongs to, and `key` that cell's name."""

    rows: tuple[Row, ...]
    box: Box
    beside: float = 0.0
    key: str = ""

    @property
    def high(self) -> float:
        """Its height."""
        return self.box.height


def callout(lines: Sequence[Line], numbers: Mapping[int, int], wide: float) -> Callout | None:
    """Return what is to be said as a callout at 0, 0, None if there is nothing."""
    rows: list[Row] = []
    shown: set[int] = set()
    for line in lines:
        number = 0 if line.step is None or line.step in shown else numbers.get(line.step, 0)
        shown |= set() if line.step is None else {line.step}
        texts = list(wrapped(words.line(line.text), line.style, wide - INDENT - EDGE))
        rows += [Row(line, text, 0 if at else number) for at, text in enumerate(texts)]
    high = 2 * FIRST + LEADING * (len(rows) - 1)
    return Callout(rows=tuple(rows), box=Box(0, 0, wide, high)) if rows else None


def wrapped(text: str, style: str, room: float) -> Iterator[str]:
    """Yield a text's lines, each at most `room` pixels wide: broken between words, and within one that is too long."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if width(longer, style) <= room:
            line = longer
            continue
        if width(word, style) > room or line == ARROW:
            line = longer  # it will be broken anyhow, or belongs to what it points at
        elif line:
            yield line
            line = word
        while width(line, style) > room:
            most = next(at for at in range(len(line), 0, -1) if at == 1 or width(line[:at], style) <= room)
            cut = max([at for at in range(most // 2, most + 1) if at and line[at - 1] in "-./:"], default=most)
            yield line[:cut]
            line = line[cut:]
    if line:
        yield line


def needed(callouts: Sequence[Callout]) -> float:
    """Return the height that callouts take, one under the other."""
    return sum(one.high for one in callouts) + APART * max(0, len(callouts) - 1)


def settled(callouts: Sequence[Callout], top: float, bottom: float) -> list[Callout]:
    """Return callouts from above, each as near as can be to its cell, between `top` and `bottom`, which have room."""
    ordered = sorted(callouts, key=lambda one: one.beside)
    tops: list[float] = []
    for one in ordered:
        tops.append(max(one.beside - FIRST, top))
        top = tops[-1] + one.high + APART
    for at in range(len(ordered) - 1, -1, -1):
        tops[at] = min(tops[at], bottom - ordered[at].high)
        bottom = tops[at] - APART
    return [replace(one, box=replace(one.box, y=y)) for one, y in zip(ordered, tops, strict=True)]
