"""A Service's chains as SVG and as a page: from the kernel's hooks at the left to the endpoints at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab import words
from lab.model.address import FAMILY_NAMES
from lab.picture import html
from lab.picture.chains.letters import said
from lab.picture.chains.scene import Card, Deed, Forest, Row
from lab.picture.layers import Join, Size, layout
from lab.picture.svg import (
    Box,
    Element,
    Point,
    clipped,
    curves,
    element,
    fitted,
    group,
    label,
    panel,
    picture,
    render,
    track,
    width,
)
from lab.picture.theme import Colour

MARGIN = 28.0
_TOP = 78.0
_HEAD = 32.0  # of a card, to the middle of its first row
_ROW = 21.0
_PAD = 12.0
_INDENT = 12.0
_ACROSS, _DOWN = 54.0, 16.0
_NARROW, _WIDE = 150.0, 560.0
_LEAST = 60.0  # of what a row asks
_BETWEEN = 44.0  # two forests, or a forest and its marks

_COLOURS: dict[Deed, Colour | None] = {"mark": "amber", "end": "red", "rewrite": "violet", "lead": None, "other": None}


@dataclass(frozen=True, slots=True)
class _Placed:
    """What is drawn, and how far to the right and down it reaches."""

    elements: list[Element]
    right: float
    bottom: float


def svg(forests: Sequence[Forest]) -> str:
    """Return the picture as an SVG file's text; there must be a forest."""
    return render(_picture(forests)) + "\n"


def page(forests: Sequence[Forest]) -> str:
    """Return the picture as a page, in which a chain is lit with all that leads to it, and all that it leads to."""
    hint = (
        "Point at a chain to see what leads to it and where it leads; at a row for its whole rule. "
        "A click keeps it so, Escape lets go."
    )
    return html.page(_title(forests[0]), _picture(forests), element("p", hint, class_="hint"))


def _title(one: Forest) -> str:
    return f"{one.service}: chains on {one.node}"


def _picture(forests: Sequence[Forest]) -> Element:
    title, counted = _title(forests[0]), _counted(forests[0])
    elements = [label(MARGIN, 46, title, "title")]
    right, y = MARGIN + width(title, "title"), _TOP
    for at, one in enumerate(forests):
        head = f"{FAMILY_NAMES[one.family]} · {one.tool} · {counted}"
        elements.append(label(MARGIN, y - 9, head, "subtitle"))
        placed = _forest(one, f"tree-{at}", y + 16)
        elements += placed.elements
        right = max(right, placed.right, MARGIN + width(head, "subtitle"))
        y = placed.bottom + _BETWEEN + 16
    return picture(
        (right + MARGIN, y - _BETWEEN - 16 + MARGIN), elements, title=title, description=_description(forests)
    )


def _counted(one: Forest) -> str:
    if not one.counts:
        return "no counters"
    return "packets of the flows that conntrack holds" if one.tool == "nft" else "packets that the rules counted"


def _description(forests: Sequence[Forest]) -> str:
    """Return the picture in sentences."""
    return " ".join(
        f"{FAMILY_NAMES[one.family]}: "
        + "; ".join(f"{card.name} has {words.count(len(card.rows), 'row')}" for card in (*one.cards, *one.marks))
        + "."
        for one in forests
    )


def _forest(one: Forest, prefix: str, y: float) -> _Placed:
    keys = {card.key: f"{prefix}-{at}" for at, card in enumerate(one.cards)}
    joins = [
        (Join(card.key, _HEAD + _ROW * (at + 0.5), key), row)
        for card in one.cards
        for at, row in enumerate(card.rows)
        for key in row.leads
    ]
    sizes = {card.key: Size(_card_width(card), _card_height(card), _HEAD / 2) for card in one.cards}
    places = layout(sizes, [join for join, _ in joins], across=_ACROSS, down=_DOWN)
    after = _reached([join for join, _ in joins])
    before = _reached([Join(join.end, 0, join.start) for join, _ in joins])

    def related(*some: set[str]) -> str:
        return " ".join(sorted(keys[key] for key in set().union(*some)))

    elements = [
        _line(row, [(MARGIN + x, y + down) for x, down in way], related(before[join.start], after[join.end]))
        for (join, row), way in zip(joins, places.ways, strict=True)
    ]
    for card in one.cards:
        x, top = places.corners[card.key]
        box = Box(MARGIN + x, y + top, places.widths[card.key], sizes[card.key].height)
        whole = related({card.key}, before.get(card.key, set()), after.get(card.key, set()))
        elements.append(_card(card, box, data_key=keys[card.key], data_of=whole))
    if not one.marks:
        return _Placed(elements, MARGIN + places.width, y + places.height)
    marks = _marks(one.marks, y + places.height + _BETWEEN)
    return _Placed([*elements, *marks.elements], max(MARGIN + places.width, marks.right), marks.bottom)


