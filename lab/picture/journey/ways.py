"""The lines of a journey's picture: how each leg's packet went from cell to cell, and around what it did not meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lab.model.journey import Journey
from lab.picture.journey.layout import APART, PILL, Card, Columns, Placed
from lab.picture.journey.stations import Side, side_of

Point = tuple[float, float]
BESIDE = 9.0
"""How far from a hook a line keeps that goes around it."""
TURN = 10.0
ASIDE = 6.0
"""Between the lines of two legs of one direction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A line of one leg, from cell to cell; `observed` False: it is not known that the packet went there."""

    leg: int
    points: tuple[Point, ...]
    start: Placed
    end: Placed
    observed: bool = True


def visited(cards: Sequence[Card], leg: int, side: Side) -> list[tuple[int, Placed]]:
    """Return the cells that a leg's packet met, in order, each with its card's index."""
    order = range(len(cards)) if side == "down" else range(len(cards) - 1, -1, -1)
    met = []
    for index in order:
        lane = cards[index].station.lanes.get(side)
        places = {id(one.cell): one for one in cards[index].placed}
        met += [(index, places[id(cell)]) for cell in (lane.cells if lane else ()) if leg in cell.legs]
    return met


def stretches(journey: Journey, cards: Sequence[Card], where: Columns) -> Iterator[Stretch]:
    """Yield all lines."""
    ranks: dict[Side, int] = {}
    for leg, told in enumerate(journey.legs):
        side = side_of(journey, told)
        ranks[side] = ranks.get(side, -1) + 1
        met = visited(cards, leg, side)
        last = max([at for at, (_, one) in enumerate(met) if one.cell.observed], default=-1)
        for at, ((first, start), (second, end)) in enumerate(pairwise(met)):
            if abs(second - first) > 1:
                points = _around(cards, where, side, (first, start), (second, end))
            else:
                passed = cards[min(first, second) : max(first, second) + 1]
                unmet = [one for card in passed for one in _unmet(card, leg, side)]
                points = _points(start, end, side, unmet)
            aside = ASIDE * ranks[side]
            shifted = tuple((x + aside, y) for x, y in points)
            yield Stretch(leg=leg, points=shifted, start=start, end=end, observed=at < last)


def _unmet(card: Card, leg: int, side: Side) -> Iterator[Placed]:
    """Yield what a leg's packet went around: hooks, and routing where not even PREROUTING saw it."""
    hooks = [one for one in card.placed if one.cell.kind == "hook" and leg not in one.cell.legs and one.side == side]
    yield from hooks
    if any(one.cell.name == "PREROUTING" for one in hooks):
        yield from (
            one for one in card.placed if one.cell.kind == "decision" and one.side == side and not one.cell.legs
        )


def _leaves(one: Placed, side: Side) -> float:
    return one.box.bottom if side == "down" else one.box.y


def _enters(one: Placed, side: Side) -> float:
    return one.box.y if side == "down" else one.box.bottom


def _points(start: Placed, end: Placed, side: Side, unmet: Sequence[Placed]) -> list[Point]:
    """Return the way between two cells of a card, or of two beside each other."""
    (x, _), (to_x, _) = start.box.middle, end.box.middle
    y, to_y = _leaves(start, side), _enters(end, side)
    sign = 1 if side == "down" else -1
    if start.cell.kind == "process":
        x = to_x
    elif end.cell.kind == "process":
        to_x = x
    if x == to_x:
        return [(x, y), *_past(x, y, to_y, side, unmet), (to_x, to_y)]
    turn = to_y - sign * TURN if end.box.width < PILL and end.cell.kind == "hook" else y + sign * TURN
    return [(x, y), (x, turn), (to_x, turn), (to_x, to_y)]


def _past(x: float, y: float, to_y: float, side: Side, unmet: Sequence[Placed]) -> Iterator[Point]:
    """Yield the way around hooks that the packet did not come to, on the side of the card's middle."""
    sign = 1 if side == "down" else -1
    ahead = sorted((one for one in unmet if one.box.middle[0] == x), key=lambda one: sign * one.box.y)
    between = [one for one in ahead if min(y, to_y) < one.box.middle[1] < max(y, to_y)]
    if between:
        aside = x + sign * (PILL / 2 + min(BESIDE, APART / 2))
        first, last = _enters(between[0], side) - sign * 7, _leaves(between[-1], side) + sign * 7
        yield from ((x, first), (aside, first), (aside, last), (x, last))


def _around(
    cards: Sequence[Card], where: Columns, side: Side, start: tuple[int, Placed], end: tuple[int, Placed]
) -> list[Point]:
    """Return the way past places that the packet did not come to: by the margin."""
    margin = where.card[0] - 12 if side == "down" else where.card[1] + 12
    x = where.lanes[side]
    first, last = _leaves(start[1], side), _enters(end[1], side)
    if side == "down":
        off, on = cards[start[0] + 1].box.y - 7, cards[end[0] - 1].box.bottom + 7
    else:
        off, on = cards[start[0] - 1].box.bottom + 7, cards[end[0] + 1].box.y - 7
    return [(x, first), (x, off), (margin, off), (margin, on), (x, on), (x, last)]
