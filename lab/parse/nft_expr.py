"""One rule's expressions as `nft -j` prints them (libnftables-json(5)), to statements.

What kube-proxy's nftables mode writes is known; any other expression becomes `Unknown` with its own text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from lab.model.address import IPAddress
from lab.model.netfilter import (
    Container,
    Decide,
    Dnat,
    Draw,
    Field,
    Lookup,
    Mark,
    Masked,
    Masquerade,
    Match,
    Note,
    Range,
    Reject,
    Remember,
    Span,
    Statement,
    Unknown,
    Value,
    Verdict,
)
from lab.parse.nft_words import words

_ALL_BITS = 0xFFFF_FFFF
_META: dict[str, Field] = {
    "l4proto": "protocol",
    "mark": "mark",
    "iifname": "in-interface",
    "oifname": "out-interface",
    "nfproto": "family",
}
_PAYLOAD: dict[tuple[str, str], Field] = {
    **{(layer, "saddr"): "source" for layer in ("ip", "ip6")},
    **{(layer, "daddr"): "destination" for layer in ("ip", "ip6")},
    **{(layer, "sport"): "source port" for layer in ("th", "tcp", "udp", "sctp")},
    **{(layer, "dport"): "destination port" for layer in ("th", "tcp", "udp", "sctp")},
    ("ip", "protocol"): "protocol",
}
_CT: dict[str, Field] = {"state": "ct state", "status": "ct status"}
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "132": "sctp", "ipv6-icmp": "icmpv6"}
_VERDICTS = {"accept", "drop", "return", "continue", "jump", "goto"}
_WHOLE = {"ip": "ipv4", "ip6": "ipv6"}  # a payload's layer -> the family that a packet must have


class NotKnownError(ValueError):
    """The expression is none that kube-proxy writes."""


def statements(expressions: list[Any]) -> Iterator[Statement]:
    """Yield what a rule's `expr` means; an expression that is not known becomes `Unknown`."""
    for expression in expressions:
        try:
            yield from _statement(expression)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            name = next(iter(expression), "") if isinstance(expression, dict) else ""
            yield Unknown(words(expression), match=name not in ("mangle", "dnat", "snat", "set", "reject"))


def _statement(expression: Mapping[str, Any]) -> Iterator[Statement]:
    ((name, body),) = expression.items()
    text = words(expression)
    if name in _VERDICTS:
        yield Decide(text, verdict(expression))
        return
    yield from _KINDS[name](text, body) if name in _KINDS else _refuse(name)


def _refuse(name: str) -> Iterator[Statement]:
    raise NotKnownError(name)


def verdict(expression: Any, comment: str = "") -> Verdict:  # noqa: ANN401 - JSON is what it is
    """Return the verdict of `{"drop": null}` or `{"goto": {"target": "c"}}`; raises `NotKnownError` for another."""
    ((name, body),) = expression.items()
    if name not in _VERDICTS:
        raise NotKnownError(name)
    return Verdict(name, _text(body["target"]) if name in ("jump", "goto") else "", comment)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotKnownError(repr(value))
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _ALL_BITS:
        raise NotKnownError(repr(value))
    return value


def _field(left: Any) -> tuple[Field, tuple[Statement, ...]]:  # noqa: ANN401
    """Return what a left side asks for, and the tests that it implies: `tcp dport` wants TCP, `ip saddr` IPv4."""
    ((name, body),) = left.items()
    if name == "meta":
        return _META[body["key"]], ()
    if name == "payload":
        layer = body["protocol"]
        field = _PAYLOAD[layer, body["field"]]
        if layer in _WHOLE:
            return field, (Match(f"meta nfproto {_WHOLE[layer]}", "family", (_WHOLE[layer],)),)
        return field, () if layer == "th" else (Match(f"meta l4proto {layer}", "protocol", (layer,)),)
    if name == "ct" and set(body) == {"key"}:
        return _CT[body["key"]], ()
    if name == "fib" and body["result"] == "type" and body["flags"] in (["saddr"], ["daddr"], "saddr", "daddr"):
        return ("source type" if "saddr" in body["flags"] else "destination type"), ()
    raise NotKnownError(name)


def _fields(left: Any) -> tuple[tuple[Field, ...], tuple[Statement, ...]]:  # noqa: ANN401
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
        if _field(kept)[0] != "mark":
            raise NotKnownError(text)
        yield Match(text, "mark", (Masked(_number(right), _number(mask)),), negated)
        return
    fields, implied = _fields(left)
    yield from implied
    if isinstance(right, str) and right.startswith("@"):
        yield Lookup(text, fields, right[1:], negated)
    elif len(fields) > 1:
        yield Lookup(text, fields, container("", right["set"]), negated)
    else:
        yield Match(text, fields[0], tuple(_spans(fields[0], right)), negated)


def _spans(field: Field, right: Any) -> Iterator[Span]:  # noqa: ANN401
    several = right["set"] if isinstance(right, dict) and "set" in right else right
    for one in several if isinstance(several, list) else [several]:
        span = value_of(one)
        if field in ("source type", "destination type") and span != "local":
            raise NotKnownError(words(right))
        if field == "mark":
            yield Masked(_number(span))
        elif isinstance(span, str):
            yield _PROTOCOLS.get(span, span)
        elif isinstance(span, int):
            yield _PROTOCOLS.get(str(span), str(span)) if field == "protocol" else Range(span, span)
        elif isinstance(span, Range) or not hasattr(span, "max_prefixlen") or hasattr(span, "prefixlen"):
            yield span
        else:
            yield Range(span, span)


