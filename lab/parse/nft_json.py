"""What `nft -j list ruleset` prints (libnftables-json(5)), as tables that can be walked.

A rule is read when it is looked at: a packet meets few of many thousands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.errors import TopologyError
from lab.model.netfilter import Chain, Container, Hook, Rule, Table
from lab.parse import nft_rule
from lab.parse.lazily import Lazily
from lab.parse.mistake import show
from lab.parse.nft_expr import statements
from lab.parse.nft_value import NotKnownError, container
from lab.parse.nft_words import words

_HOOKS: dict[str, Hook] = {
    "prerouting": "PREROUTING",
    "input": "INPUT",
    "forward": "FORWARD",
    "output": "OUTPUT",
    "postrouting": "POSTROUTING",
}
_FAMILIES = ("ip", "ip6", "inet")
_SPACE = re.compile(r"[\s,]*")
FORMAT = "what `nft -j list ruleset` prints"
_WRONG = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


@dataclass(slots=True)
class _Open:
    """A table that is being read: its chains' objects, their rules' places and objects, and its containers."""

    chains: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    dormant: bool = False
    xt: bool = False


def read(text: str, source: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables of ip, ip6 and inet, and sentences about what was left out; `source` is the file's name.

    Raises `TopologyError` naming file and line, for a rule that is none when it is looked at.
    """
    return tables_of(objects(text, source), source)


def tables_of(listed: Iterable[tuple[str, dict[str, Any]]], source: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return what `read` returns, of (`file:line`, object) as nft lists them; a rule may have `words` and no `expr`."""
    tables: dict[tuple[str, str], _Open] = {}
    left_out: set[str] = set()
    for place, one in listed:
        try:
            _add(tables, left_out, place, one)
        except _WRONG as error:
            raise _refused(place, one, error) from None
    if not tables:
        raise TopologyError(f"{source}: there are no tables of ip, ip6 or inet in this file; expected {FORMAT}")
    notes = [f"{source}: {sentence}" for sentence in sorted(left_out)]
    walked = {place: table for place, table in tables.items() if not table.dormant}
    return tuple(_closed(place, table) for place, table in walked.items()), tuple(notes)


def objects(text: str, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (`file:line`, object) of each object in the list; the list may stand alone or under the key `nftables`."""
    start = text.find("[")
    if start < 0 or not re.fullmatch(r'\s*(\{\s*"nftables"\s*:\s*)?', text[:start]):
        raise TopologyError(f"{source}:1: this is not {FORMAT}")
    decode = json.JSONDecoder().raw_decode
    at, line, counted = start + 1, 1, 0
    while True:
        space = _SPACE.match(text, at)
        at = space.end() if space else at
        line += text.count("\n", counted, at)
        counted = at
        if text[at : at + 1] == "]":
            return
        try:
            one, at = decode(text, at)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            raise TopologyError(f"{source}:{line}: this is not JSON: {reason}; is the file complete?") from None
        if not isinstance(one, dict):
            raise TopologyError(f"{source}:{line}: {show(one)} is not an object; expected {FORMAT}")
        yield f"{source}:{line}", one


def _add(tables: dict[tuple[str, str], _Open], left_out: set[str], place: str, one: dict[str, Any]) -> None:
    if len(one) != 1:
        raise NotKnownError("an object has one key")
    ((kind, body),) = one.items()
    if kind == "metainfo":
        return
    family = _string(body["family"])
    if family not in _FAMILIES:
        left_out.add(f"tables of the family {family} are not walked")
        return
    if kind == "table":
        table = tables.setdefault((family, _string(body["name"])), _Open())
        if "dormant" in body.get("flags", ()):
            table.dormant = True
            left_out.add(f"the table {family} {body['name']} is dormant: no packet meets it")
        return
    table = tables.setdefault((family, _string(body["table"])), _Open())
    if kind == "chain":
        table.chains[_string(body["name"])] = body
        table.rules.setdefault(body["name"], [])
        if body.get("hook", "input") not in _HOOKS:
            left_out.add(f"the chain {body['name']} at the hook {body['hook']} is not walked")
    elif kind == "rule":
        handle = f" (handle {body['handle']})" if "handle" in body else ""
        table.rules[_string(body["chain"])].append((place + handle, body))
        table.xt = table.xt or any(isinstance(one, dict) and "xt" in one for one in body.get("expr", ()))
    elif kind in ("set", "map"):
        _add_container(table, body)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise NotKnownError(f"{show(value)} is not a text")
    return value


def _add_container(table: _Open, body: dict[str, Any]) -> None:
    """Keep a set or a verdict map; one with elements that are not known is left out: to look it up is unknown."""
    flags = body.get("flags", [])
    remembers = "timeout" in body or bool({"dynamic", "timeout"} & set([flags] if isinstance(flags, str) else flags))
    if body.get("map", "verdict") != "verdict":
        return
    name = _string(body["name"])
    try:
        table.containers[name] = container(name, body.get("elem", []), remembers=remembers)
    except _WRONG:
        table.containers.pop(name, None)


def _refused(place: str, one: object, error: Exception) -> TopologyError:
    return TopologyError(f"{place}: {show(words(one))} is not understood: expected {FORMAT} ({error})")


def _read_rule(raw: tuple[str, dict[str, Any]]) -> Rule:
    place, body = raw
    try:
        return _rule(place, {**body, **nft_rule.rule(body["words"])} if "words" in body else body)
    except _WRONG as error:
        raise _refused(place, body, error) from None


def _rule(place: str, body: dict[str, Any]) -> Rule:
    expressions = body["expr"]
    if not isinstance(expressions, list):
        raise NotKnownError("expr is not a list")
    packets, octets = next((counted for one in expressions if (counted := _counted(one))), (None, None))
    comment = _string(body.get("comment", ""))
    return Rule(
        text=" ".join([*map(words, expressions), *([f'comment "{comment}"'] if comment else [])]),
        place=place,
        statements=tuple(statements(expressions)),
        comment=comment,
        packets=packets,
        octets=octets,
    )


def _counted(expression: Any) -> tuple[int, int] | None:
    """Return packets and bytes of a counter in a rule; one that has a name of its own keeps them elsewhere."""
    match expression:
        case {"counter": {"packets": int(packets), "bytes": int(octets)}}:
            return packets, octets
    return None


def _closed(place: tuple[str, str], table: _Open) -> Table:
    chains = {name: _chain(name, table.chains.get(name, {}), rules) for name, rules in table.rules.items()}
    return Table(
        family=place[0],
        name=place[1],
        chains=chains,
        containers=table.containers,
        lacks="options" if table.xt else "nothing",
    )


def _chain(name: str, body: dict[str, Any], raw: list[tuple[str, dict[str, Any]]]) -> Chain:
    hook = _HOOKS.get(str(body.get("hook", "")))
    priority = body.get("prio", 0)
    if type(priority) is not int:
        raise TopologyError(f"the chain {show(name)}: priority {show(priority)}: expected a whole number")
    policy: Literal["accept", "drop"] = "drop" if body.get("policy") == "drop" else "accept"
    return Chain(name, Lazily(raw, _read_rule), hook, priority, policy, nat=body.get("type") == "nat")
