"""Tables and marks: the only module that knows tabulate, colours and what a terminal can show."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = Literal["red", "green", "yellow", "bold", "dim"]
_SGR: dict[Colour, str] = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}  # ECMA-48 SGR


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What the reader's side can show; the default is right for a file or a pipe. `width` is in columns."""

    colour: bool = False
    unicode: bool = True
    width: int = 100


PLAIN = Look()


def look(encoding: str | None, *, colour: bool = False, width: int = 100) -> Look:
    """Return the look for an output stream's `encoding`; the caller decides about colour (a terminal, no NO_COLOR)."""
    try:
        "✓✗".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Look(colour=colour, unicode=False, width=width)
    return Look(colour=colour, unicode=True, width=width)


def paint(text: str, colour: Colour, look: Look) -> str:
    """Return the text, line by line, in a colour, or as it is where there are none."""
    if not look.colour or not text:
        return text
    return "\n".join(f"\x1b[{_SGR[colour]}m{line}\x1b[0m" for line in text.split("\n"))


def mark(holds: bool, look: Look) -> str:  # noqa: FBT001 - the mark of true and of false
    """Return a tick or a cross, or words where those cannot be shown."""
    sign = ("✓" if holds else "✗") if look.unicode else ("ok" if holds else "FAIL")
    return paint(sign, "green" if holds else "red", look)


def table(rows: Sequence[Sequence[str]], headers: Sequence[str], look: Look = PLAIN, *, right: str = "") -> str:
    """Return rows under headers in columns that two blanks part; a cell may have several lines.

    `right` has the words of the headers whose columns are aligned to the right. Numbers stay as written.
    """
    from tabulate import tabulate  # noqa: PLC0415 - wanted only where a table is printed

    aligned = [header for header in headers if header and set(header.split()) <= set(right.split())]
    return tabulate(  # the headers are its first row: as headers they would make their columns two blanks wider
        [[paint(header, "bold", look) for header in headers], *([cell or "-" for cell in row] for row in rows)],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if header in aligned else "left" for header in headers],
    )


def wrap(text: str, width: int) -> str:
    """Return the text in lines of at most `width` columns; a longer word (an address) stays whole."""
    return "\n".join(textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False)) or text


def widest(text: str) -> int:
    """Return the columns of the longest line, in text without colours."""
    return max(map(len, text.splitlines()), default=0)


def shortened(items: Sequence[str], most: int) -> list[str]:
    """Return the items, or the first `most` and a last one that counts the rest."""
    return list(items) if len(items) <= most else [*items[:most], f"and {len(items) - most} more"]
