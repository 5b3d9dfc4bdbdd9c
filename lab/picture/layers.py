"""Cards in columns, joined by lines from the rows of one to the head of another: where each is, and the lines' ways.

A line that passes a column runs through a lane between its cards, so that it never runs under one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

_LANE = 10.0


@dataclass(frozen=True, slots=True)
class Size:
    """A card's width and height, and how far below its upper edge lines arrive."""

    width: float
    height: float
    head: float


@dataclass(frozen=True, slots=True)
class Join:
    """A line from a card, `down` pixels below its upper edge, to another card."""

    start: str
    down: float
    end: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is: the upper left corner of each card, its width, the lines' points in the order of the joins.

    A card is as wide as its column, so that no line runs under its neighbours.
    """

    corners: Mapping[str, Point]
    widths: Mapping[str, float]
    ways: tuple[tuple[Point, ...], ...]
    width: float
    height: float


@dataclass(slots=True)
class _Item:
    """A card in its column, or a lane for a line that passes; `wanted`: where the lines to it come from, by y."""

    key: str
    height: float
    head: float
    wanted: list[float] = field(default_factory=list)
    y: float = 0.0


def levels(cards: Sequence[str], joins: Sequence[Join]) -> dict[str, int]:
    """Return the column of each card: one more than the last one of those that lead to it; lines may not go round."""
    found = dict.fromkeys(cards, 0)
    for _ in cards:
        moved = {join.end: found[join.start] + 1 for join in joins if found[join.end] <= found[join.start]}
        if not moved:
            return found
        for key, level in moved.items():
            found[key] = max(found[key], level)
    return found


def layout(sizes: Mapping[str, Size], joins: Sequence[Join], *, across: float, down: float) -> Layout:
    """Return places for all cards; `across` and `down` are the gaps between columns and between cards of one."""
    level = levels(list(sizes), joins)
    count = max(level.values(), default=-1) + 1
    columns: list[list[_Item]] = [[] for _ in range(count)]
    items = {key: _Item(key, size.height, size.head) for key, size in sizes.items()}
    for key in sizes:
        columns[level[key]].append(items[key])
    lanes = [_lanes(at, join, level, columns) for at, join in enumerate(joins)]
    for at, column in enumerate(columns):
        _place(column, down)
        for join, lane in zip(joins, lanes, strict=True):
            _want(join, [items[join.start], *lane, items[join.end]], at - level[join.start])
    top = min((item.y for column in columns for item in column), default=0.0)
    wide = [max((sizes[one.key].width for one in column if one.key in sizes), default=0.0) for column in columns]
    lefts = [sum(wide[:at]) + across * at for at in range(count)]
    corners = {key: (lefts[level[key]], item.y - top) for key, item in items.items()}
    widths = {key: wide[level[key]] for key in sizes}
    spans = list(zip(lefts, wide, strict=True))
    ways = tuple(
        _way(join, lane, sizes, corners, top, spans[level[join.start] :])
        for join, lane in zip(joins, lanes, strict=True)
    )
    bottom = max((item.y + item.height - top for column in columns for item in column), default=0.0)
    return Layout(corners, widths, ways, sum(wide) + across * max(0, count - 1), bottom)


def _lanes(at: int, join: Join, level: Mapping[str, int], columns: Sequence[list[_Item]]) -> list[_Item]:
    """Return a lane in each column that a line passes, after adding it there."""
    found = []
    for number in range(level[join.start] + 1, level[join.end]):
        lane = _Item(f"lane-{at}-{number}", _LANE, _LANE / 2)
        columns[number].append(lane)
        found.append(lane)
    return found


def _want(join: Join, stops: Sequence[_Item], reached: int) -> None:
    """Tell a line's next stop where the line comes from, once the column of the stop before has its places."""
    if 0 <= reached < len(stops) - 1:
        here = stops[reached]
        stops[reached + 1].wanted.append(here.y + (join.down if reached == 0 else here.head))


def _place(column: list[_Item], down: float) -> None:
    """Give each item of a column its place: as near as can be to where its lines come from, and none over another."""
    column.sort(key=lambda item: (not item.wanted, sum(item.wanted) / max(1, len(item.wanted))))
    y = None
    for item in column:
        want = sum(item.wanted) / len(item.wanted) - item.head if item.wanted else 0.0
        item.y = want if y is None else max(y, want)
        y = item.y + item.height + down
    _lift(column)


def _lift(column: list[_Item]) -> None:
    """Move a column up by what its items were pushed down, on average, so that lines run as level as they can."""
    pushed = [item.y + item.head - sum(item.wanted) / len(item.wanted) for item in column if item.wanted]
    for item in column:
        item.y -= sum(pushed) / len(pushed) if pushed else 0.0


def _way(
    join: Join,
    lane: Sequence[_Item],
    sizes: Mapping[str, Size],
    corners: Mapping[str, Point],
    top: float,
    spans: Sequence[tuple[float, float]],
) -> tuple[Point, ...]:
    """Return the points of a line: out of a row, along its lanes, and to a card's head.

    `spans`: the left edges and the widths of the columns from that of its start on.
    """
    (left, y), (to_x, to_y) = corners[join.start], corners[join.end]
    points = [(left + spans[0][1], y + join.down)]
    for item, (x, wide) in zip(lane, spans[1:], strict=False):
        points += [(x, item.y - top + item.head), (x + wide, item.y - top + item.head)]
    return (*points, (to_x, to_y + sizes[join.end].head))
