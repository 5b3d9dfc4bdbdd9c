"""What `nft list ruleset` prints and `nft -f` reads in its block form, as the objects that `nft -j` would print.

But for a rule's `expr`: its `words` are for `lab.parse.nft_rule`, when somebody looks at the rule.

One rule is one line, but for braces that go on in the next. What is not known stays as it is, from there to the end of
its rule: `lab.parse.nft_expr` calls that unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.errors import TopologyError
from lab.parse.mistake import show
from lab.parse.nft_rule import Words, elements

FORMAT = "what `nft list ruleset` prints"
_TOKEN = re.compile(r'"[^"]*"|[{};,]|#|[^\s{};,"#]+')
_TABLE = re.compile(r"table (?:(\w+) )?(\S+) \{")
_BLOCK = re.compile(r"(chain|set|map) (\S+) \{")
_HOOK = re.compile(r"type (\w+) hook (\w+) (?:device \S+ )?priority ([^;]+);(?: policy (\w+);)?")
_OTHER = re.compile(r"(?:counter|quota|limit|ct helper|ct timeout|ct expectation|flowtable|secmark|synproxy) \S+ \{")
# The standard priority names of nft(8).
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}


def objects(text: str, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (`file:line`, object) of every table, chain, set, map and rule; `TopologyError` names what is none."""
    state = _State()
    for number, line, words in _logical(text, source):
        place = f"{source}:{number}"
        if state.skipping:
            state.skipping += line.count("{") - line.count("}")
        elif not state.table:
            begun = _TABLE.fullmatch(line)
            if begun is None:
                raise TopologyError(f"{place}: {show(line)} stands outside of a table; expected {FORMAT}")
            state.table = {"family": begun[1] or "ip", "table": begun[2]}
            yield place, {"table": {"family": state.table["family"], "name": begun[2]}}
        elif line == "}":
            if state.block is not None and state.kind != "chain":
                yield state.place, {state.kind: state.block}
            state.close()
        elif state.block is None:
            yield from _open(state, line, words, place)
        elif state.kind == "chain":
            yield from _in_chain(state, line, words, place)
        else:
            _in_set(state.block, words)
    if state.table:
        raise TopologyError(f"{source}: a block has no end: is the file complete?")


@dataclass(slots=True)
class _State:
    """In which table and block the reader is; `skipping`: how deep in a block that does not matter."""

    table: dict[str, str] = field(default_factory=dict)
    block: dict[str, Any] | None = None
    kind: str = ""
    place: str = ""
    skipping: int = 0

    def close(self) -> None:
        if self.block is not None:
            self.block = None
        else:
            self.table = {}


def _logical(text: str, source: str) -> Iterator[tuple[int, str, list[str]]]:
    """Yield number, text and words of each line; one whose braces hold elements goes on until they are closed."""
    kept, first, depth = "", 0, 0
    for number, raw in enumerate(text.split("\n"), 1):
        words = _TOKEN.findall(raw)
        if "#" in words and (words[0] == "#" or re.search(r"# handle \d+$", raw)):
            words = words[: words.index("#")]
            raw = raw[: raw.index("#")]  # noqa: PLW2901 - a handle, or a comment line; else what nft cannot tell
        if not words:
            continue
        depth += words.count("{") - words.count("}")
        opens = not kept and words[-1] == "{" and "=" not in words and "vmap" not in words and "map" not in words[1:]
        if opens or (not kept and words == ["}"]):
            depth = 0
        kept = f"{kept} {raw.strip()}".strip()
        first = first or number
        if depth <= 0:
            yield first, kept, _TOKEN.findall(kept)
            kept, first, depth = "", 0, 0
    if kept:
        raise TopologyError(f"{source}:{first}: {show(kept)} has no end: is the file complete?")


def _open(state: _State, line: str, words: list[str], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    begun = _BLOCK.fullmatch(line)
    if begun:
        state.kind, state.place = begun[1], place
        state.block = {**state.table, "name": begun[2]}
        if state.kind == "map":
            state.block["map"] = "verdict"
        elif state.kind == "chain":
            yield place, {"chain": dict(state.block)}
    elif _OTHER.fullmatch(line):
        state.skipping = 1
    elif line.startswith("flags ") and "dormant" in words:
        yield place, {"table": {"family": state.table["family"], "name": state.table["table"], "flags": ["dormant"]}}
    elif not line.startswith(("comment ", "flags ")):
        raise TopologyError(f"{place}: {show(line)} is not understood; expected {FORMAT}")


def _in_chain(state: _State, line: str, words: list[str], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    block = state.block or {}
    if words[0] == "type":
        hook = _HOOK.fullmatch(line)
        if hook is None:
            raise TopologyError(f"{place}: {show(line)} is not understood; expected {FORMAT}")
        found = {"type": hook[1], "hook": hook[2], "prio": _priority(hook[3], place), "policy": hook[4] or "accept"}
        yield place, {"chain": {**block, **found}}
    elif words[0] not in ("comment", "policy"):
        yield place, {"rule": {**state.table, "chain": block["name"], "words": words}}


def _priority(text: str, place: str) -> int:
    name, *rest = text.split()
    try:
        base = _PRIORITIES[name] if name in _PRIORITIES else int(name)
        return base + int("".join(rest) or 0)
    except ValueError:
        raise TopologyError(f"{place}: priority {show(text)}: expected a number, or one of nft's names") from None


def _in_set(block: dict[str, Any], words: list[str]) -> None:
    if words[0] == "type" and ":" in words:
        block["map"] = " ".join(words[words.index(":") + 1 :])
    elif words[0] in ("flags", "timeout"):
        block[words[0]] = [word for word in words[1:] if word != ","]
    elif words[:3] == ["elements", "=", "{"]:
        try:
            block["elem"] = elements(Words(words, 3))
        except ValueError:
            block["elem"] = [None]  # something that is not known
