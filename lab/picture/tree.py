"""Trees in letters, for terminals: what is under what, by lines where they can be shown, and in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lab import words
from lab.report.table import PLAIN, Colour, Look, paint

_LINES = {True: ("├─ ", "└─ ", "│  ", "   "), False: ("|- ", "`- ", "|  ", "   ")}


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of a tree, and what is under it. Its cells stand in columns with those of its neighbours.

    `colour` is the first cell's; `before`: what stands before the tree, in a column of its own to the right.
    """

    cells: tuple[str, ...]
    below: tuple[Branch, ...] = ()
    colour: Colour | None = None
    before: str = ""


def text(branches: Sequence[Branch], look: Look = PLAIN, *, heading: str = "") -> str:
    """Return trees, one under the other, each line cut to the width of the look.

    `heading`: of the column before the trees; "" for none.
    """
    before = max([len(heading), *(len(one.before) for one in _every(branches))])
    room = replace(look, width=max(1, look.width - before - 2)) if before else look
    lines = [line for branch in branches for line in _tree(branch, "", "", _widths(branches, look), room)]
    if not before:
        return "\n".join(lines)
    counts = [one.before for one in _every(branches)]
    rows = [f"{count:>{before}}  {line}" for count, line in zip(counts, lines, strict=True)]
    return "\n".join([paint(f"{heading:>{before}}", "bold", look)] * bool(heading.strip()) + rows)


def _every(branches: Sequence[Branch]) -> Iterator[Branch]:
    """Yield all branches in the order of their lines."""
    for branch in branches:
        yield branch
        yield from _every(branch.below)


def _tree(branch: Branch, head: str, margin: str, widths: Sequence[int], look: Look) -> Iterator[str]:
    """Yield a branch's lines; `head` goes before the first, `margin` before the others."""
    yield _line(branch, head, widths, look)
    tee, elbow, bar, blank = _LINES[look.unicode]
    inner = _widths(branch.below, look)
    for at, one in enumerate(branch.below):
        last = at + 1 == len(branch.below)
        yield from _tree(one, margin + (elbow if last else tee), margin + (blank if last else bar), inner, look)


def _widths(branches: Sequence[Branch], look: Look) -> list[int]:
    """Return the widths of the columns; a branch's last cell needs none."""
    most = max((len(one.cells) for one in branches), default=0)
    return [
        max((len(_plain(one.cells[at], look)) for one in branches if len(one.cells) > at + 1), default=0)
        for at in range(most)
    ]


def _line(branch: Branch, head: str, widths: Sequence[int], look: Look) -> str:
    cells = [_plain(cell, look) for cell in branch.cells]
    padded = [cell.ljust(wide) for cell, wide in zip(cells[:-1], widths, strict=False)]
    line = "  ".join([*padded, *cells[-1:]]).rstrip()
    cut = words.cut(line, max(1, look.width - len(head)), "…" if look.unicode else "...")
    first = min(len(cells[0]) if cells else 0, len(cut))
    return head + (paint(cut[:first], branch.colour, look) if branch.colour else cut[:first]) + cut[first:]


def _plain(cell: str, look: Look) -> str:
    """Return a cell as one line of what the terminal can show."""
    shown = words.line(cell)
    return shown if look.unicode else shown.replace("→", "->").replace("·", "-").replace("…", "...")
