"""Expressions of `nft -j` as nft(8) itself prints them in text, for reading; what is not known stays JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

_BARE = {"accept", "drop", "return", "continue"}
_LEVEL = 12  # of nesting; nft allows less


def words(expression: Any, level: int = 0) -> str:
    """Return the text of an expression."""
    try:
        if level < _LEVEL:
            return _words(expression, level + 1)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    return json.dumps(expression)


def _words(one: Any, level: int) -> str:  # noqa: PLR0911 - one for each shape
    if isinstance(one, bool) or one is None or isinstance(one, float):
        return json.dumps(one)
    if isinstance(one, str | int):
        return str(one)
    if isinstance(one, list):
        return " : ".join(words(part, level) for part in one)
    ((name, body),) = one.items()
    if name in _BARE:
        return str(name)
    if name in ("jump", "goto"):
        return f"{name} {body['target']}"
    if name in ("|", "&", "^"):
        return f" {name} ".join(_bits(part, level) for part in body)
    return _SHAPES[name](body, level)


def _bits(one: Any, level: int) -> str:
    return f"{one:#010x}" if type(one) is int else words(one, level)


def _match(body: Any, level: int) -> str:
    left, right = body["left"], body["right"]
    is_mark = "&" in left or left == {"meta": {"key": "mark"}}
    shown = _bits(right, level) if is_mark else words(right, level)
    if isinstance(right, list):
        shown = ",".join(words(part, level) for part in right)
    if "fib" in left and isinstance(right, bool):
        shown = "exists" if right else "missing"
    if left.get("meta", {}).get("key") in ("iifname", "oifname") and isinstance(right, str):
        shown = f'"{right}"'
    operator = "" if body["op"] in ("==", "in") else f"{body['op']} "
    return f"{words(left, level)} {operator}{shown}"


def _nat(name: str) -> Callable[[Any, int], str]:
    def made(body: Any, level: int) -> str:
        body = body or {}
        family = f" {body['family']}" if "family" in body else ""
        address = words(body["addr"], level) if "addr" in body else ""
        port = f":{words(body['port'], level)}" if "port" in body else ""
        to = f" to {f'[{address}]' if ':' in address and port else address}{port}" if address or port else ""
        return f"{name}{family}{to}{_flags(body)}"

    return made


def _flags(body: Any) -> str:
    flags = body.get("flags", ())
    return f" {flags if isinstance(flags, str) else ','.join(flags)}" if flags else ""


def _dup(body: Any, level: int) -> str:
    device = f" device {words(body['dev'], level)}" if "dev" in body else ""
    return f"dup to {words(body['addr'], level)}{device}"


def _queue(body: Any, level: int) -> str:
    body = body or {}
    number = f" num {words(body['num'], level)}" if "num" in body else ""
    return f"queue{number}{_flags(body)}"


def _option(body: Any, _: int) -> str:
    return f"tcp option {body['name']} {body.get('field', '')}".rstrip()


def _meta(body: Any, _: int) -> str:
    key = str(body["key"])
    return key if key in ("iif", "oif", "iifname", "oifname") else f"meta {key}"


def _set(body: Any, level: int) -> str:
    return f"{body['op']} {body['set']} {{ {words(body['elem'], level)} }}"


def _elements(body: Any, level: int) -> str:
    return f"{{ {', '.join(words(one, level) for one in body)} }}"


def _reject(body: Any, _: int) -> str:
    if not body or body.get("expr") == "port-unreachable":
        return "reject"
    return " ".join(["reject with", *(str(body[key]) for key in ("type", "expr") if key in body)])


def _limit(body: Any, level: int) -> str:
    if "text" in body:
        return str(body["text"])
    burst = f" burst {body['burst']} {body.get('burst_unit', 'packets')}" if "burst" in body else ""
    return f"limit rate {'over ' if body.get('inv') else ''}{words(body['rate'], level)}/{body['per']}{burst}"


def _log(body: Any, level: int) -> str:
    named = (f'{key} "{value}"' if key == "prefix" else f"{key} {words(value, level)}" for key, value in body.items())
    return " ".join(["log", *named])


def _xt(body: Any, _: int) -> str:
    return f'xt {body["type"]} "{body["name"]}"'


_SHAPES: dict[str, Callable[[Any, int], str]] = {
    "text": lambda body, _: str(body),
    "match": _match,
    "meta": _meta,
    "payload": lambda body, _: f"{body['protocol']} {body['field']}",
    "ct": lambda body, _: f"ct {body['key']}",
    "fib": lambda body, _: f"fib {' . '.join(body['flags'])} {body['result']}",
    "concat": lambda body, level: " . ".join(words(one, level) for one in body),
    "set": lambda body, level: _set(body, level) if isinstance(body, dict) else _elements(body, level),
    "prefix": lambda body, _: f"{body['addr']}/{body['len']}",
    "range": lambda body, level: "-".join(words(one, level) for one in body),
    "numgen": lambda body, _: f"numgen {body['mode']} mod {body['mod']}",
    "map": lambda body, level: f"{words(body['key'], level)} map {words(body['data'], level)}",
    "vmap": lambda body, level: f"{words(body['key'], level)} vmap {words(body['data'], level)}",
    "mangle": lambda body, level: f"{words(body['key'], level)} set {words(body['value'], level)}",
    **{name: _nat(name) for name in ("dnat", "snat", "masquerade", "redirect", "tproxy")},
    "notrack": lambda _, __: "notrack",
    "dup": _dup,
    "queue": _queue,
    "reset": lambda body, level: f"reset {words(body, level)}",
    "reject": _reject,
    "limit": _limit,
    "log": lambda body, level: _log(body or {}, level),
    "xt": _xt,
    "tcp option": _option,
    "rt": lambda body, _: f"rt {body['key']}",
    "counter": lambda body, _: f"counter packets {body['packets']} bytes {body['bytes']}" if body else "counter",
    "elem": lambda body, level: words(body["val"], level),
}
