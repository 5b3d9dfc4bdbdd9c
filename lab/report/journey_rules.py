"""The steps of one machine in pieces: hooks with their rules, chain by chain, and what stands between hooks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lab import words
from lab.model.journey import Step
from lab.model.netfilter import IPTABLES

if TYPE_CHECKING:
    from lab.model.trace import Tool

_HOOKS = {"hook", "rule", "verdict", "conntrack"}
_COMMENT = re.compile(r"""(?:-m comment --comment|\bcomment) (?:"(?:[^"\\]|\\.)*"|\S+) ?""")
_JUMP = re.compile(r"(?:^| )(?:-j|-g|jump|goto) (\S+)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleLine:
    """A rule to be shown, with how its chain was come to (`chains`, "" from one in the same) and its text.

    Or what conntrack did in the hook: that has neither.
    """

    step: Step
    chains: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """What happened in a hook, or in several where nothing did.

    `iif`, `oif`: by which interfaces; `mark`: the packet's when it came; `folded`: how many rules are not shown.
    """

    hooks: tuple[str, ...]
    steps: tuple[Step, ...]
    iif: str = ""
    oif: str = ""
    mark: int = 0
    rules: tuple[RuleLine, ...] = ()
    folded: int = 0


def blocks(steps: Sequence[Step]) -> Iterator[Step | tuple[Step, ...]]:
    """Yield the steps of a machine: those of one hook together, the others one by one."""
    run: list[Step] = []
    for step in steps:
        inside = step.kind in _HOOKS and step.hook is not None
        if run and (not inside or step.hook != run[0].hook or step.kind == "hook"):
            yield tuple(run)
            run = []
        if inside:
            run.append(step)
        else:
            yield step
    if run:
        yield tuple(run)


def merged(pieces: Iterable[Step | tuple[Step, ...]], usual: Tool, *, every: bool) -> Iterator[Step | Block]:
    """Yield the pieces to be shown; hooks in which nothing happened, one after the other, are one of them.

    `usual`: what rules are made by; another tool's tables are told from these.
    """
    idle: Block | None = None
    for piece in pieces:
        if isinstance(piece, Step):
            if every or piece.matters:
                if idle:
                    yield idle
                idle = None
                yield piece
            continue
        block = _block(piece, usual, every=every)
        if idle and (block.rules or block.mark != idle.mark):
            yield idle
            idle = None
        if block.rules or every:
            yield block
        else:
            idle = _joined(idle, block) if idle else block
    if idle:
        yield idle


def _joined(one: Block, other: Block) -> Block:
    steps, folded = (*one.steps, *other.steps), one.folded + other.folded
    return replace(one, hooks=(*one.hooks, *other.hooks), steps=steps, oif=other.oif or one.oif, folded=folded)


def _block(steps: tuple[Step, ...], usual: Tool, *, every: bool) -> Block:
    telling = [step for step in steps if step.kind != "hook"]
    shown = [step for step in telling if every or step.matters]
    first = steps[0]
    return Block(
        hooks=(first.hook or "",),
        steps=steps,
        iif=next((step.interface for step in steps if step.interface), ""),
        oif=next((step.out_interface for step in steps if step.out_interface), ""),
        mark=first.mark_before or 0,
        rules=tuple(_lines(shown, telling, usual, every=every)),
        folded=sum(step.kind == "rule" for step in telling) - sum(step.kind == "rule" for step in shown),
    )


def _lines(shown: Sequence[Step], told: Sequence[Step], usual: Tool, *, every: bool) -> Iterator[RuleLine]:
    """Yield the rules of a hook with the way from chain to chain between them; `told` are all that were seen."""
    paths = _paths(told)
    last: tuple[str, ...] = ()
    table = ""
    for number, step in enumerate(shown):
        if step.kind == "conntrack":
            yield RuleLine(step=step, chains="", text="")
            continue
        path = paths[id(step)]
        title = step.table if step.table in IPTABLES else f"{step.family} {step.table}"
        owner = f"{step.whose(usual)}{title}"
        way = "" if (owner, path) == (table, last) else _way(path, last if owner == table else ())
        chains = f"{words.line(owner)}: {way}" if owner != table else way
        follows = (step.table, _target(step)) in [(one.table, one.chain) for one in shown[number + 1 : number + 2]]
        said = _text(step, every=every, follows=follows)
        if said or step.moments:
            yield RuleLine(step=step, chains=chains, text=said)
            last, table = path, owner


def _target(step: Step) -> str:
    """Return the chain that a step's verdict leads to, "" if it leads to none."""
    kind, _, chain = step.verdict.partition(" ")
    return chain if kind in {"jump", "goto"} else ""


def _paths(told: Sequence[Step]) -> dict[int, tuple[str, ...]]:
    """Return for each step, by its id(), the chains from the base chain to its own."""
    found: dict[int, tuple[str, ...]] = {}
    path: list[str] = []
    last: Step | None = None
    for step in told:
        if step.kind == "conntrack":
            continue
        if last is None or (step.tool, step.table) != (last.tool, last.table):
            path = []
        elif step.chain in path:  # back to a caller
            path = path[: path.index(step.chain)]
        elif _target(last) != step.chain:
            path = []
        path.append(step.chain)
        found[id(step)] = tuple(map(words.line, path))
        last = step
    return found


def _way(path: tuple[str, ...], last: tuple[str, ...]) -> str:
    """Return how a packet came to a chain, from where it was: `A > B`, `> B` into it, `< A` back to it."""
    common = 0
    while common < min(len(path), len(last)) and path[common] == last[common]:
        common += 1
    if not common:
        return " > ".join(path)
    if common == len(last):
        return "> " + " > ".join(path[common:])
    return "< " + " > ".join(path[common - 1 :])


def _text(step: Step, *, every: bool, follows: bool) -> str:
    """Return a rule as it is written; in the short story without comment, and without the jump that is followed.

    What is left may be nothing: every packet goes on to the chain that is told of next.
    """
    if step.rule is None:
        return words.line(step.text or f"the chain ends: its policy is {step.verdict}")
    whole = words.line(step.rule.text)
    if every:
        number = f" {step.number}" if step.number else ""
        handle = f", handle {step.handle}" if step.handle else ""
        return f"rule{number}{handle}: {whole}"
    short = _COMMENT.sub("", whole).strip()
    if follows:
        short = _JUMP.sub("", short).strip()
    comment = step.rule.comment or "; ".join(_said(whole))
    if comment and ((not short and step.moments) or {"drop", "reject"} & set(step.moments)):
        short = f"{short}\n# {words.line(comment)}".strip()
    return short


def _said(text: str) -> Iterator[str]:
    """Yield the comments in a rule's text."""
    for found in _COMMENT.finditer(text):
        yield found[0].strip().removeprefix("-m comment --comment").removeprefix("comment").strip().strip('"')
