"""What a rule does, as `nft -j` prints it (libnftables-json(5)), to statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import ip_address
from typing import Any

from lab.model.address import IPAddress
from lab.model.netfilter import Dnat, Mark, Masquerade, Note, Reject, Remember, Statement
from lab.parse.nft_value import ALL_BITS, NotKnownError, is_concat, random, whole
from lab.parse.nft_words import words

# What says, counts or changes something that has no part in where a packet goes.
_BESIDE = {"counter", "log", "flow", "ct helper", "ct timeout", "ct expectation", "dup", "last", "secmark"}
_BESIDE_META = {"priority", "nftrace", "secmark", "pkttype"}
_BESIDE_CT = {"label", "helper", "event", "secmark"}
_BESIDE_PAYLOAD = {"dscp", "ecn", "ttl", "hoplimit", "flowlabel"}


def _mangle(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    match body["key"]:
        case {"meta": {"key": "mark"}}:
            keep, mix, flip = _bits(body["value"])
            yield Mark(text, keep, flip, mix=mix)
        case {"ct": {"key": "mark"}}:
            mix, keep, flip = _bits(body["value"])
            yield Mark(text, keep, flip, of="ct mark", mix=mix)
        case {"meta": {"key": key}} if key in _BESIDE_META:
            yield Note(text, word=word({"mangle": body}))
        case {"ct": {"key": key}} if key in _BESIDE_CT:
            yield Note(text, word=word({"mangle": body}))
        case {"payload": {"field": key}} if key in _BESIDE_PAYLOAD:
            yield Note(text, word=word({"mangle": body}))
        case {"tcp option": _}:
            yield Note(text, word=word({"mangle": body}))
        case _:
            raise NotKnownError(text)


def _bits(value: Any) -> tuple[int, int, int]:
    """Return (a, b, flip) of an expression over the marks: `(mark & a) ^ (ct mark & b) ^ flip`."""
    if value == {"meta": {"key": "mark"}}:
        return ALL_BITS, 0, 0
    if value == {"ct": {"key": "mark"}}:
        return 0, ALL_BITS, 0
    if type(value) is int:
        return 0, 0, whole(value)
    ((operator, (left, right)),) = value.items()
    packet, connection, flip = _bits(left)
    number = whole(right)
    match operator:
        case "|":
            return packet & ~number, connection & ~number, flip & ~number ^ number
        case "&":
            return packet & number, connection & number, flip & number
        case "^":
            return packet, connection, flip ^ number
    raise NotKnownError(operator)


def _dnat(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    address = body["addr"]
    if body.keys() - {"addr", "port", "family"}:
        raise NotKnownError(text)
    if isinstance(address, str):
        yield Dnat(text, {0: (ip_address(address), whole(body.get("port", 0)))})
        return
    chosen = address["map"]
    choices = {whole(number): _socket(one) for number, one in chosen["data"]["set"]}
    yield Dnat(text, choices, random(chosen["key"]))


def _socket(data: Any) -> tuple[IPAddress, int]:
    address, port = data["concat"] if is_concat(data) else (data, 0)
    return ip_address(address), whole(port)


def _snat(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    if body.keys() - {"addr", "port", "family", "flags"} or not isinstance(body["addr"], str):
        raise NotKnownError(text)
    yield Masquerade(text, ip_address(body["addr"]))


def _xt(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    """Know of what iptables-nft left in nft's tables nothing but the comments: nft lists no more of it."""
    if body != {"type": "match", "name": "comment"}:
        raise NotKnownError(text)
    yield Note(text)


def _set(text: str, body: Mapping[str, Any]) -> Iterator[Statement]:
    if body["op"] not in ("add", "update", "delete") or body.get("stmt"):
        raise NotKnownError(text)
    yield Remember(text, body["set"].removeprefix("@"))


def _masquerade(text: str, body: Mapping[str, Any] | None) -> Iterator[Statement]:
    if body and body.keys() - {"flags"}:
        raise NotKnownError(text)
    yield Masquerade(text)


def _reject(text: str, body: Mapping[str, Any] | None) -> Iterator[Statement]:
    body = body or {"expr": "port-unreachable"}
    yield Reject(text, body["expr"] if "expr" in body else body["type"])


def _beside(name: str, text: str, _: Any) -> Iterator[Statement]:
    yield Note(text, word=name)


def word(expression: Any) -> str:
    """Return what does something: `redirect`, `notrack`; what is set (`meta priority`); a target of iptables'."""
    match expression:
        case {"mangle": {"key": key}}:
            return words(key)
        case {"xt": {"type": "target", "name": str(name)}}:
            return name
    return str(next(iter(expression), "")) if isinstance(expression, dict) else ""


DEEDS: dict[str, Callable[[str, Any], Iterator[Statement]]] = {
    "mangle": _mangle,
    "dnat": _dnat,
    "set": _set,
    "masquerade": _masquerade,
    "reject": _reject,
    "snat": _snat,
    "xt": _xt,
    **{name: partial(_beside, name) for name in _BESIDE},
}
"""What each kind of expression that is no question does, from its text and its body."""
