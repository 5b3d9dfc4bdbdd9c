"""A journey as a story to be read from top to bottom: one line down the machines, and what happened at each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from lab import words
from lab.report import flows
from lab.report.journey_rounds import SHOWN, Stay, folded, hops, stays
from lab.report.journey_rules import Block, blocks, merged
from lab.report.journey_sentence import MOMENTS, PORT_TAKEN, ending, goal, odds, outcome, sentence
from lab.report.table import PLAIN, Look, mark, paint, wrap

if TYPE_CHECKING:
    from lab.model.flow import Flow, Tuple
    from lab.model.journey import Journey, Leg, Moment, Step
    from lab.report.table import Colour

INFERRED = "~"
"""Stands before what was not observed, but concluded from what was."""

_TITLES = {"request": "REQUEST", "reply": "REPLY", "refusal": "REFUSAL", "data": "LATER PACKET"}
_ENDED: tuple[Moment, ...] = ("reject", "drop")
_TRANSLATIONS: tuple[Moment, ...] = ("dnat", "masquerade", "snat", "port-changed", "reply-translated")
_GUTTER = 3  # columns of the line down the machines, and of the sign for what is inferred
_LABEL = 21  # columns of what stands before a packet's ends, at least
_NARROWEST = 40  # columns that are written into, however narrow the terminal


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sheet:
    """What the lines have in common: `label`, `source`: columns of these; `stacked`: an end takes a line of its own."""

    journey: Journey
    look: Look
    every: bool
    label: int
    source: int
    stacked: bool

    @property
    def width(self) -> int:
        """The columns right of the gutter."""
        return max(_NARROWEST, self.look.width) - _GUTTER

    def place(self, way: Tuple, *, source: bool) -> str:
        """Return one end of a packet, with its name."""
        address, port = (way.src, way.sport) if source else (way.dst, way.dport)
        return words.place(address, port, self.journey.names)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line right of the gutter; `inferred`: whether it has the sign there."""

    text: str
    inferred: bool = False


def text(journey: Journey, look: Look = PLAIN, *, every: bool = False) -> str:
    """Return the story; `every`: also what merely passed."""
    shown = journey.legs
    sheet = _sheet(journey, shown, look, every=every)
    parts = ["\n".join(_opening(sheet)), *("\n".join(_leg(leg, sheet)) for leg in shown)]
    if any(not step.observed and (every or step.matters) for leg in shown for step in leg.steps) or any(
        not leg.end.observed for leg in shown
    ):
        parts.append(
            wrap(f"{INFERRED} is inferred from what was observed; all else the kernel itself said", look.width)
        )
    parts += [wrap(f"note: {words.line(note)}", look.width) for note in journey.notes]
    parts += _entries(sheet)
    parts.append(wrap(f"{outcome(journey)}\n", look.width))
    parts.append(paint(wrap(sentence(journey), look.width), "bold", look))
    return "\n\n".join(part.rstrip("\n") for part in parts)


def _sheet(journey: Journey, legs: Sequence[Leg], look: Look, *, every: bool) -> _Sheet:
    names = journey.names
    steps = [step for leg in legs for step in leg.steps if every or step.matters]
    ends = {way for step in steps for way in (step.before, step.after)} | {journey.original}
    label = max([_LABEL, *(len(_tap(step)) + 2 for step in steps if step.kind == "tap")])
    source = max(len(words.place(way.src, way.sport, names)) for way in ends)
    wide = _GUTTER + label + source + 4 + max(len(words.place(way.dst, way.dport, names)) for way in ends)
    return _Sheet(journey=journey, look=look, every=every, label=label, source=source, stacked=wide > look.width)


def _opening(sheet: _Sheet) -> Iterator[str]:
    journey = sheet.journey
    service = f" ({journey.service})" if journey.service else ""
    asks = f"{journey.asker} asks {goal(journey)}{service} by {journey.protocol}; the rules are {journey.tool}'s"
    yield paint(wrap(asks, sheet.look.width), "bold", sheet.look)


def _leg(leg: Leg, sheet: _Sheet) -> Iterator[str]:
    first, node, bar, last = ("┌─ ", "├─ ", "│", "└─ ") if sheet.look.unicode else ("+- ", "+- ", "|", "+- ")
    again = f", sent {leg.times} times: this is the first" if leg.times > 1 else ""
    yield f"{paint(_TITLES[leg.role], 'bold', sheet.look)}  {words.line(leg.packet)}{again}"
    seen: Tuple | None = None
    told = [step for step in leg.steps if "lost" not in step.moments or step.text != leg.end.why]  # said at the end
    for stay in stays(told) if sheet.every else folded(stays(told), SHOWN):
        if stay.rounds:
            head, *rest = _folded(_again(stay), sheet.width)
            yield from (f"{node}{head}", *(f"{bar}  {line}" for line in rest))
            continue
        yield f"{first}{paint(words.line(stay.nodes[0]), 'bold', sheet.look)}"
        for line in _station(stay.steps, seen, sheet):
            yield f"{bar}{INFERRED if line.inferred else ' '} {line.text}".rstrip()
        first, seen = node, stay.steps[-1].after
    arrived = leg.end.kind == "delivered"
    sign = f"{'' if leg.end.observed else INFERRED}{mark(arrived, replace(sheet.look, colour=False))} "
    head, *rest = _folded(sign + ending(leg.end), sheet.width)
    yield f"{last}{paint(head, 'green' if arrived else 'red', sheet.look)}"
    yield from (f"   {paint(line, 'green' if arrived else 'red', sheet.look)}" for line in rest)


