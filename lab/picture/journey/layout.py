"""Where everything of a journey's picture stands: cards one under the other, in each a lane down and a lane up.

What is told stands outside the lanes, so that nothing crosses it: the request's on the left, the reply's on the right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lab.model.address import family_of
from lab.model.journey import Journey
from lab.picture.journey import told
from lab.picture.journey.callouts import APART as BETWEEN
from lab.picture.journey.callouts import FIRST, Callout, callout, needed, settled, wrapped
from lab.picture.journey.stations import Cell, Lane, Side, Station, stations
from lab.picture.svg import Box

MARGIN = 24.0
PAD = 12.0
TOLD = 224.0
"""The width of a callout."""
LEAD = 22.0
"""Between a callout and its lane."""
PILL = 128.0
APART = 18.0
"""Between a lane and what is in the middle of a card."""
CENTRE = 166.0
LOCAL = 78.0
LOCAL_GAP = 14.0
TALL = {"tap": 22.0, "hook": 30.0, "decision": 24.0, "process": 30.0}
GAP = 16.0
"""Between two cells of a lane."""
NAME = 58.0
"""The height of a card's name and address, in the middle."""
LINE = 15.0


@dataclass(frozen=True, slots=True)
class Columns:
    """The x of all that stands one under the other; `lanes` and `told` have `up` only if something came back."""

    lanes: Mapping[Side, float]
    centre: Box
    told: Mapping[Side, float]
    card: tuple[float, float]
    width: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A cell where it stands; `key`: its name in the picture."""

    cell: Cell
    side: Side
    box: Box
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A station where it stands; `under`: the lines under its name; `again`: it is there for a second time."""

    station: Station
    box: Box
    placed: tuple[Placed, ...] = ()
    callouts: tuple[Callout, ...] = ()
    again: bool = False
    under: tuple[str, ...] = ()


def columns(*, both: bool) -> Columns:
    """Return where the columns are; `both`: packets went up, too."""
    left = MARGIN + PAD
    down = left + TOLD + LEAD + PILL / 2
    centre = Box(down + PILL / 2 + APART, 0, CENTRE, 0)
    lanes: dict[Side, float] = {"down": down}
    starts: dict[Side, float] = {"down": left}
    right = centre.right
    if both:
        lanes["up"] = right + APART + PILL / 2
        starts["up"] = lanes["up"] + PILL / 2 + LEAD
        right = starts["up"] + TOLD
    return Columns(lanes, centre, starts, (MARGIN, right + PAD), right + PAD + MARGIN)


def cards(journey: Journey) -> tuple[Columns, list[Card]]:
    """Return all places of a journey where they stand, from y = 0."""
    found = stations(journey)
    where = columns(both=any("up" in station.lanes for station in found))
    y, done = 0.0, list[Card]()
    for index, station in enumerate(found):
        y += _room_above(journey, station) if index else 0.0
        again = station.name in {card.station.name for card in done}
        under = tuple(wrapped(_under(journey, station, again=again), "address", where.centre.width))[:2]
        card = _card(journey, station, where, index, NAME + LINE * max(0, len(under) - 1))
        done.append(_moved(replace(card, again=again, under=under), y))
        y = done[-1].box.bottom
    return where, done


def _room_above(journey: Journey, station: Station) -> float:
    """Return how far a card is from the one above it: the packets on their way between them are told there."""
    if not station.reached:
        return 28.0
    owners = told.legs_of(journey)
    most = 1
    for side, lane in station.lanes.items():
        met: dict[int, list[int]] = {}
        for index in (index for cell in lane.cells for index in cell.steps):
            met.setdefault(owners[index], []).append(index)
        ends = {
            journey.steps[one[0]].before if side == "down" else journey.steps[one[-1]].after for one in met.values()
        }
        most = max(most, len(ends))
    return 32.0 + 2 * LINE * most


def _moved(card: Card, by: float) -> Card:
    placed = tuple(_lowered(one, by) for one in card.placed)
    callouts = tuple(
        replace(one, box=replace(one.box, y=one.box.y + by), beside=one.beside + by) for one in card.callouts
    )
    return replace(card, box=replace(card.box, y=by), placed=placed, callouts=callouts)


@dataclass(frozen=True, slots=True)
class _Strand:
    """A lane as it is drawn, from above: down to where a packet's way divides, what is ahead, and on from there.

    `above` and `below`: what is over and under the local process.
    """

    upper: tuple[Cell, ...]
    ahead: tuple[Cell, ...]
    above: tuple[Cell, ...]
    process: tuple[Cell, ...]
    below: tuple[Cell, ...]
    lower: tuple[Cell, ...]


def _strand(lane: Lane, side: Side) -> _Strand:
    before, after = lane.before, lane.after
    if not lane.process:
        cut = len(before) - (1 if before[-1].way == "out" else 0)
        before, after = before[:cut], before[cut:]
    if side == "down":
        return _Strand(before, lane.forward, lane.arriving, lane.process, lane.leaving, after)
    return _Strand(after[::-1], lane.forward[::-1], lane.leaving[::-1], lane.process, lane.arriving[::-1], before[::-1])


def _stacked(cells: Sequence[Cell], high: Mapping[Cell, float], start: float) -> tuple[list[float], float]:
    """Return the middles of cells one under the other, so that each one's callout has room, and where they end."""
    middles: list[float] = []
    free = end = start
    at = start
    for cell in cells:
        half = TALL[cell.kind] / 2
        middle = max(at + half, free + FIRST) if cell in high else at + half
        middles.append(middle)
        at = middle + half + GAP
        if cell in high:
            free = middle - FIRST + high[cell] + BETWEEN
        end = max(middle + half, free - BETWEEN)
    return middles, end


Spot = tuple[Cell, Side, float, float]
"""A cell, its side, and where its middle is."""


