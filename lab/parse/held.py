"""What a node's kernel holds, as a ruleset: read from iptables-save -c, or from nft's listing of kube-proxy's table.

Only what kube-proxy makes is understood here; `lab.parse.saved_rules` reads anything, for the walk.
"""

from __future__ import annotations

from typing import Any, get_args

from lab.errors import TopologyError
from lab.model.address import Family
from lab.model.nft_ruleset import TABLE, TABLE_FAMILY, Element, Hook, NftChain, NftRuleset, NftSet
from lab.model.ruleset import Chain, Ruleset, Table, TableName
from lab.parse import nft_json
from lab.parse.nft_words import words

_TABLE_NAMES: tuple[TableName, ...] = get_args(TableName)


def iptables(text: str, family: Family) -> Ruleset:
    """Return the tables mangle, filter and nat of what iptables-save printed, with everybody's chains and rules.

    Raises `TopologyError` for text that is something else.
    """
    tables: dict[TableName, dict[str, list[str]]] = {}
    chains: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        rule = line.partition("] ")[2] if line.startswith("[") else line  # behind the counters
        if line.startswith("*"):
            chains = {}
            if (name := _table_name(line[1:])) is not None:
                tables[name] = chains
        elif line.startswith(":"):
            chains[line[1:].split(" ")[0]] = []
        elif rule.startswith("-A "):
            _, chain, *rest = rule.rstrip().split(" ", 2)
            chains.setdefault(chain, []).append("".join(rest))
        elif line and line != "COMMIT" and not line.startswith("#"):
            raise TopologyError(f"line {number}: {line[:80]!r} is not what iptables-save prints")
    found = tuple(
        Table(name, tuple(Chain(chain, tuple(rules)) for chain, rules in tables[name].items()))
        for name in _TABLE_NAMES
        if name in tables
    )
    return Ruleset(family=family, tables=found)


def _table_name(text: str) -> TableName | None:
    return next((name for name in _TABLE_NAMES if name == text), None)


def nft(text: str, family: Family) -> NftRuleset | None:
    """Return kube-proxy's table of `family` in what `nft -j` listed; None if there is no such table.

    Rules are spelled as `lab.parse.nft_words` spells them: to be compared with rules that were listed, too.
    Raises `TopologyError` for text that is something else.
    """
    if not text:
        return None
    found = False
    sets: dict[str, NftSet] = {}
    chains: dict[str, dict[str, Any]] = {}
    rules: dict[str, list[str]] = {}
    for place, one in nft_json.objects(text, "nft -j"):
        ((kind, body),) = one.items()
        if body.get("family") != TABLE_FAMILY[family] or body.get("table", body.get("name")) != TABLE:
            continue
        found = True
        try:
            if kind in ("set", "map"):
                sets[body["name"]] = _set(body, kind)
            elif kind == "chain":
                chains[body["name"]] = body
            elif kind == "rule":
                rules.setdefault(body["chain"], []).append(_rule(body))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TopologyError(f"{place}: this is not what nft lists ({error})") from None
    if not found:
        return None
    return NftRuleset(
        family=family,
        sets=tuple(sets.values()),
        chains=tuple(NftChain(name, tuple(rules.get(name, ())), hook=_hook(body)) for name, body in chains.items()),
    )


def _set(body: dict[str, Any], kind: Any) -> NftSet:
    types = body["type"]
    timeout = int(body.get("timeout", 0))
    return NftSet(
        name=body["name"],
        type=types if isinstance(types, str) else " . ".join(types),
        kind=kind,
        timeout_s=timeout,
        elements=() if timeout else tuple(map(_element, body.get("elem", ()))),
    )


def _element(entry: Any) -> Element:
    key, verdict = entry if isinstance(entry, list) else (entry, "")
    comment = ""
    if isinstance(key, dict) and "elem" in key:
        comment, key = str(key["elem"].get("comment", "")), key["elem"]["val"]
    return Element(words(key), words(verdict), comment)


def _hook(body: dict[str, Any]) -> Hook | None:
    return Hook(body["type"], body["hook"], int(body["prio"])) if "hook" in body else None


def _rule(body: dict[str, Any]) -> str:
    """Return a rule's text without what its counters counted."""
    expressions = [{"counter": None} if "counter" in one else one for one in body["expr"]]
    comment = f' comment "{body["comment"]}"' if "comment" in body else ""
    return " ".join(map(words, expressions)) + comment
