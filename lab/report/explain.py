"""A packet's ways as a story: where it is, chain by chain, which rule and why; and one sentence at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from lab import words
from lab.model.netfilter import Decide
from lab.model.walk import Explanation, Packet, Step, Way
from lab.report.outcome import MOST, assumed, provided, sentence, shares
from lab.report.table import PLAIN, Look, paint, wrap

_CHAINS = 3  # chains of rules that do not match that are named


def text(found: Explanation, look: Look = PLAIN, *, every: bool = False) -> str:
    """Return the story; `every`: also the rules that did not match, and every way that is like another."""
    ways = found.ways
    common = _common([way.steps for way in ways])
    lines = [paint(_opening(found), "bold", look)]
    if common:
        idle = set.intersection(*(_idle(way.steps) for way in ways))
        lines += _steps(ways[0].steps[:common], look, idle=set() if every else idle)
    told: list[Sequence[Step]] = []
    for alike in _alike(ways, every=every):
        steps = alike[0].steps
        begun, like = max([(common, 0), *((_common([steps, other]), -at) for at, other in enumerate(told))])
        told.append(steps)
        if len(ways) > 1:
            lines += ["", wrap(paint(f"way {len(told)}: {_ways(alike)}", "bold", look), look.width)]
        if begun > common:
            lines.append(f"    (as way {1 - like}, up to here)")
        idle = set() if every else {at - begun for at in _idle(steps)}
        lines += _steps(steps[begun:], look, idle=idle, after=steps[begun - 1].hook if begun else "")
    lines += ["", *(wrap(f"note: {note}", look.width) for note in found.notes), "", wrap(sentence(found), look.width)]
    return "\n".join(lines)


def _opening(found: Explanation) -> str:
    packet, vantage = found.packet, found.vantage
    who = "itself" if vantage.is_local(packet.source) else "a pod" if vantage.is_pod(packet.source) else "outside"
    if who == "outside" and not vantage.pods:
        who = "a pod or another machine"  # nobody said where pods live
    return f"{vantage.name}: a new connection from {who}, {_ends(packet)} ({packet.protocol})"


def _ends(packet: Packet) -> str:
    source = words.socket(packet.source, packet.source_port)
    return f"{source} -> {words.socket(packet.destination, packet.destination_port)}"


def _common(ways: Sequence[Sequence[Step]]) -> int:
    """Return how many steps all ways have in common: up to the first choice."""
    first, *others = ways
    length = min(map(len, (first, *others)))
    for at in range(length if others else len(first)):
        if any(steps[at] is not first[at] for steps in others):
            return at
    return length


def _alike(ways: Sequence[Way], *, every: bool) -> list[list[Way]]:
    """Return the ways in groups that tell the same story but for the endpoint."""
    if every:
        return [[way] for way in ways]
    groups: dict[object, list[Way]] = {}
    for way in ways:
        fate = way.fate
        hooks = tuple(dict.fromkeys(step.hook for step in way.steps))
        outcome = (fate.kind, fate.dnat, bool(fate.masquerade), fate.local)
        groups.setdefault((*outcome, hooks, assumed(way)), []).append(way)
    return list(groups.values())


def _ways(alike: Sequence[Way]) -> str:
    first, *others = (f"{end} ({words.share(share)})" for end, share in shares(alike).items())
    condition = f", if {provided(alike[0])}" if alike[0].assumed else ""
    if not others:
        return f"{first}{condition}"
    return f"{first}; in the same way {words.several(words.few(others, MOST), 'and')}{condition}"


def _steps(steps: Sequence[Step], look: Look, *, idle: set[int], after: str = "") -> Iterator[str]:
    """Yield the lines of steps, under the name of each hook.

    `idle`: the steps, by their numbers, that are not told one by one. `after` is the hook that was named last.
    """
    hook, table = after, ""
    for (silent, at), run in groupby(enumerate(steps), key=lambda one: (one[0] in idle, one[1].hook)):
        group = [step for _, step in run]
        if at != hook:
            yield f"\n{at}"
            hook, table = at, ""
        if silent:
            if any(step.matched is False for step in group):
                yield paint(f"    {_folded(group)}", "dim", look)
            continue
        for step in group:
            if step.rule is None:
                yield _indented(f"{step.chain}: {step.why}" if step.chain else step.why, 2, look)
                continue
            if step.table != table:
                yield f"  table {step.table}"
                table = step.table
            yield from _rule(step, look)


def _idle(steps: Sequence[Step]) -> set[int]:
    """Return the numbers of steps where nothing happens: rules that do not match, jumps that lead to these alone."""
    idle: set[int] = set()
    for at in range(len(steps) - 1, -1, -1):
        step = steps[at]
        quiet = step.matched is False or _passed(step) or (_jumps(step) and _leads_nowhere(steps, at, idle))
        if quiet and step.before.assumed == step.after.assumed:
            idle.add(at)
    return idle


def _passed(step: Step) -> bool:
    """Return whether this is but the end of a hook's chain, which lets the packet pass."""
    return step.rule is None and step.hook != "ROUTING" and not step.why.endswith("drop")


