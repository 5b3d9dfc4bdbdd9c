"""A real node's rules in a namespace of ours: loaded as they are, in place of whatever rules there were."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from lab.errors import HostError, KernelError
from lab.kernel import command, rules

Tool = Literal["iptables-nft", "iptables-legacy", "nft", "nft-json"]
_TABLES = ("raw", "mangle", "nat", "filter")
_LINE = re.compile(r"/dev/stdin:(\d+):|\bline:? (\d+)")
_QUOTED = re.compile(r"^line (\d+): (.+)$", re.MULTILINE)
_TYPES = ("hash:net", "hash:ip,port", "hash:ip,port,ip")
"""The kind of an ipset by how many fields are looked up; sets of other kinds answer the same while they are empty."""
_TIMEOUT_S = 60.0
_MOST_REFUSALS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One input: of iptables-restore (`tool` says which) for one family, or of nft, as text or as JSON."""

    tool: Tool
    family: rules.Family
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """What could not be loaded: the number of the line (0: nobody knows), the line, and what was said."""

    number: int
    line: str
    reason: str


def flush(*, legacy: bool) -> None:
    """Remove all rules and sets of this thread's namespace; those of iptables-legacy only if told to."""
    command.check(("nft", "flush", "ruleset"), timeout_s=_TIMEOUT_S)
    if legacy:
        for family in ("iptables", "ip6tables"):
            for table in _TABLES:
                with suppress(KernelError):  # a table that the kernel does not have holds nothing
                    command.check((f"{family}-legacy-restore",), stdin=f"*{table}\nCOMMIT\n", timeout_s=_TIMEOUT_S)
    with suppress(HostError, KernelError):  # no ipset, no sets
        command.check(("ipset", "destroy"))


def make_sets(sets: Sequence[tuple[str, int, rules.Family]]) -> None:
    """Make empty ipsets: name, how many fields are looked up, family.

    Raises `HostError` if there is no ipset(8) here, `KernelError` if the kernel has no such sets.
    """
    for name, fields, family in sets:
        kind = _TYPES[fields - 1]
        argv = ("ipset", "create", name, kind, "family", "inet" if family == "ipv4" else "inet6")
        command.check(argv)


def load(loads: Sequence[Load]) -> list[str]:
    """Load into this thread's namespace, and return what each load was refused with, "" if it was not."""
    return [_nft(one) if one.tool in ("nft", "nft-json") else _iptables(one) for one in loads]


def _nft(one: Load) -> str:
    argv = ("nft", *(("-j",) if one.tool == "nft-json" else ()), "-f", "-")
    end = command.run(argv, stdin=one.text, timeout_s=_TIMEOUT_S)
    return end.stderr.strip() or f"exit {end.status}" if end.status else ""


def _iptables(one: Load) -> str:
    tool: rules.Tool = "iptables-legacy" if one.tool == "iptables-legacy" else "iptables-nft"
    return rules.attempt([rules.Load(netns=None, tool=tool, family=one.family, text=one.text)])[0]


def refusals(one: Load, said: str) -> tuple[list[Refusal], Load]:
    """Return all that `one`, which was refused with `said`, is refused for, and what is left of it without that.

    Each line that is refused is taken out, and the rest tried again, in the namespace of this thread. iptables-legacy
    does not know which rule the kernel refused: then iptables-nft is asked, whose kernel is the same.
    """
    found: list[Refusal] = []
    while said and len(found) < _MOST_REFUSALS:
        lines = one.text.split("\n")
        number = _number(said, lines)
        if one.tool == "iptables-legacy" and 0 < number <= len(lines) and lines[number - 1] == "COMMIT":
            other = replace(one, tool="iptables-nft")
            (told,) = load([other])
            said, number = told or said, _number(told, lines) or number
        if not 0 < number <= len(lines) or not _is_rule(lines[number - 1]):
            found.append(Refusal(number=0, line="", reason=_short(said)))
            break
        found.append(Refusal(number=number, line=lines[number - 1].strip(), reason=_short(said)))
        lines[number - 1] = ""
        one = replace(one, text="\n".join(lines))
        (said,) = load([one])
    if said and len(found) == _MOST_REFUSALS:
        found.append(Refusal(number=0, line="", reason=f"and there are more than these {_MOST_REFUSALS}"))
    return found, one


def _is_rule(line: str) -> bool:
    """Return whether a line can be left out alone."""
    text = line.strip()
    return text not in ("", "COMMIT") and not text.startswith(("*", ":")) and not text.endswith(("{", "}"))


def _number(said: str, lines: Sequence[str]) -> int:
    """Return the number of the line that is meant; of what was loaded in pieces the line is quoted."""
    quoted = _QUOTED.search(said)
    if quoted and quoted[2] in lines:
        number = int(quoted[1])
        return number if lines[number - 1 : number] == [quoted[2]] else lines.index(quoted[2]) + 1
    found = _LINE.search(said)
    return int(found[1] or found[2]) if found else 0


def _short(said: str) -> str:
    """Return what is new in a program's words: neither its name, nor the line's number, nor the advice to read more."""
    lines = [line.strip() for line in _QUOTED.sub("", said).splitlines()]
    worth = [line for line in lines if line and not line.startswith(("Try ", "Error occurred", "^", "line "))]
    text = " ".join(worth[:2])
    text = re.sub(r"^.*(?:restore v\S+ \(\w+\):|exit \d+:)\s*", "", text)
    text = re.sub(r"^/dev/stdin:[\d:-]+ Error: ", "", text)
    return re.sub(r"\s+", " ", text) or "the kernel refuses it"
