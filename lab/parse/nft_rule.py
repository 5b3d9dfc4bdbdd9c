"""One nft rule in text, to the expressions that `nft -j` would print for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_BARE = {"accept", "drop", "return", "continue"}
_PAYLOAD = {"ip", "ip6", "th", "tcp", "udp", "sctp", "icmp", "icmpv6", "igmp", "ether", "arp"}
_SHORT = {"iifname", "oifname", "iif", "oif", "l4proto", "nfproto", "mark"}
_OPERATORS = {"==", "!=", "<", ">", "<=", ">="}
_VALUE = re.compile(r'"[^"]*"|[\w.:/*@+-]+')
_LOG = {"prefix", "group", "level", "snaplen", "queue-threshold", "flags"}


class UnknownError(ValueError):
    """Here begins something that is not known."""


@dataclass(slots=True)
class Words:
    """The words of one rule or element, and how far they are read."""

    words: list[str]
    at: int = 0

    @property
    def next(self) -> str:
        """The word that is read next, "" at the end."""
        return self.words[self.at] if self.at < len(self.words) else ""

    def take(self, *expected: str) -> str:
        """Return the next word, which has to be one of `expected` if there are any."""
        word = self.next
        if not word or (expected and word not in expected):
            raise UnknownError
        self.at += 1
        return word

    def skip(self, word: str) -> bool:
        """Read over `word` if it is next."""
        found = self.next == word
        self.at += found
        return found


def rule(words: list[str]) -> dict[str, Any]:
    """Return the `expr` (and `comment`) of a rule's words; what is not known is `{"text": "..."}`."""
    read = Words(words)
    found: dict[str, Any] = {"expr": []}
    while read.next:
        begun = read.at
        try:
            if read.skip("comment"):
                found["comment"] = read.take().strip('"')
            else:
                found["expr"].append(_statement(read))
        except ValueError:
            found["expr"].append({"text": " ".join(words[begun:])})
            break
    return found


def _statement(read: Words) -> dict[str, Any]:
    word = read.next
    if word in _BARE or word in ("jump", "goto"):
        return _verdict(read)
    if word in _STATEMENTS:
        read.take()
        return _STATEMENTS[word](read)
    if word in ("meta", "mark", "ct") and "set" in read.words[read.at : read.at + 3]:
        return _mangle(read)
    left = _operand(read)
    while read.skip("."):
        left = {"concat": [*left.get("concat", [left]), _operand(read)]}
    if read.skip("vmap"):
        return {"vmap": {"key": left, "data": _set_or_name(read)}}
    if "numgen" in left:
        raise UnknownError
    if read.next in ("&", "and"):
        read.take()
        left = {"&": [left, _bits(read)]}
    loose = "ct" in left or left == {"payload": {"protocol": "tcp", "field": "flags"}}
    operator = read.take() if read.next in _OPERATORS else "in" if loose else "=="
    right = _right(read)
    if read.skip("/"):  # `tcp flags syn / syn,ack`: of these bits those
        return {
            "match": {"op": "!=" if operator == "!=" else "==", "left": {"&": [left, _right(read)]}, "right": right}
        }
    return {"match": {"op": operator, "left": left, "right": right}}


def _verdict(read: Words) -> dict[str, Any]:
    word = read.take()
    if word in _BARE:
        return {word: None}
    if word not in ("jump", "goto"):
        raise UnknownError
    return {word: {"target": read.take()}}


def _operand(read: Words) -> dict[str, Any]:
    word = read.take()
    if word in _PAYLOAD:
        return {"payload": {"protocol": word, "field": read.take()}}
    if word == "meta":
        return {"meta": {"key": read.take()}}
    if word in _SHORT:
        return {"meta": {"key": word}}
    if word == "ct":
        return {"ct": {"key": read.take("state", "status", "mark")}}
    if word == "fib":
        flags = [read.take("saddr", "daddr", "mark", "iif", "oif")]
        while read.skip("."):
            flags.append(read.take("saddr", "daddr", "mark", "iif", "oif"))
        return {"fib": {"result": read.take("type", "oif", "oifname"), "flags": flags}}
    if word == "numgen":
        read.take("random")
        read.take("mod")
        return {"numgen": {"mode": "random", "mod": int(read.take()), "offset": 0}}
    raise UnknownError


def _value(read: Words) -> Any:
    return value(read.take())


def value(word: str) -> Any:
    """Return a number, a prefix, a range or a text; raises `UnknownError` for what is no value."""
    if not _VALUE.fullmatch(word):
        raise UnknownError
    if word.startswith('"'):
        return word.strip('"')
    if re.fullmatch(r"\d+|0x[0-9a-fA-F]+", word):
        return int(word, 0) if word.startswith("0x") else int(word)
    if re.fullmatch(r"[0-9a-fA-F:.]+/\d+", word):
        address, _, length = word.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}}
    if re.fullmatch(r"[0-9a-fA-F:.]+-[0-9a-fA-F:.]+", word):
        return {"range": [value(part) for part in word.split("-")]}
    return word


