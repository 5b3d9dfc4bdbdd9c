"""A journey's picture, drawn: cards, cells, lines, callouts, and the packets between the places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from lab import words
from lab.model.flow import Tuple
from lab.model.journey import Journey
from lab.picture import svg
from lab.picture.journey import legend, told
from lab.picture.journey.callouts import FIRST, INDENT, LEADING, Callout, wrapped
from lab.picture.journey.layout import LINE, MARGIN, Card, Columns, Placed, cards
from lab.picture.journey.stations import Side, side_of
from lab.picture.journey.ways import Stretch, stretches, visited
from lab.picture.svg import Box, Element
from lab.picture.theme import ELLIPSIS, Colour
from lab.report.journey_sentence import sentence

TOP = 30.0
BADGE = 9.0
CHIP = 80.0
"""How wide a decision is."""


def drawing(journey: Journey, *, headed: bool = True) -> Element:
    """Return the whole picture; `headed`: with its title, and the story in one sentence."""
    where, places = cards(journey)
    head = list(_head(journey, where.width - 2 * MARGIN)) if headed else []
    high = TOP + 24 + 18 * (len(head) - 1) + 14 if headed else 12.0
    body = [
        *_again(places),
        *(one for card in places for one in _card(card, where)),
        *(_stretch(journey, one) for one in stretches(journey, places, where)),
        *(_dim(cell) for card in places for cell in _drawn(card) if not cell.cell.legs),
        *(_lit(journey, cell, card.station.name) for card in places for cell in _drawn(card) if cell.cell.legs),
        *(one for card in places for callout in card.callouts for one in _callout(journey, card, callout)),
        *_packets(journey, places, where),
        *_deaths(journey, places),
    ]
    bottom = high + places[-1].box.bottom if places else high
    again = any(card.again for card in places)
    below, more = legend.legend(journey, bottom + 34, where.width - 2 * MARGIN, again=again)
    return svg.picture(
        (where.width, bottom + 34 + more),
        [*head, svg.group(*body, transform=f"translate(0 {svg.number(high)})"), *below],
        title=f"{journey.asker} → {journey.goal}",
        description=sentence(journey),
    )


def _head(journey: Journey, room: float) -> Iterator[Element]:
    title = svg.fitted(words.line(f"{journey.asker} → {journey.goal}"), "title", room)
    yield svg.label(MARGIN, TOP + 6, title, "title")
    for at, text in enumerate(wrapped(words.line(sentence(journey)), "subtitle", room)):
        yield svg.label(MARGIN, TOP + 30 + 18 * at, text, "subtitle")


def _again(places: Sequence[Card]) -> Iterator[Element]:
    """Yield what ties a place to itself where the packet comes there again."""
    first: dict[str, Card] = {}
    for card in places:
        name = card.station.name
        if card.again:
            x, y, to_y = MARGIN - 12, first[name].box.middle[1], card.box.middle[1]
            yield svg.track([(MARGIN, y), (x, y), (x, to_y), (MARGIN, to_y)], "way-muted dotted")
        first.setdefault(name, card)


def _card(card: Card, where: Columns) -> Iterator[Element]:
    kind = "surface" if card.station.node else "raised"
    yield svg.panel(card.box, kind if card.station.reached else "plain dashed", radius=10)
    x = where.centre.middle[0]
    y = card.box.y + 24
    name = words.line(card.station.name)
    yield svg.group(
        svg.label(x, y, svg.fitted(name, "heading", where.centre.width), "heading", anchor="middle"), title=name
    )
    for at, text in enumerate(card.under):
        yield svg.label(x, y + 17 + 15 * at, text, "address", anchor="middle")


def _drawn(card: Card) -> list[Placed]:
    """Return the cells of a card, and the local process, which both lanes have, once."""
    local = [one for one in card.placed if one.cell.kind == "process"]
    once = next((one for one in local if one.cell.legs), None)
    return [one for one in card.placed if one not in local or one is (once or local[0])]


def _dim(one: Placed) -> Element:
    x, y = one.box.middle
    style = "small" if one.box.width < 100 or one.cell.kind == "decision" else "note"  # noqa: PLR2004 - a narrow one
    box = one.box if one.cell.kind != "decision" else Box(x - CHIP / 2, one.box.y, CHIP, one.box.height)
    return svg.group(
        svg.panel(box, "surface", radius=box.height / 2 if one.cell.kind == "decision" else 6),
        svg.label(x, y + 4, one.cell.name, style, anchor="middle"),
        class_="unmet",
    )


def _hue(journey: Journey, one: Placed) -> Colour:
    return told.ROLES[journey.legs[min(one.cell.legs)].role]


def _roles(journey: Journey, legs: Sequence[int]) -> str:
    return " ".join(sorted({f"of-{side_of(journey, journey.legs[leg])}" for leg in legs}))


def _keys(one: Placed) -> str:
    """Return the keys of all that is lit with a cell."""
    return " ".join([one.key, *(f"s{index}" for index in one.cell.steps)])


def _lit(journey: Journey, one: Placed, place: str) -> Element:
    x, y = one.box.middle
    hue = _hue(journey, one)
    narrow = one.cell.kind == "decision"
    box = Box(x - CHIP / 2, one.box.y, CHIP, one.box.height) if narrow else one.box
    style = {"tap": "code", "hook": "name", "decision": "note", "process": "note"}[one.cell.kind]
    refusals = one.cell.kind == "process" and all(journey.legs[leg].role == "refusal" for leg in one.cell.legs)
    name = svg.fitted("the kernel" if refusals else words.line(one.cell.name), style, box.width - 12)
    kind = f"tint-{hue}" if one.cell.kind != "tap" else f"rim-{hue} astride"
    parts = [
        svg.panel(
            box,
            kind if one.cell.observed else f"{kind} dashed",
            radius=6 if one.cell.kind in {"hook", "process"} else 12,
        ),
        svg.label(x, y + 4.5, name, style, anchor="middle", colour="ink"),
    ]
    numbers = [number for index in one.cell.steps if (number := told.numbers(journey).get(index))]
    if numbers:
        wide = max(2 * BADGE, svg.width(str(numbers[0]), "small") + 6)
        out = wide / 2 - 6  # as far from its middle as the cell's edge is
        edge = box.x - out if one.side == "down" else box.right + out
        parts += [
            svg.panel(Box(edge - wide / 2, y - BADGE, wide, 2 * BADGE), f"fill-{hue} astride", radius=BADGE),
            svg.element("text", str(numbers[0]), x=edge, y=y + 4, class_="small ink-ground", text_anchor="middle"),
        ]
    return svg.group(
        *parts,
        title=words.line(f"{place}: {name}") + (f", step {numbers[0]}" if numbers else ""),
        class_=f"cell {_roles(journey, sorted(one.cell.legs))}",
        data_key=one.key if one.cell.steps else None,
        data_of=_keys(one) if one.cell.steps else None,
    )


def _stretch(journey: Journey, one: Stretch) -> Element:
    leg = journey.legs[one.leg]
    hue = told.ROLES[leg.role]
    kind = f"way-{hue} thick of-{side_of(journey, leg)}"
    return svg.track(one.points, kind if one.observed else f"{kind} dashed", arrow=hue)


def _callout(journey: Journey, card: Card, one: Callout) -> Iterator[Element]:
    cell = next(placed for placed in card.placed if placed.key == one.key)
    said = {row.line.colour for row in one.rows if row.line.step is not None}
    roles = _roles(journey, sorted(cell.cell.legs))
    if any(row.line.step is not None for row in one.rows):
        hue = next((hue for hue in ("red", "violet", "amber") if hue in said), None)
        yield _lead(cell, one, roles)
        panel = [svg.panel(one.box, f"tint-{hue}" if hue else "raised", radius=6)]
    else:
        panel = []
    yield svg.group(*panel, *_rows(journey, one, cell.side), class_=f"callout {roles}")


def _lead(cell: Placed, one: Callout, roles: str) -> Element:
    """Return the line from a cell to what is told beside it."""
    left = cell.side == "down"
    inset = (cell.box.width - CHIP) / 2 if cell.cell.kind == "decision" else 0.0
    start = cell.box.x + inset - 14 if left else cell.box.right - inset + 14
    end = one.box.right if left else one.box.x
    y, to_y = cell.box.middle[1], min(max(cell.box.middle[1], one.box.y + 8), one.box.bottom - 8)
    bend = end + (6 if left else -6)
    points = [(start, y), (end, y)] if y == to_y else [(start, y), (bend, y), (bend, to_y), (end, to_y)]
    return svg.track(points, f"plain {roles}", radius=4)


def _rows(journey: Journey, one: Callout, side: Side) -> Iterator[Element]:
    plain = all(row.line.step is None for row in one.rows)
    for at, row in enumerate(one.rows):
        y = one.box.y + FIRST + LEADING * at + 4.5
        if plain:  # no box: the words stand next to the cell
            x, anchor = (one.box.right, "end") if side == "down" else (one.box.x, "start")
            yield svg.label(x, y, row.text, row.line.style, anchor=anchor, colour=row.line.colour)
            continue
        parts = [svg.label(one.box.x + INDENT, y, row.text, row.line.style, colour=row.line.colour)]
        if row.number:
            hue = told.ROLES[journey.legs[row.line.leg].role]
            number = svg.label(one.box.x + INDENT - 6, y, str(row.number), "small", anchor="end", colour=hue)
            parts.insert(0, number)
        step = row.line.step
        keyed = {} if step is None else {"data_key": f"s{step}", "data_of": f"s{step} {one.key}"}
        yield svg.group(*parts, **keyed)


def _packets(journey: Journey, places: Sequence[Card], where: Columns) -> Iterator[Element]:
    """Yield what each packet looked like between two places, once for those that look alike."""
    told_there: dict[tuple[int, Side], list[Tuple]] = {}
    for leg, shown in enumerate(journey.legs):
        side = side_of(journey, shown)
        before: Tuple | None = None
        for (first, _), (second, end) in pairwise(visited(places, leg, side)):
            if first == second:
                continue
            packet = next(journey.steps[at].before for at in end.cell.steps if told.legs_of(journey)[at] == leg)
            lower = second if side == "down" else second + 1
            there = told_there.setdefault((lower, side), [])
            if packet not in there:
                y = places[lower].box.y - 20 - LINE - 2 * LINE * len(there)
                there.append(packet)
                yield svg.group(*_ends(journey, packet, before, side, y, where), class_=f"of-{side}")
            before = packet


def _ends(
    journey: Journey, packet: Tuple, before: Tuple | None, side: Side, y: float, where: Columns
) -> Iterator[Element]:
    """Yield a packet's source and destination; what was not so `before` stands out."""
    x = where.lanes[side] + (-14 if side == "down" else 14)
    room = x - where.card[0] if side == "down" else where.card[1] - x
    old = before or packet
    ends = (
        ("", (packet.src, packet.sport), (old.src, old.sport)),
        ("→ ", (packet.dst, packet.dport), (old.dst, old.dport)),
    )
    for at, (arrow, end, same) in enumerate(ends):
        name = journey.names.get(end[0], "")
        ways = [words.place(*end, journey.names), words.socket(*end), *([f"{name}:{end[1]}"] if name else [])]
        text = next((one for one in ways if svg.width(arrow + one, "code") <= room), ways[1])
        yield svg.label(
            x,
            y + LINE * at,
            _tail(arrow, words.line(text), room),
            "address" if end == same else "count",
            anchor="end" if side == "down" else "start",
            colour=None if end == same else "violet",
        )


def _tail(arrow: str, text: str, room: float) -> str:
    """Return a socket, or as much of its end, which tells it from its neighbours, as there is room for."""
    cut = ""
    while text and svg.width(arrow + cut + text, "code") > room:
        cut, text = ELLIPSIS, text[1:]
    return arrow + cut + text


def _deaths(journey: Journey, places: Sequence[Card]) -> Iterator[Element]:
    """Yield a red cross where a packet's way ended before it arrived."""
    for leg, shown in enumerate(journey.legs):
        side = side_of(journey, shown)
        met = visited(places, leg, side)
        if shown.end.kind == "delivered" or not met:
            continue
        last = met[-1][1].box
        x, y = last.middle[0], last.bottom + 4 if side == "down" else last.y - 4
        yield svg.group(
            svg.element("circle", cx=x, cy=y, r=8.0, class_="fill-red"),
            svg.element(
                "path",
                d=f"M{svg.number(x - 3)},{svg.number(y - 3)} l6,6 m0,-6 l-6,6",
                class_="cross",
            ),
            class_=f"of-{side}",
            title=shown.end.why,
        )