def _spots(
    strands: Mapping[Side, _Strand], high: Mapping[Cell, float], where: Columns, least: float
) -> tuple[list[Spot], float]:
    """Return where all cells of a card stand, from its upper edge, and its height."""
    spots: list[Spot] = []
    top, above, below, lower = least, 0.0, 0.0, 0.0
    ends: dict[Side, tuple[list[float], float]] = {}
    for side, strand in strands.items():
        middles, end = _stacked(strand.upper, high, -TALL["tap"] / 2 if _taps(strand.upper[:1]) else PAD)
        spots += [(cell, side, where.lanes[side], y) for cell, y in zip(strand.upper, middles, strict=True)]
        top = max(top, end + GAP)
        over, under = _stacked(strand.above, high, 0.0)[1], _stacked(strand.below, high, 0.0)[1]
        said = max([0.0, *(high.get(cell, 0.0) - FIRST for cell in strand.ahead)])
        above = max(above, over + LOCAL_GAP + TALL["process"] / 2 if strand.process else 0.0)
        below = max(below, under + LOCAL_GAP + TALL["process"] / 2 if strand.process else 0.0, said)
        ends[side] = _stacked(strand.lower, high, 0.0)
        lower = max(lower, ends[side][1])
        if not _taps(strand.lower[-1:]):  # a packet begins here, under the interface by which it leaves, if it does
            top = max(top, end + GAP + ends[side][1] + PAD if strand.lower else 0.0)
    centre = top + above
    for side, strand in strands.items():
        spots += _amid(strand, side, high, where, centre)
    bottom = max(top, centre + below + GAP + lower if any(strand.process for strand in strands.values()) else top)
    for side, strand in strands.items():
        middles, end = ends[side]
        shift = bottom - middles[-1] if _taps(strand.lower[-1:]) else bottom - PAD - end
        spots += [(cell, side, where.lanes[side], y + shift) for cell, y in zip(strand.lower, middles, strict=True)]
    return spots, bottom


def _taps(cells: Sequence[Cell]) -> bool:
    """Return whether the cell at a card's edge is an interface, which stands on the edge."""
    return any(cell.kind == "tap" for cell in cells)


def _amid(strand: _Strand, side: Side, high: Mapping[Cell, float], where: Columns, centre: float) -> list[Spot]:
    """Return where those cells stand among which a packet's way divides."""
    spots: list[Spot] = [(cell, side, where.lanes[side], centre) for cell in strand.ahead]
    if not strand.process:
        return spots
    shift = (where.centre.width - LOCAL) / 2 if len(where.lanes) > 1 else 0.0
    x = where.centre.middle[0] + (-shift if side == "down" else shift)
    half = TALL["process"] / 2 + LOCAL_GAP
    middles, end = _stacked(strand.above, high, 0.0)
    spots += [(cell, side, x, centre - half - end + y) for cell, y in zip(strand.above, middles, strict=True)]
    spots += [(cell, side, where.centre.middle[0], centre) for cell in strand.process]
    middles, _ = _stacked(strand.below, high, 0.0)
    spots += [(cell, side, x, centre + half + y) for cell, y in zip(strand.below, middles, strict=True)]
    return spots


def _under(journey: Journey, station: Station, *, again: bool) -> str:
    """Return what stands under a place's name: its address, of the request's family."""
    if again or not station.reached:
        return "the same again" if again else "not reached"
    family = family_of(journey.original.dst)
    own = [str(one) for one, name in journey.names.items() if name == station.name and family_of(one) == family]
    return own[0] if own else ""


def _card(journey: Journey, station: Station, where: Columns, index: int, least: float) -> Card:
    """Return a card at y = 0 with all that is in it; `least`: how high it is at least."""
    numbers = told.numbers(journey)
    strands = {side: _strand(lane, side) for side, lane in station.lanes.items()}
    told_of: dict[Cell, Callout] = {}
    for lane in station.lanes.values():
        told_of |= {cell: said for cell in lane.cells if (said := callout(told.lines(journey, cell), numbers, TOLD))}
    spots, height = _spots(strands, {cell: one.high for cell, one in told_of.items()}, where, least)
    placed = [
        Placed(cell=cell, side=side, box=_box(cell, x, y, where, side), key=f"c{index}-{at}")
        for at, (cell, side, x, y) in enumerate(spots)
    ]
    crowds = [needed([told_of[cell] for cell in lane.cells if cell in told_of]) for lane in station.lanes.values()]
    more = max([0.0, *(crowd + 2 * BETWEEN - height for crowd in crowds)])
    placed = [_lowered(one, more if one.box.middle[1] > height - PAD else 0.0) for one in placed]
    height += more
    callouts: list[Callout] = []
    for side in station.lanes:
        beside = [_beside(one, told_of[one.cell], where) for one in placed if one.side == side and one.cell in told_of]
        callouts += settled(beside, BETWEEN, height - BETWEEN)
    box = Box(where.card[0], 0, where.card[1] - where.card[0], height)
    return Card(station=station, box=box, placed=tuple(placed), callouts=tuple(callouts))


def _lowered(one: Placed, by: float) -> Placed:
    return replace(one, box=replace(one.box, y=one.box.y + by))


def _beside(one: Placed, said: Callout, where: Columns) -> Callout:
    return replace(said, box=replace(said.box, x=where.told[one.side]), beside=one.box.middle[1], key=one.key)


def _box(cell: Cell, x: float, y: float, where: Columns, side: Side) -> Box:
    """Return the box of a cell around its middle."""
    local = x != where.lanes[side]
    wide = where.centre.width if cell.kind == "process" else LOCAL if local else PILL
    return Box(x - wide / 2, y - TALL[cell.kind] / 2, wide, TALL[cell.kind])