@lru_cache(maxsize=1 << 16)
def _word(text: str) -> Value:
    try:
        return ip_address(text)
    except ValueError:
        return text


def value_of(right: Any) -> Any:  # noqa: ANN401 - a Value or a Span
    """Return one value or range of a right side or an element; raises `NotKnownError` for another shape."""
    if isinstance(right, str):
        return _word(right)
    if type(right) is int:
        return right
    if isinstance(right, dict) and "prefix" in right:
        return ip_network((right["prefix"]["addr"], right["prefix"]["len"]), strict=False)
    if isinstance(right, dict) and "range" in right:
        first, last = map(value_of, right["range"])
        if isinstance(first, str) or type(first) is not type(last):
            raise NotKnownError(words(right))
        return Range(first, last)
    raise NotKnownError(words(right))


def container(name: str, elements: list[Any], *, remembers: bool = False) -> Container:
    """Return a set (elements) or a verdict map (pairs of element and verdict)."""
    exact: dict[tuple[Value, ...], Verdict | None] = {}
    wide: list[tuple[tuple[Span, ...], Verdict | None]] = []
    for raw in elements:
        element, decided = raw if isinstance(raw, list) else (raw, None)
        comment = ""
        if isinstance(element, dict) and "elem" in element:
            comment, element = element["elem"].get("comment", ""), element["elem"]["val"]
        parts = tuple(value_of(one) for one in (element["concat"] if _concat(element) else [element]))
        found = None if decided is None else verdict(decided, comment)
        if any(hasattr(part, "prefixlen") or isinstance(part, Range) or str(part).endswith("*") for part in parts):
            wide.append((parts, found))
        else:
            exact[parts] = found
    return Container(name=name, exact=exact, wide=tuple(wide), remembers=remembers)


def _concat(element: object) -> bool:
    return isinstance(element, dict) and "concat" in element


def _random(key: Mapping[str, Any]) -> int:
    how = key["numgen"]
    if how["mode"] != "random" or how.get("offset"):
        raise NotKnownError(words(key))
    return _number(how["mod"])


def _vmap(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    data = body["data"]
    if "numgen" in body["key"]:
        yield Draw(text, {_number(number): verdict(one) for number, one in data["set"]}, _random(body["key"]))
        return
    fields, implied = _fields(body["key"])
    yield from implied
    known = data[1:] if isinstance(data, str) else container("", data["set"])
    yield Lookup(text, fields, known, verdict=True)


def _mangle(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    if body["key"] != {"meta": {"key": "mark"}}:
        raise NotKnownError(text)
    yield Mark(text, *_bits(body["value"]))


def _bits(value: Any) -> tuple[int, int]:  # noqa: ANN401
    """Return (keep, flip) of an expression over the mark: it is always `(mark & keep) ^ flip`."""
    if value == {"meta": {"key": "mark"}}:
        return _ALL_BITS, 0
    if type(value) is int:
        return 0, _number(value)
    ((operator, (left, right)),) = value.items()
    keep, flip = _bits(left)
    number = _number(right)
    match operator:
        case "|":
            return keep & ~number, flip & ~number ^ number
        case "&":
            return keep & number, flip & number
        case "^":
            return keep, flip ^ number
    raise NotKnownError(operator)


def _dnat(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    address = body["addr"]
    if body.keys() - {"addr", "port", "family"}:
        raise NotKnownError(text)
    if isinstance(address, str):
        yield Dnat(text, {0: (ip_address(address), _number(body.get("port", 0)))})
        return
    chosen = address["map"]
    choices = {_number(number): _socket(one) for number, one in chosen["data"]["set"]}
    yield Dnat(text, choices, _random(chosen["key"]))


def _socket(data: Any) -> tuple[IPAddress, int]:  # noqa: ANN401
    address, port = data["concat"] if _concat(data) else (data, 0)
    return ip_address(address), _number(port)


def _set(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    if body["op"] not in ("add", "update") or body.get("stmt"):
        raise NotKnownError(text)
    yield Remember(text, body["set"].removeprefix("@"))


def _masquerade(text: str, body: Mapping[str, Any] | None) -> Iterator[Statement]:
    if body and body.keys() - {"flags"}:
        raise NotKnownError(text)
    yield Masquerade(text)


def _reject(text: str, body: Mapping[str, Any] | None) -> Iterator[Statement]:
    body = body or {"expr": "port-unreachable"}
    yield Reject(text, body["expr"] if "expr" in body else body["type"])


_KINDS: dict[str, Callable[[str, Any], Iterator[Statement]]] = {
    "match": _match,
    "vmap": _vmap,
    "mangle": _mangle,
    "dnat": _dnat,
    "set": _set,
    "masquerade": _masquerade,
    "reject": _reject,
    "counter": lambda text, _: iter((Note(text),)),
}
