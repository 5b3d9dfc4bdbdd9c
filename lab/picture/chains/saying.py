"""A rule in a few words: what it asks of a packet, and what it does with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lab import words
from lab.model.address import IPAddress
from lab.model.netfilter import (
    Chance,
    Decide,
    Dnat,
    Lookup,
    Mark,
    Masked,
    Masquerade,
    Match,
    Range,
    Reject,
    Remember,
    Remembered,
    Rule,
    Statement,
    Unknown,
)
from lab.picture.chains.scene import Deed

if TYPE_CHECKING:
    from lab.words import Names

_ALL = 0xFFFF_FFFF
_MOST = 2
"""So many addresses of a rule are told."""


def asks(rule: Rule) -> str:
    """Return what a rule asks: `10.96.0.10:80/tcp`, `not from 10.244.0.0/16`, `chance 1/2`; "" for nothing."""
    found = list(_matched([one for one in rule.statements if isinstance(one, Match)]))
    for one in rule.statements:
        if isinstance(one, Lookup):
            found.append(_lookup(one))
        elif isinstance(one, Chance):
            found.append(f"chance {words.share(one.share)}")
        elif isinstance(one, Remembered):
            found.append(f"{'not ' if one.negated else ''}asked before")
        elif isinstance(one, Unknown) and one.match:
            found.append(one.text)
    return ", ".join(dict.fromkeys(found))


def _matched(matches: Sequence[Match]) -> Iterator[str]:
    """Yield what is asked of a packet's headers; address, port and protocol of the destination are one word."""
    plain = {one.field: one for one in matches if not one.negated}
    place = [plain[name] for name in ("destination", "destination port") if name in plain]
    for one in matches:
        if one.field == "source":
            yield f"{'not ' if one.negated else ''}from {_spans(one)}"
    if "destination port" in plain and all(len(one.among) == 1 for one in place):
        protocol = f"/{_spans(plain['protocol'])}" if "protocol" in plain else ""
        port = _spans(plain["destination port"])
        yield f"{_host(plain['destination'])}:{port}{protocol}" if "destination" in plain else f"port {port}{protocol}"
        matches = [one for one in matches if one not in place and one.field != "protocol"]
    for one in matches:
        if one.field == "mark":
            yield _marked(one)
        elif one.field == "destination type" and not one.negated:
            yield "to the node itself" if one.among == ("local",) else one.text
        elif one.field == "destination":
            yield f"{'not ' if one.negated else ''}to {_spans(one)}"
        elif one.field not in {"source", "family", "protocol"}:
            yield one.text


def _host(match: Match) -> str:
    text = _spans(match)
    return f"[{text}]" if ":" in text else text


def _spans(match: Match) -> str:
    """Return the values that a rule asks for; those of a network with one address without its length."""
    few, rest = match.among[:_MOST], match.among[_MOST:]
    return f"{', '.join(_span(one) for one in few)}{f' or {len(rest)} others' if rest else ''}"


def _span(one: object) -> str:
    text = str(one)
    return text.removesuffix("/32").removesuffix("/128") if "/" in text and not isinstance(one, Range) else text


def _marked(match: Match) -> str:
    """Return `marked 0x4000`; iptables asks for the bit, nft for its absence."""
    (one, *others) = match.among
    if others or not isinstance(one, Masked):
        return match.text
    negated = match.negated != (one.value == 0)
    return f"{'not ' if negated else ''}marked {one.value or one.mask:#x}"


def _lookup(one: Lookup) -> str:
    name = one.container if isinstance(one.container, str) else ""
    if name.startswith("affinity-"):
        return f"{'not ' if one.negated else ''}asked before"
    if not name:
        return one.text
    return f"vmap @{name}" if one.verdict else f"{'not ' if one.negated else ''}in @{name}"


def does(statement: Statement, names: Names) -> tuple[str, Deed] | None:  # noqa: PLR0911 - a table
    """Return what a statement does, and of which kind that is; None for one that asks, leads on, or says something."""
    match statement:
        case Mark():
            return _mark(statement), "mark"
        case Dnat():
            return f"DNAT to {place(*next(iter(statement.choices.values())), names)}", "rewrite"
        case Masquerade():
            return f"SNAT to {statement.source}" if statement.source else "masquerade", "rewrite"
        case Reject():
            return f"reject: {statement.answer}", "end"
        case Decide() if not statement.verdict.target:
            return statement.verdict.kind, "end" if statement.verdict.kind == "drop" else "other"
        case Remember():
            return "remember", "other"
        case Unknown() if not statement.match:
            return statement.text, "other"
        case _:
            return None


def _mark(one: Mark) -> str:
    """Return `mark 0x4000`: bits that are kept and flipped are turned round, others are set."""
    bits = one.flip & ~one.keep & _ALL
    if one.of == "mark" and not one.mix and bits:
        return f"mark {bits:#x}"
    if one.of == "mark" and not one.mix and one.keep == _ALL and one.flip:
        return f"flip mark {one.flip:#x}"
    return one.text


def place(address: IPAddress, port: int, names: Names) -> str:
    """Return an endpoint: `10.244.1.2:8080 web-1`."""
    return f"{words.socket(address, port)} {names.get(address, '')}".rstrip()
