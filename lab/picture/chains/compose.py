"""From the listed rules of a Service to the cards of its chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from lab import words
from lab.model.installed import Installed, Line
from lab.model.netfilter import Chance, Dnat, Draw, Rule
from lab.picture.chains import saying
from lab.picture.chains.scene import Card, Deed, Forest, Row
from lab.proxy.nftables_service import REJECT

if TYPE_CHECKING:
    from lab.words import Names

_MOST = 8
"""So many rows that lead to endpoints are drawn of a chain, and the others counted."""


def forests(service: str, own: Sequence[Installed], shared: Sequence[Installed], names: Names) -> tuple[Forest, ...]:
    """Return the chains of a Service, node by node and family by family, where there are any.

    `own` and `shared` are as `lab.standing.installed.rules` returns them, of the Service and of none.
    `names`: who has which address.
    """
    common = {(one.node, one.family): one.lines for one in shared}
    return tuple(_forest(service, one, common.get((one.node, one.family), ()), names) for one in own if one.lines)


def _forest(service: str, one: Installed, shared: Sequence[Line], names: Names) -> Forest:
    cards, common = _cards(one.lines, names), _cards(shared, names)
    marks = [card for card in cards if _only_marks(card)]
    marking = {card.key: card.rows[-1].does for card in marks}
    kept = _reached([_folded(_told(card, marking)) for card in cards if card.key not in marking])
    others = {card.key for card in common}
    return Forest(
        service=service,
        node=one.node,
        family=one.family,
        tool=one.tool,
        cards=tuple(replace(card, own=card.key not in others) for card in kept),
        marks=tuple(found for card in (*marks, *common) if (found := _about_marks(card))),
    )


def _cards(lines: Sequence[Line], names: Names) -> list[Card]:
    """Return a card for each chain, in the order in which they are listed."""
    heads = [line for line in lines if line.kind == "chain"]
    found = []
    for head in heads:
        mine = [line for line in lines if (line.table, line.chain) == (head.table, head.chain) and line is not head]
        rows = tuple(_shared_out(list(_rows(mine, names))))
        hook = head.depth == 0
        found.append(Card(key=_key(head.table, head.chain), table=head.table, name=head.chain, rows=rows, hook=hook))
    return found


def _key(table: str, chain: str) -> str:
    return f"{table} {chain}"


def _rows(lines: Sequence[Line], names: Names) -> Iterator[Row]:
    """Yield the rows of a chain's rules, and under each those of its elements, its choices, its endpoints."""
    counted = {line.text: line for line in lines if line.kind == "endpoint"}
    for line in lines:
        if line.kind == "element":
            yield _element(line)
        elif line.rule:
            yield _rule(line, line.rule, names)
            for statement in line.rule.statements:
                if isinstance(statement, Draw):
                    yield from _choices(line.table, statement)
                elif _many(statement) and isinstance(statement, Dnat):
                    yield from _endpoints(statement, counted, names)


def _rule(line: Line, rule: Rule, names: Names) -> Row:
    done = [found for one in rule.statements if not _many(one) and (found := saying.does(one, names))]
    drawn = any(isinstance(one, Draw) for one in rule.statements)
    leads = () if drawn else tuple(_key(line.table, name) for name in line.leads)
    deed: Deed = next((kind for _, kind in reversed(done) if kind != "other"), "lead" if leads else "other")
    chosen = [one.text for one in rule.statements if isinstance(one, Draw) or (isinstance(one, Dnat) and _many(one))]
    asked = [part for part in (saying.asks(rule), *(text.partition("map")[0] + "map" for text in chosen)) if part]
    return Row(
        asks=", ".join(asked) or ("" if done or leads else rule.comment or rule.text),
        does=", ".join(said for said, _ in done),
        deed=deed,
        text=line.text,
        packets=line.packets,
        octets=line.octets,
        share=next((one.share for one in rule.statements if isinstance(one, Chance)), None),
        leads=leads,
    )


def _many(statement: object) -> bool:
    """Return whether a statement chooses among several endpoints, each of which has a row."""
    return isinstance(statement, Dnat) and len(set(statement.choices.values())) > 1


def _element(line: Line) -> Row:
    """Return the row of an element of a map: `10.96.0.10 . tcp . 80 : goto service-...`."""
    key, _, verdict = line.text.partition(" : ")
    return Row(
        asks=key,
        does="" if line.leads else verdict,
        deed="lead" if line.leads else "end",
        text=line.text,
        packets=line.packets,
        octets=line.octets,
        leads=tuple(_key(line.table, name) for name in line.leads),
        inner=True,
    )