def _again(stay: Stay) -> str:
    """Return what is said in place of rounds: `... 28 more rounds between node-1 and router, TTL 60 -> 4`."""
    between = words.several([words.line(node) for node in stay.nodes], "and")
    return ", ".join(filter(None, (f"... {stay.rounds} more rounds between {between}", hops(stay))))


def _station(steps: Sequence[Step], seen: Tuple | None, sheet: _Sheet) -> Iterator[_Line]:
    """Yield what happened at one machine; `seen`: what the packet looked like when it left the last one."""
    for piece in merged(blocks(steps), sheet.journey.tool, every=sheet.every):
        if isinstance(piece, Block):
            yield from _hook(piece, sheet)
        elif sheet.every or piece.matters:
            yield from _single(piece, seen, sheet)
        seen = piece.steps[-1].after if isinstance(piece, Block) else piece.after


def _single(step: Step, seen: Tuple | None, sheet: _Sheet) -> Iterator[_Line]:
    """Yield a step that stands by itself: at an interface, on a bridge, in the routing, in conntrack."""
    inferred = not step.observed
    if step.kind == "tap":
        yield from _packet(_tap(step), step.before, sheet, unlike=seen, mark_now=step.mark_before)
        yield from _wrapped(f"({words.line(step.text)})", sheet, 2) if step.text else ()
        yield from _moments(step, sheet, 0)
    elif step.kind == "bridge":
        ports = words.several([words.line(one) for one in (step.interface, step.out_interface) if one], "to")
        said = ": ".join(part for part in (f"from {ports}" if ports else "", words.line(step.text)) if part)
        if "hairpin" not in step.moments:
            yield from _labelled("bridge", said, sheet, inferred=inferred)
        yield from _moments(step, sheet, 0)
    elif step.kind == "route":
        yield from _labelled("routing", words.line(step.text), sheet, inferred=inferred)
    elif step.kind == "conntrack":
        yield from _conntrack(step, sheet, 0)


def _conntrack(step: Step, sheet: _Sheet, by: int) -> Iterator[_Line]:
    """Yield what conntrack did: made an entry, or changed a packet by one that was there."""
    if not step.moments:
        yield from _labelled(" " * by + "conntrack", words.line(step.text), sheet, inferred=not step.observed)
        return
    yield from _moments(step, sheet, by)
    if sheet.every:
        yield from _wrapped(words.line(step.text), sheet, by + 2)


def _tap(step: Step) -> str:
    return f"{words.line(step.interface)} {step.direction}"


def _hook(block: Block, sheet: _Sheet) -> Iterator[_Line]:
    """Yield a hook, or several of them where nothing happened: its interfaces, the packet's mark, its rules."""
    facts = [
        f"in by {words.line(block.iif)}" if block.iif else "",
        f"out by {words.line(block.oif)}" if block.oif else "",
        f"mark {block.mark:#x}" if block.mark else "",
    ]
    said = ", ".join(fact for fact in facts if fact)
    folded = f"({words.count(block.folded, 'rule')} passed)" if block.folded else ""
    yield from _labelled(" > ".join(block.hooks), f"{said} {folded}".strip(), sheet)
    for rule in block.rules:
        if rule.step.kind == "conntrack":
            yield from _conntrack(rule.step, sheet, 2)
            continue
        if rule.chains:
            yield from (_Line(f"  {line}") for line in _folded(rule.chains, sheet.width - 2, indent="    "))
        for line in rule.text.split("\n"):
            yield from _wrapped(line, sheet, 4, inferred=not rule.step.observed)
        yield from _moments(rule.step, sheet, 4)