def _bits(read: Words) -> Any:
    """Return a number, or the names of `(fin | syn)`."""
    if not read.next.startswith("("):
        return _value(read)
    found = [value(read.take().removeprefix("(").removesuffix(")"))]
    while not read.words[read.at - 1].endswith(")"):
        read.take("|")
        found.append(value(read.take().removesuffix(")")))
    return found


def _right(read: Words) -> Any:
    if read.next == "{" or read.next.startswith("@"):
        return _set_or_name(read)
    found = [_value(read)]
    while read.skip(","):
        found.append(_value(read))
    return found if len(found) > 1 else found[0]


def _set_or_name(read: Words) -> Any:
    if read.next.startswith("@"):
        return read.take()
    read.take("{")
    return {"set": elements(read)}


def elements(read: Words) -> list[Any]:
    """Return the elements up to the closing brace; a map's are pairs."""
    found: list[Any] = []
    while not read.skip("}"):
        key = _key(read)
        while read.next in ("comment", "timeout", "expires"):
            name = read.take()
            text = read.take().strip('"')
            if name == "comment":
                key = {"elem": {"val": key, "comment": text}}
        if read.skip(":"):
            found.append([key, _verdict(read) if read.next in {*_BARE, "jump", "goto"} else _key(read)])
        else:
            found.append(key)
        if read.next != "}":
            read.take(",")
    return found


def _key(read: Words) -> Any:
    parts = [_value(read)]
    while read.skip("."):
        parts.append(_value(read))
    return {"concat": parts} if len(parts) > 1 else parts[0]


def _mangle(read: Words) -> dict[str, Any]:
    key = _operand(read)
    read.take("set")
    made: Any = _operand(read) if read.next in ("meta", "mark", "ct") else _value(read)
    names = {"or": "|", "and": "&", "xor": "^"}
    while read.next in ("|", "&", "^", *names):
        operator = read.take()
        made = {names.get(operator, operator): [made, _value(read)]}
    return {"mangle": {"key": key, "value": made}}


def _snat(read: Words) -> dict[str, Any]:
    return {"snat": _dnat(read)["dnat"]}


def _log(read: Words) -> dict[str, Any]:
    found = {}
    while read.next in _LOG:
        name = read.take()
        found[name] = read.take().strip('"')
    return {"log": found or None}


def _limit(read: Words) -> dict[str, Any]:
    begun = read.at
    read.take("rate")
    read.skip("over")
    if not re.fullmatch(r"\d+/\w+", read.take()):
        raise UnknownError
    if read.skip("burst"):
        read.take()
        read.take("packets")
    return {"limit": {"text": " ".join(["limit", *read.words[begun : read.at]])}}


def _dnat(read: Words) -> dict[str, Any]:
    found: dict[str, Any] = {"family": read.take()} if read.next in ("ip", "ip6") else {}
    if read.skip("addr"):
        read.take(".")
        read.take("port")
    read.take("to")
    if read.next == "numgen":
        key = _operand(read)
        read.take("map")
        return {"dnat": {**found, "addr": {"map": {"key": key, "data": _set_or_name(read)}}}}
    word = read.take()
    address, _, port = word[1:].partition("]:") if word.startswith("[") else word.partition(":")
    if word.count(":") > 1 and not word.startswith("["):
        return {"dnat": {**found, "addr": word}}
    return {"dnat": {**found, "addr": address.rstrip("]"), **({"port": int(port)} if port else {})}}


def _masquerade(read: Words) -> dict[str, Any]:
    flags = []
    while read.next in ("fully-random", "random", "persistent", ","):
        flags.append(read.take())
    return {"masquerade": {"flags": " ".join(flags)} if flags else None}


def _reject(read: Words) -> dict[str, Any]:
    if not read.skip("with"):
        return {"reject": None}
    kind = read.take()
    read.skip("type")
    return {"reject": {"type": f"{kind} {read.take()}"} if kind == "tcp" else {"type": kind, "expr": read.take()}}


def _counter(read: Words) -> dict[str, Any]:
    if read.skip("name"):
        return {"counter": read.take().strip('"')}
    if not read.skip("packets"):
        return {"counter": None}
    packets = int(read.take())
    read.take("bytes")
    return {"counter": {"packets": packets, "bytes": int(read.take())}}


def _set(operator: str) -> Callable[[Words], dict[str, Any]]:
    def made(read: Words) -> dict[str, Any]:
        name = read.take()
        read.take("{")
        element = _operand(read)
        read.take("}")
        return {"set": {"op": operator, "elem": element, "set": name}}

    return made


_STATEMENTS: dict[str, Callable[[Words], dict[str, Any]]] = {
    "dnat": _dnat,
    "masquerade": _masquerade,
    "reject": _reject,
    "snat": _snat,
    "log": _log,
    "limit": _limit,
    "counter": _counter,
    "update": _set("update"),
    "add": _set("add"),
}
