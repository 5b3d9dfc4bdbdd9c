"""Markdown as a terminal shows it: what may flow is laid out anew, what must not (commands, tables) stays."""

from __future__ import annotations

import re
import textwrap

_ITEM = re.compile(r"( *(?:[-*]|[0-9]+\.) +)(.*)")
_FIXED = re.compile(r" {4}|#|\||>")
_FENCE = "```"


def flowed(text: str, width: int) -> str:
    """Return Markdown with paragraphs and items of lists in lines of at most `width` columns.

    Commands and their output (indented by four, or fenced), headings, quotes and tables stay as they are.
    """
    out: list[str] = []
    paragraph: list[str] = []
    fenced = False
    for line in text.strip("\n").splitlines():
        fence = line.lstrip().startswith(_FENCE)
        item = _ITEM.match(line)
        # Indented lines go on with an item of a list; behind a blank line they are commands.
        fixed = fenced or fence or (bool(_FIXED.match(line)) and not (paragraph and line.startswith("    ")))
        if fixed or item or not line.strip():
            out += _lines(paragraph, width)
            paragraph = []
        if fixed or not line.strip():
            out.append(line)
        else:
            paragraph.append(line)
        fenced ^= fence
    return "\n".join([*out, *_lines(paragraph, width)])


def _lines(paragraph: list[str], width: int) -> list[str]:
    if not paragraph:
        return []
    item = _ITEM.match(paragraph[0])
    first = item[1] if item else ""
    words = " ".join([item[2] if item else paragraph[0], *paragraph[1:]]).split()
    return textwrap.wrap(
        " ".join(words),
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
