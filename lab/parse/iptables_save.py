"""What iptables-save and ip6tables-save print (-c or not), as tables that can be walked.

The text does not say its family: the addresses in it do. Several outputs may follow one another in one file. A rule is
read when it is looked at: a packet meets few of a hundred thousand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from lab.errors import TopologyError
from lab.model.netfilter import Chain, Dnat, Hook, Match, Note, Rule, Table
from lab.parse.iptables_rule import statements
from lab.parse.iptables_words import words
from lab.parse.lazily import Lazily
from lab.parse.mistake import show

# When a table's chains are called (linux/netfilter_ipv4.h, NF_IP_PRI_*); nat is two: sources are changed last.
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_SOURCE_NAT = 100
_HOOKS: dict[str, Hook] = {
    "PREROUTING": "PREROUTING",
    "INPUT": "INPUT",
    "FORWARD": "FORWARD",
    "OUTPUT": "OUTPUT",
    "POSTROUTING": "POSTROUTING",
}
_CHAIN = re.compile(r":(\S+) (\S+)(?: \[\d+:\d+\])?")
_RULE = re.compile(r"(?:\[(\d+):(\d+)\] )?-A (\S+)(?: (.*))?")
_HINT = "expected the whole of what iptables-save -c, ip6tables-save -c or nft -j list ruleset prints"
_SIMILAR = {"-P": "iptables -S", "-N": "iptables -S", "-A": "iptables -S", "Chain": "iptables -L"}
_LEGACY = "tables-legacy tables present"
FORMAT = "what iptables-save prints: *TABLE, :CHAIN and -A lines, COMMIT"


@dataclass(slots=True)
class _Open:
    """A table that is being read: its chains, their rules' places and lines so far, and the line that it began in."""

    name: str
    line: int
    policies: dict[str, str] = field(default_factory=dict)
    rules: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)


def read(text: str, source: str) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables of a text, and sentences about what it says is missing from it; `source` is the file's name.

    The family of a table is "" when no address shows it. Raises `TopologyError` naming file and line, for a rule that
    is none when it is looked at.
    """
    tables: list[Table] = []
    notes = []
    run: list[Table] = []  # the tables of one output: all of one family
    for table in _tables(text, source):
        if any(other.name == table.name for other in run):
            tables += _of_family(run)
            run = []
        run.append(table)
    tables += _of_family(run)
    if not tables:
        raise TopologyError(f"{source}: there are no tables in this file; expected {FORMAT}")
    if _LEGACY in text:
        notes.append(f"{source} says that there are legacy tables too: add what iptables-legacy-save prints")
    return tuple(tables), tuple(notes)


def _tables(text: str, source: str) -> Iterator[Table]:
    table: _Open | None = None
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        place = f"{source}:{number}"
        if line.startswith("*"):
            if table is not None:
                raise TopologyError(f"{place}: the table {table.name} has no COMMIT before {show(line)}")
            table = _begin(line[1:], number, place)
        elif table is None:
            raise _outside(line, place)
        elif line == "COMMIT":
            yield _closed(table)
            table = None
        else:
            _line(table, line, source, number)
    if table is not None:
        raise TopologyError(f"{source}:{table.line}: the table {table.name} has no COMMIT: is the file complete?")


def _begin(name: str, number: int, place: str) -> _Open:
    if name not in _PRIORITIES:
        raise TopologyError(f"{place}: {show(name)} is no table of iptables; expected {', '.join(_PRIORITIES)}")
    return _Open(name, number)


def _outside(line: str, place: str) -> TopologyError:
    similar = _SIMILAR.get(line.split(maxsplit=1)[0])
    if similar:
        return TopologyError(f"{place}: {show(line)} looks like {similar}, which leaves out what counts", hint=_HINT)
    return TopologyError(f"{place}: {show(line)} stands outside of a table; expected {FORMAT}", hint=_HINT)


def _line(table: _Open, line: str, source: str, number: int) -> None:
    if chain := _CHAIN.fullmatch(line):
        table.policies[chain[1]] = chain[2]
        table.rules.setdefault(chain[1], [])
        return
    head = line.partition("] ")[2] if line.startswith("[") else line
    flag, _, rest = head.partition(" ")
    name = rest.partition(" ")[0]
    if flag != "-A" or not name:
        raise TopologyError(f"{source}:{number}: {show(line)} is not understood; expected {FORMAT}")
    if name not in table.rules:
        if name not in _HOOKS:
            raise TopologyError(f"{source}:{number}: the chain {show(name)} is not declared before its first rule")
        table.rules[name] = []
    table.rules[name].append((source, number, line))


def _rule(raw: tuple[str, int, str], chains: Collection[str]) -> Rule:
    source, number, line = raw
    place = f"{source}:{number}"
    found = _RULE.fullmatch(line)
    if found is None:
        raise TopologyError(f"{place}: {show(line)} is not understood; expected {FORMAT}")
    packets, octets, _, text = found.groups(default="")
    try:
        rule = rule_of(text, place, chains)
    except (ValueError, KeyError, ZeroDivisionError, OverflowError) as error:
        raise TopologyError(f"{place}: {show(text)} is not a rule: {error}") from None
    return replace(rule, packets=int(packets), octets=int(octets)) if packets else rule


def rule_of(text: str, place: str, chains: Collection[str]) -> Rule:
    """Return the rule that iptables-save prints as `-A CHAIN text`; raises `ValueError` if it cannot be read."""
    found = statements(words(text), chains)
    comment = next((one.text for one in found if isinstance(one, Note) and one.comment), "")
    return Rule(text=text, place=place, statements=found, comment=comment)


def _closed(table: _Open) -> Table:
    nat = table.name == "nat"
    chains = {}
    names = table.rules.keys()
    for name, lines in table.rules.items():
        hook = _HOOKS.get(name)
        priority = _SOURCE_NAT if nat and name in ("POSTROUTING", "INPUT") else _PRIORITIES[table.name]
        policy: Literal["accept", "drop"] = "drop" if table.policies.get(name) == "DROP" else "accept"
        rules = Lazily(lines, lambda line: _rule(line, names))
        chains[name] = Chain(name, rules, hook, priority if hook else 0, policy, nat and hook is not None)
    return Table(family="", name=table.name, chains=chains, iptables=True)


def _of_family(run: list[Table]) -> list[Table]:
    family = next(filter(None, map(_family, run)), "")
    return [replace(table, family=family) for table in run]


def _family(table: Table) -> str:
    """Return the family that the table's first address, or a protocol of one family alone, shows."""
    for chain in table.chains.values():
        for rule in chain.rules:
            for one in rule.statements:
                version = 0
                if isinstance(one, Match) and one.field in ("source", "destination"):
                    version = getattr(one.among[0], "version", 0)
                elif isinstance(one, Dnat):
                    version = one.choices[0][0].version
                if version:
                    return "ip" if version == 4 else "ip6"  # noqa: PLR2004 - IPv4
    return ""