def _jumps(step: Step) -> str:
    """Return the chain that a rule jumps to, "" if it does not."""
    statements = step.rule.statements if step.rule else ()
    return next(
        (one.verdict.target for one in statements if isinstance(one, Decide) and one.verdict.kind == "jump"), ""
    )


def _leads_nowhere(steps: Sequence[Step], at: int, idle: set[int]) -> bool:
    """Return whether all that follows a jump, up to the way back from the chain that it leads to, is idle."""
    inside = {_jumps(steps[at])}
    for number in range(at + 1, len(steps)):
        step = steps[number]
        if step.rule is None or step.chain not in inside:
            return True
        if number not in idle:
            return False
        inside.add(_jumps(step))
    return True


def _folded(steps: Sequence[Step]) -> str:
    silent = [step.chain for step in steps if step.matched is False]
    shown = words.few(list(dict.fromkeys(silent)), _CHAINS, "more chains")
    rules = words.count(len(silent), "rule")
    return f"({rules} of {words.several(shown, 'and')} {words.noun(len(silent), 'does', 'do')} not match)"


def _rule(step: Step, look: Look) -> Iterator[str]:
    rule = step.rule
    counted = "" if rule is None or rule.packets is None else f"  [{words.count(rule.packets, 'packet')} so far]"
    yield f"    {step.chain}{counted}"
    yield paint(_indented(rule.text if rule else "", 6, look), "dim", look)
    verb = {True: "matches", False: "does not match", None: "stops here"}[step.matched]
    if step.matched is None and not step.why.startswith("unknown"):
        verb = "goes on"
    yield _indented(f"{verb}: {step.why}", 6, look)


def _indented(shown: str, by: int, look: Look) -> str:
    return textwrap.fill(
        words.line(shown),
        max(40, look.width),
        initial_indent=" " * by,
        subsequent_indent=" " * (by + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def data(found: Explanation, *, every: bool = False) -> dict[str, Any]:
    """Return the same as JSON-able data; `every`: also the rules that did not match."""
    vantage = found.vantage
    return {
        "node": vantage.name,
        "packet": {**_packet(found.packet), "protocol": found.packet.protocol},
        "ways": [_way(way, every=every) for way in found.ways],
        "notes": list(found.notes),
        "sentence": sentence(found),
    }


def _way(way: Way, *, every: bool) -> dict[str, Any]:
    fate = way.fate
    return {
        "probability": float(way.share),
        "share": str(way.share),
        "if": list(assumed(way)),
        "service": way.service,
        "fate": fate.kind,
        "destination": words.socket(fate.destination, fate.port),
        "dnat": fate.dnat,
        "masquerade": bool(fate.masquerade),
        "masquerade_reason": fate.masquerade,
        "new_source": str(fate.source) if fate.source else None,
        "local": fate.local,
        "decided_by": fate.place,
        "steps": [_step(step) for step in way.steps if every or step.matched is not False],
    }


def _step(step: Step) -> dict[str, Any]:
    rule = step.rule
    return {
        "hook": step.hook,
        "table": step.table,
        "chain": step.chain,
        "rule": rule.text if rule else None,
        "place": rule.place if rule else None,
        "packets": rule.packets if rule else None,
        "matched": step.matched,
        "why": step.why,
        "before": _packet(step.before),
        "after": _packet(step.after),
    }


def _packet(packet: Packet) -> dict[str, Any]:
    return {
        "source": words.socket(packet.source, packet.source_port),
        "destination": words.socket(packet.destination, packet.destination_port),
        "mark": packet.mark,
        "connection_mark": packet.ct_mark,
    }
