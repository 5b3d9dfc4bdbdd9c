"""A Service's chains as mermaid text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab import words
from lab.picture.chains.letters import said, title
from lab.picture.chains.scene import Card, Forest, Row
from lab.picture.mermaid import arrow, box, flowchart, inside


def mermaid(forests: Sequence[Forest]) -> str:
    """Return the chains as a flowchart of mermaid's, each node and family in a box of its own."""
    return flowchart(line for at, one in enumerate(forests) for line in _forest(one, f"tree-{at}"))


def _forest(one: Forest, prefix: str) -> Iterator[str]:
    keys = {card.key: f"{prefix}-{at}" for at, card in enumerate(one.cards)}
    yield from inside(prefix, [title(one)], _lines(one, keys))
    if one.marks:
        marks = [_card(card, f"{prefix}-mark-{at}", ()) for at, card in enumerate(one.marks)]
        yield from inside(f"{prefix}-marks", ["marks, of all Services"], marks)


def _lines(one: Forest, keys: dict[str, str]) -> Iterator[str]:
    for card in one.cards:
        yield _card(card, keys[card.key], [row for row in card.rows if row.leads])
    for card in one.cards:
        for row in card.rows:
            for key in row.leads:
                style = "==>" if row.packets else "-->"
                yield arrow(
                    keys[card.key], keys[key], f"{row.asks}{_count(row, ' · ' if row.asks else '')}", style=style
                )


def _card(card: Card, key: str, on_arrows: Sequence[Row]) -> str:
    """Return a chain's box with the rows that are not on its arrows."""
    name = f"{card.table} {card.name}" if card.hook else card.name
    rows = [said(row) + _count(row, " · ") for row in card.rows if row not in on_arrows]
    return box(key, name, *rows, kind="service" if card.own else "")


def _count(row: Row, before: str) -> str:
    return "" if row.packets is None else f"{before}{words.count(row.packets, 'packet')}"
