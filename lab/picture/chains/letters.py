"""A Service's chains in letters, for a terminal: each under the row that first leads to it, behind its count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab import words
from lab.model.address import FAMILY_NAMES
from lab.picture import tree
from lab.picture.chains.scene import Card, Deed, Forest, Row
from lab.picture.tree import Branch
from lab.report.table import PLAIN, Colour, Look, paint

_COLOURS: dict[Deed, Colour | None] = {"mark": "yellow", "end": "red", "rewrite": "green", "lead": None, "other": None}


def text(forests: Sequence[Forest], look: Look = PLAIN) -> str:
    """Return the chains in letters, as wide as the look."""
    return "\n\n".join(_forest(one, look) for one in forests)


def title(one: Forest) -> str:
    """Return what a picture is of: `svc/web on node-1, IPv4, iptables-nft`."""
    return f"{one.service} on {one.node}, {FAMILY_NAMES[one.family]}, {one.tool}"


def _forest(one: Forest, look: Look) -> str:
    cards = {card.key: card for card in one.cards}
    shown: set[str] = set()
    roots = [_card(card, cards, shown) for card in one.cards if card.hook]
    marks = [Branch((_name(card),), _rows(card, {}, shown), "bold") for card in one.marks]
    head = "PACKETS" if one.counts else ""
    parts = [tree.text(roots, look, heading=head)]
    if marks:
        parts += [
            paint("marks, of all Services", "bold", look),
            tree.text(marks, look, heading=head and " " * len(head)),
        ]
    return "\n".join([paint(words.line(title(one)), "bold", look), *parts])


def _name(card: Card) -> str:
    return f"{card.table} {card.name}" if card.hook else card.name


def _card(card: Card, cards: dict[str, Card], shown: set[str]) -> Branch:
    if card.key in shown:
        return Branch((f"{_name(card)} (above)",))
    shown.add(card.key)
    return Branch((_name(card),), _rows(card, cards, shown), "bold")


def _rows(card: Card, cards: dict[str, Card], shown: set[str]) -> tuple[Branch, ...]:
    """Return a chain's rows, those that are parts of a rule under it."""
    found: list[Branch] = []
    for row in card.rows:
        below = tuple(_card(cards[key], cards, shown) for key in row.leads if key in cards)
        count = "" if row.packets is None else str(row.packets)
        if below and not (row.asks or row.does):  # what leads on without a word stands as the chain itself
            found += [replace(one, before=count) for one in below]
            continue
        branch = Branch((said(row),), below, _COLOURS[row.deed], count)
        if row.inner and found:
            above = found.pop()
            branch = replace(above, below=(*above.below, branch))
        found.append(branch)
    return tuple(found)


def said(row: Row) -> str:
    """Return what a row asks and does."""
    return ": ".join(part for part in (row.asks, row.does) if part) or ("whatever comes" if row.leads else row.text)