def _reached(joins: Sequence[Join]) -> dict[str, set[str]]:
    """Return all cards that a card leads to, itself too."""
    found = {key: {key} for join in joins for key in (join.start, join.end)}
    for _ in found:
        for join in joins:
            found[join.start] |= found[join.end]
    return found


def _line(row: Row, points: Sequence[Point], related: str) -> Element:
    colour: Colour = "blue" if row.packets is None else "green" if row.packets else "muted"
    kind = f"way-{colour}{' thick' if row.packets else ''}"
    (x, y) = points[-1]
    return group(curves([*points[:-1], (x - 2, y)], kind, arrow=colour), title=row.text, data_of=related)


def _card_width(card: Card) -> float:
    rows = [width(said(row), "note") + (_INDENT if row.inner else 0) + _count_width(row) for row in card.rows]
    head = width(card.name, "name") + (14 + width(card.table, "small") if card.hook else 0)
    return min(max([_NARROW, head + 2 * _PAD, *(one + 2 * _PAD for one in rows)]), _WIDE)


def _count_width(row: Row) -> float:
    return 0.0 if row.packets is None else 16 + width(_count(row), "count")


def _count(row: Row) -> str:
    return f"{row.packets:,}".replace(",", "\u202f") if row.packets is not None else ""


def _card_height(card: Card) -> float:
    return _HEAD + _ROW * len(card.rows) + 6


def _card(card: Card, box: Box, **data: str) -> Element:
    """Return a chain's card; its rows show their whole rule beside the pointer."""
    table = fitted(card.table, "small", box.width / 2) if card.hook else ""
    room = box.width - 2 * _PAD - (14 + width(table, "small") if table else 0)
    inner = [
        panel(box, "tint-blue" if card.own else "surface"),
        group(label(box.x + _PAD, box.y + 21, fitted(card.name, "name", room), "name"), title=card.name),
    ]
    if table:
        inner.append(label(box.right - _PAD, box.y + 21, table, "small", anchor="end"))
    for at, row in enumerate(card.rows):
        inner.append(_row(row, box, box.y + _HEAD + _ROW * at + 14))
    return group(*inner, tabindex=0, **data)


def _row(row: Row, box: Box, y: float) -> Element:
    x = box.x + _PAD + (_INDENT if row.inner else 0)
    text = _shortened(row, box.right - _PAD - x - _count_width(row))
    parts = [label(x, y, text, "note", colour=_COLOURS[row.deed] or "ink")]
    if row.packets is not None:
        colour: Colour = "green" if row.packets else "muted"
        parts.append(label(box.right - _PAD, y, _count(row), "count", anchor="end", colour=colour))
    counted = "" if row.packets is None else f"\n{words.count(row.packets, 'packet')}, {row.octets} bytes"
    return group(*parts, title=f"{row.text}{counted}")


def _shortened(row: Row, room: float) -> str:
    """Return what a row says in `room` pixels; of what it asks less is told, if need be, than of what it does."""
    left = room - width(f": {row.does}", "note")
    if row.asks and row.does and left >= _LEAST:
        return f"{clipped(row.asks, 'note', left)}: {row.does}"
    return clipped(said(row), "note", room)


def _marks(cards: Sequence[Card], y: float) -> _Placed:
    """Return the chains of the mark side by side, with an arrow from who sets it to who heeds it."""
    elements = [label(MARGIN, y, "the mark for masquerading, of all Services", "subtitle")]
    x, top = MARGIN, y + 14
    before: Box | None = None
    for card in cards:
        box = Box(x, top, _card_width(card), _card_height(card))
        if before:
            middle = top + _HEAD / 2
            ends = [(before.right, middle), (box.x - 2, middle)]
            elements.append(track(ends, "way-amber dashed", arrow="amber"))
        elements.append(_card(card, box))
        before, x = box, box.right + _ACROSS
    bottom = top + max(map(_card_height, cards))
    return _Placed(
        elements, max(x - _ACROSS, MARGIN + width("the mark for masquerading, of all Services", "subtitle")), bottom
    )
