"""Values, elements and verdicts as `nft -j` prints them (libnftables-json(5))."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce
from ipaddress import ip_address, ip_network
from operator import or_
from typing import Any

from lab.model.netfilter import Container, Range, Span, Value, Verdict
from lab.parse.nft_words import words

ALL_BITS = 0xFFFF_FFFF
VERDICTS = {"accept", "drop", "return", "continue", "jump", "goto"}
_TCP_FLAGS = {name: 1 << bit for bit, name in enumerate(("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"))}


class NotKnownError(ValueError):
    """The expression is none that kube-proxy writes."""


def verdict(expression: Any, comment: str = "") -> Verdict:
    """Return the verdict of `{"drop": null}` or `{"goto": {"target": "c"}}`; raises `NotKnownError` for another."""
    ((name, body),) = expression.items()
    if name not in VERDICTS:
        raise NotKnownError(name)
    return Verdict(name, _text(body["target"]) if name in ("jump", "goto") else "", comment)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise NotKnownError(repr(value))
    return value


def whole(value: object) -> int:
    """Return a number of 32 bits at most; raises `NotKnownError` for anything else."""
    if type(value) is not int or not 0 <= value <= ALL_BITS:
        raise NotKnownError(repr(value))
    return value


def flag_bits(value: Any) -> int:
    """Return a number, or the bits that the names of TCP flags stand for."""
    if isinstance(value, dict) and "|" in value:
        value = value["|"]
    if isinstance(value, list):
        return reduce(or_, map(flag_bits, value))
    return _TCP_FLAGS[value] if isinstance(value, str) else whole(value)


@lru_cache(maxsize=1 << 16)
def _word(text: str) -> Value:
    try:
        return ip_address(text)
    except ValueError:
        return text


def value_of(right: Any) -> Any:
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
        parts = tuple(value_of(one) for one in (element["concat"] if is_concat(element) else [element]))
        found = None if decided is None else verdict(decided, comment)
        if any(hasattr(part, "prefixlen") or isinstance(part, Range) or str(part).endswith("*") for part in parts):
            wide.append((parts, found))
        else:
            exact[parts] = found
    return Container(name=name, exact=exact, wide=tuple(wide), remembers=remembers)


def is_concat(element: object) -> bool:
    """Return whether an element has several parts."""
    return isinstance(element, dict) and "concat" in element


def random(key: Mapping[str, Any]) -> int:
    """Return below which number `numgen random mod` stays; raises `NotKnownError` for another generator."""
    how = key["numgen"]
    if how["mode"] != "random" or how.get("offset"):
        raise NotKnownError(words(key))
    return whole(how["mod"])