def _choices(table: str, draw: Draw) -> Iterator[Row]:
    """Yield a row for each chain that a draw leads to, with its share."""
    for verdict in dict.fromkeys(draw.choices.values()):
        drawn = [number for number, one in draw.choices.items() if one == verdict]
        share = Fraction(len(drawn), draw.modulus)
        text = f"{', '.join(map(str, drawn))} : {verdict.kind} {verdict.target}"
        yield Row(
            asks="", does="", deed="lead", text=text, share=share, leads=(_key(table, verdict.target),), inner=True
        )


def _endpoints(dnat: Dnat, counted: Mapping[str, Line], names: Names) -> Iterator[Row]:
    """Yield a row for each endpoint among which a rule chooses, with its share and its count."""
    for address, port in dict.fromkeys(dnat.choices.values()):
        share = Fraction(list(dnat.choices.values()).count((address, port)), dnat.modulus)
        line = counted.get(f"{address} . {port}")
        yield Row(
            asks="",
            does=f"DNAT to {saying.place(address, port, names)}",
            deed="rewrite",
            text=f"{address} . {port}",
            packets=line.packets if line else None,
            octets=line.octets if line else None,
            share=share,
            inner=True,
        )


def _shared_out(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield rows that say which part of all requests each takes: a rule's chance is one of those that come so far."""
    left = Fraction(1)
    for row in rows:
        if row.inner:
            yield replace(row, asks=row.asks or (f"chance {words.share(row.share)}" if row.share is not None else ""))
        elif row.share is not None:
            taken, left = left * row.share, left * (1 - row.share)
            said = "" if taken == row.share else f" of the rest: {words.share(taken)}"
            yield replace(row, asks=row.asks + said, share=taken)
        elif left < 1 and not row.asks:
            yield replace(row, asks=f"the rest: {words.share(left)}", share=left)
        else:
            yield row


def _only_marks(card: Card) -> bool:
    return not card.hook and bool(card.rows) and all(row.deed == "mark" and not row.leads for row in card.rows)


def _told(card: Card, marking: Mapping[str, str]) -> Card:
    """Return a card of which a row that leads to a chain that only marks says how it marks."""
    return replace(card, rows=tuple(_marked(row, marking) for row in card.rows))


def _marked(row: Row, marking: Mapping[str, str]) -> Row:
    said = next((marking[key] for key in row.leads if key in marking), "")
    return replace(row, does=said, deed="mark", leads=()) if said else row


def _folded(card: Card) -> Card:
    """Return a card with so many endpoints that it can be read; the others' packets are added up."""
    ends = [row for row in card.rows if row.share is not None]
    if len(ends) <= _MOST + 1:
        return card
    rest = ends[_MOST:]
    packets = [row.packets for row in rest if row.packets is not None]
    octets = [row.octets for row in rest if row.octets is not None]
    share = sum((row.share or Fraction(0) for row in rest), Fraction(0))
    more = Row(
        asks=f"and {len(rest)} more endpoints: {words.share(share)}",
        does="",
        deed="other",
        text=f"{len(rest)} endpoints",
        packets=sum(packets) if packets else None,
        octets=sum(octets) if octets else None,
        inner=rest[0].inner,
    )
    kept = [row for row in card.rows if not any(row is one for one in rest)]
    at = kept.index(ends[_MOST - 1]) + 1
    return replace(card, rows=(*kept[:at], more, *kept[at:]))


def _reached(cards: Sequence[Card]) -> list[Card]:
    """Return the cards that a row leads to, or the kernel itself."""
    keys = {card.key for card in cards}
    led = {key for card in cards for row in card.rows for key in row.leads}
    kept = [card for card in cards if card.hook or card.key in led]
    return [replace(card, rows=tuple(_closed(row, keys) for row in card.rows)) for card in kept]


def _closed(row: Row, keys: set[str]) -> Row:
    """Return a row that names the chains that it leads to, and that are not drawn, such as nft's `reject-chain`."""
    away = [key.partition(" ")[2] for key in row.leads if key not in keys]
    if not away:
        return row
    said = ", ".join(part for part in (row.does, f"to {', '.join(away)}") if part)
    deed: Deed = "end" if away == [REJECT] else row.deed
    return replace(row, does=said, deed=deed, leads=tuple(key for key in row.leads if key in keys))


def _about_marks(card: Card) -> Card | None:
    """Return a card with no other rows than those that set or heed a mark, or masquerade; None if it has none."""
    rows = tuple(replace(row, leads=()) for row in card.rows if row.deed in {"mark", "rewrite"} or "marked" in row.asks)
    done = any(row.deed in {"mark", "rewrite"} for row in rows)
    return replace(card, rows=rows) if done else None
