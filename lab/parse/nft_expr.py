"""One rule's expressions as `nft -j` prints them (libnftables-json(5)), to statements.

What kube-proxy's nftables mode writes is known, and what is common around it; any other expression becomes `Unknown`
with its own text: a question if it is certain to be one, else something that may do anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lab.model.netfilter import (
    Decide,
    Draw,
    Field,
    Lookup,
    Masked,
    Match,
    Range,
    Span,
    Statement,
    Unknown,
)
from lab.parse.nft_deed import DEEDS, word
from lab.parse.nft_value import VERDICTS, NotKnownError, container, flag_bits, random, value_of, verdict, whole
from lab.parse.nft_words import words

_META: dict[str, Field] = {
    "l4proto": "protocol",
    "mark": "mark",
    **dict.fromkeys(("iifname", "iif"), "in-interface"),
    **dict.fromkeys(("oifname", "oif"), "out-interface"),
    **dict.fromkeys(("nfproto", "protocol"), "family"),
}
_PAYLOAD: dict[tuple[str, str], Field] = {
    **{(layer, "saddr"): "source" for layer in ("ip", "ip6")},
    **{(layer, "daddr"): "destination" for layer in ("ip", "ip6")},
    **{(layer, "sport"): "source port" for layer in ("th", "tcp", "udp", "sctp")},
    **{(layer, "dport"): "destination port" for layer in ("th", "tcp", "udp", "sctp")},
    ("ip", "protocol"): "protocol",
    ("tcp", "flags"): "tcp flags",
}
_CT: dict[str, Field] = {"state": "ct state", "status": "ct status", "mark": "ct mark"}
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp", "ipv6-icmp": "icmpv6"}
_WHOLE = {"ip": "ipv4", "ip6": "ipv6"}  # a payload's layer -> the family that a packet must have
_TRANSPORTS = {"tcp", "udp", "sctp", "icmp", "icmpv6", "igmp", "dccp", "udplite", "esp", "ah", "comp"}
_ETHERTYPES = {"ip": "ipv4", "ip6": "ipv6"}


def statements(expressions: list[Any]) -> Iterator[Statement]:
    """Yield what a rule's `expr` means; an expression that is not known becomes `Unknown`."""
    for expression in expressions:
        try:
            yield from tuple(_statement(expression))
        except _WRONG:
            yield from _not_known(expression)


_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)


def _not_known(expression: Any) -> Iterator[Statement]:
    """Yield `Unknown`, behind those tests that it implies whatever else it asks: `icmp type` wants ICMP."""
    text = words(expression)
    match expression:
        case {"match": {"left": {"payload": {"protocol": str(layer)}}}} if layer in {*_WHOLE, *_TRANSPORTS}:
            yield _implied(layer)
        case {"vmap": {"key": {"payload": {"protocol": str(layer)}}}} if layer in {*_WHOLE, *_TRANSPORTS}:
            yield _implied(layer)
    asks = False
    match expression:
        case {"match": _} | {"limit": _} | {"quota": _} | {"ct count": _} | {"xt": {"type": "match"}}:
            asks = True
        case {"set": {"stmt": _}}:  # as in `add @s { ip saddr limit rate 3/minute }`
            asks = True
    fixed = isinstance(expression, dict) and "match" in expression and "numgen" not in text
    yield Unknown(text, match=asks, fixed=fixed, word="" if asks else word(expression))


def _implied(layer: str) -> Match:
    if layer in _WHOLE:
        return Match(f"meta nfproto {_WHOLE[layer]}", "family", (_WHOLE[layer],))
    return Match(f"meta l4proto {layer}", "protocol", (layer,))


def _statement(expression: Mapping[str, Any]) -> Iterator[Statement]:
    ((name, body),) = expression.items()
    text = words(expression)
    if name in VERDICTS:
        yield Decide(text, verdict(expression))
        return
    yield from _KINDS[name](text, body) if name in _KINDS else _refuse(name)


def _refuse(name: str) -> Iterator[Statement]:
    raise NotKnownError(name)


def _field(left: Any) -> tuple[Field, tuple[Statement, ...]]:
    """Return what a left side asks for, and the tests that it implies: `tcp dport` wants TCP, `ip saddr` IPv4."""
    ((name, body),) = left.items()
    if name == "meta":
        return _META[body["key"]], ()
    if name == "payload":
        layer = body["protocol"]
        return _PAYLOAD[layer, body["field"]], () if layer == "th" else (_implied(layer),)
    if name == "ct" and set(body) == {"key"}:
        return _CT[body["key"]], ()
    if name == "fib" and body["result"] == "type" and body["flags"] in (["saddr"], ["daddr"], "saddr", "daddr"):
        return ("source type" if "saddr" in body["flags"] else "destination type"), ()
    raise NotKnownError(name)


def _fields(left: Any) -> tuple[tuple[Field, ...], tuple[Statement, ...]]:
    found = [_field(one) for one in left["concat"]] if "concat" in left else [_field(left)]
    implied = dict.fromkeys(test for _, tests in found for test in tests)
    return tuple(field for field, _ in found), tuple(implied)


def _match(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    left, right, operator = body["left"], body["right"], body["op"]
    if operator not in ("==", "!=", "in"):
        raise NotKnownError(operator)
    negated = operator == "!="
    if "&" in left:
        kept, mask = left["&"]
        field, implied = _field(kept)
        if field not in ("mark", "ct mark", "tcp flags"):
            raise NotKnownError(text)
        yield from implied
        yield Match(text, field, (Masked(flag_bits(right), flag_bits(mask)),), negated)
        return
    fields, implied = _fields(left)
    yield from implied
    if isinstance(right, str) and right.startswith("@"):
        yield Lookup(text, fields, right[1:], negated)
    elif fields == ("tcp flags",):
        flags = Masked(flag_bits(right)) if operator != "in" else Masked(0, flag_bits(right))
        yield Match(text, "tcp flags", (flags,), negated or operator == "in")
    elif len(fields) > 1:
        yield Lookup(text, fields, container("", right["set"]), negated)
    else:
        yield Match(text, fields[0], tuple(_spans(fields[0], right)), negated)


def _spans(field: Field, right: Any) -> Iterator[Span]:
    several = right["set"] if isinstance(right, dict) and "set" in right else right
    for one in several if isinstance(several, list) else [several]:
        span = value_of(one)
        if field in ("source type", "destination type") and span not in ("local", "unicast", "multicast"):
            raise NotKnownError(words(right))
        if field in ("mark", "ct mark"):
            yield Masked(whole(span))
        elif field == "family":
            yield _ETHERTYPES.get(span, span)
        elif isinstance(span, str) and field in ("source", "destination", "source port", "destination port"):
            raise NotKnownError(words(right))
        elif isinstance(span, str):
            yield _PROTOCOLS.get(span, span)
        elif isinstance(span, int):
            yield _PROTOCOLS.get(str(span), str(span)) if field == "protocol" else Range(span, span)
        elif isinstance(span, Range) or not hasattr(span, "max_prefixlen") or hasattr(span, "prefixlen"):
            yield span
        else:
            yield Range(span, span)


def _vmap(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    data = body["data"]
    if "numgen" in body["key"]:
        yield Draw(text, {whole(number): verdict(one) for number, one in data["set"]}, random(body["key"]))
        return
    fields, implied = _fields(body["key"])
    yield from implied
    known = data[1:] if isinstance(data, str) else container("", data["set"])
    yield Lookup(text, fields, known, verdict=True)


_KINDS: dict[str, Callable[[str, Any], Iterator[Statement]]] = {"match": _match, "vmap": _vmap, **DEEDS}