def _moments(step: Step, sheet: _Sheet, by: int) -> Iterator[_Line]:
    inferred = not step.observed
    for moment in step.moments:
        if moment == "lost":
            continue  # the end of the way says so
        sign = ("✗" if sheet.look.unicode else "x") if moment in _ENDED else ("●" if sheet.look.unicode else "*")
        colour: Colour = "red" if moment in _ENDED else "yellow"
        label = f"{' ' * by}{sign} {MOMENTS[moment]}"
        if step.before != step.after and moment in _TRANSLATIONS:
            lines = list(_ends(step.after, sheet, unlike=step.before, only=True))
            padded = paint(label, colour, sheet.look) + " " * max(2, sheet.label - len(label))
            yield _Line(padded + lines[0], inferred)
            yield from (_Line(" " * sheet.label + line) for line in lines[1:])
            if moment == "port-changed" and not sheet.every:  # else the step's whole text says so
                yield from _wrapped(PORT_TAKEN, sheet, len(label) - len(label.lstrip()) + 2)
        else:
            yield from _labelled(label, _said(step, moment), sheet, inferred=inferred, colour=colour)


def _said(step: Step, moment: Moment) -> str:
    """Return what a moment is, in words."""
    match moment:
        case "choose":
            how = odds(step) or words.line(step.text)
            return f"{step.endpoint}{f', {how}' if how else ''}"
        case "mark":
            before = f", was {step.mark_before:#x}" if step.mark_before is not None else ""
            return f"{step.mark_after:#x}{before}" if step.mark_after is not None else ""
        case "mark-read":
            value = f"{step.mark_before:#x}" if step.mark_before is not None else ""
            return "; ".join(part for part in (value, words.line(step.text)) if part)
        case "act" | "untracked":
            return words.line(step.text)
        case "hairpin":
            port = words.line(step.out_interface or step.interface)
            return f"back out of {port}, which it came in by" if step.kind == "bridge" else "back to where it came from"
    return ""


def _packet(label: str, way: Tuple, sheet: _Sheet, *, unlike: Tuple | None, mark_now: int | None) -> Iterator[_Line]:
    """Yield what a packet looks like; what is other than it was (`unlike`) stands out."""
    first, *rest = _ends(way, sheet, unlike=unlike)
    marked = f"  mark {mark_now:#x}" if mark_now else ""
    yield _Line(f"{label:<{sheet.label}}{first}" + ("" if rest else marked))
    for number, line in enumerate(rest, 1):
        yield _Line(" " * sheet.label + line + (marked if number == len(rest) else ""))


def _ends(way: Tuple, sheet: _Sheet, *, unlike: Tuple | None, only: bool = False) -> list[str]:
    """Return source and destination in their columns; `only`: leave out the one that is as it was."""
    source, destination = sheet.place(way, source=True), sheet.place(way, source=False)
    same = unlike is not None and (way.src, way.sport) == (unlike.src, unlike.sport)
    same_destination = unlike is not None and (way.dst, way.dport) == (unlike.dst, unlike.dport)
    changed = unlike is not None
    first = "" if only and same else paint(source, "bold", sheet.look) if changed and not same else source
    second = destination if same_destination or not changed else paint(destination, "bold", sheet.look)
    second = "" if only and same_destination else f"-> {second}"
    if sheet.stacked:
        return [line for line in (first, second) if line]
    return [f"{first}{' ' * (sheet.source - (0 if only and same else len(source)))} {second}".rstrip()]


def _labelled(
    label: str, said: str, sheet: _Sheet, *, inferred: bool = False, colour: Colour | None = None
) -> Iterator[_Line]:
    """Yield a label and, in the columns beside it, what is said of it."""
    begin = f"{label:<{sheet.label}}" if len(label) < sheet.label else f"{label}  "
    first, *rest = _folded(said, sheet.width - len(begin)) or [""]
    painted = begin.replace(label, paint(label, colour, sheet.look)) if colour else begin
    yield _Line(f"{painted}{first}".rstrip() if said else painted.rstrip(), inferred)
    yield from (_Line(f"{' ' * len(begin)}{line}") for line in rest)


def _wrapped(said: str, sheet: _Sheet, by: int, *, inferred: bool = False) -> Iterator[_Line]:
    """Yield what is said in faint letters, so many columns to the right."""
    for number, line in enumerate(_folded(said, sheet.width - by, indent="  ")):
        yield _Line(" " * by + paint(line, "dim", sheet.look), inferred and not number)


def _folded(said: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        said, max(_NARROWEST, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _entries(sheet: _Sheet) -> Iterator[str]:
    """Yield conntrack's entries: those that translate, or the first if none does; the others are named."""
    found = sheet.journey.flows
    telling = [flow for flow in found if sheet.every or flow.dnat or flow.snat] or list(found[:1])
    others: list[Flow] = [flow for flow in found if flow not in telling]
    if telling:
        shown = flows.text(telling, sheet.journey.names, sheet.look)
        nodes = list(dict.fromkeys(flow.node for flow in others))
        said = f"({words.several(nodes, 'and')} {words.noun(len(nodes), 'has', 'have')} it as it came: no translation)"
        yield "\n".join(chain(["CONNTRACK, afterwards", shown], [said] if nodes else []))
