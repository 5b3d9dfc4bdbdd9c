"""A packet's journeys as a story: where it is, chain by chain, which rule and why; and one sentence at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any

from lab import words
from lab.model.journey import Explanation, Fate, Journey, Packet, Step
from lab.model.netfilter import Decide
from lab.report.table import Look, paint, wrap

_MARKS = {"drop": "dropped", "reject": "refused", "unknown": "not known"}
_MOST = 8  # ways of one kind that are named
_CHAINS = 3  # chains of rules that do not match that are named


def text(found: Explanation, look: Look | None = None, *, every: bool = False) -> str:
    """Return the story; `every`: also the rules that did not match, and every way that is like another."""
    look = look or Look()
    journeys = found.journeys
    common = _common(journeys)
    lines = [paint(_opening(found), "bold", look)]
    hook = ""
    if common:
        lines += _steps(journeys[0].steps[:common], look, every=every)
        hook = journeys[0].steps[common - 1].hook
    for number, alike in enumerate(_alike(journeys, every=every), 1):
        if len(journeys) > 1:
            lines += ["", paint(f"way {number}: {_ways(alike)}", "bold", look)]
        lines += _steps(alike[0].steps[common:], look, every=every, after=hook)
    lines += ["", *(wrap(f"note: {note}", look.width) for note in found.notes), "", wrap(sentence(found), look.width)]
    return "\n".join(lines)


def _opening(found: Explanation) -> str:
    packet, vantage = found.packet, found.vantage
    who = "itself" if vantage.is_local(packet.source) else "a pod" if vantage.is_pod(packet.source) else "outside"
    return f"{vantage.name}: a new connection from {who}, {_way(packet)} ({packet.protocol})"


def _way(packet: Packet) -> str:
    source = words.socket(packet.source, packet.source_port)
    return f"{source} -> {words.socket(packet.destination, packet.destination_port)}"


def _common(journeys: Sequence[Journey]) -> int:
    """Return how many steps all journeys have in common: up to the first choice."""
    first, *others = (journey.steps for journey in journeys)
    length = min(map(len, (first, *others)))
    for at in range(length if others else len(first)):
        if any(steps[at] is not first[at] for steps in others):
            return at
    return length


def _alike(journeys: Sequence[Journey], *, every: bool) -> list[list[Journey]]:
    """Return the journeys in groups that tell the same story but for the endpoint."""
    if every:
        return [[journey] for journey in journeys]
    groups: dict[object, list[Journey]] = {}
    for journey in journeys:
        fate = journey.fate
        hooks = tuple(dict.fromkeys(step.hook for step in journey.steps))
        groups.setdefault((fate.kind, fate.dnat, bool(fate.masquerade), fate.local, hooks), []).append(journey)
    return list(groups.values())


def _ways(alike: Sequence[Journey]) -> str:
    first, *others = (f"{_end(journey.fate)} ({_share(journey.share)})" for journey in alike)
    if not others:
        return first
    shown = others if len(others) <= _MOST else [*others[:_MOST], f"{len(others) - _MOST} more"]
    return f"{first}; in the same way {words.several(shown, 'and')}"


def _end(fate: Fate) -> str:
    return _MARKS.get(fate.kind) or words.socket(fate.destination, fate.port)


def _share(share: Fraction) -> str:
    near = share.limit_denominator(1000)
    return str(near) if abs(near - share) < Fraction(1, 1 << 28) else f"{float(share):.4%}"


def _steps(steps: Sequence[Step], look: Look, *, every: bool, after: str = "") -> Iterator[str]:
    """Yield the lines of steps, under the name of each hook; `after` is the hook that was named last."""
    hook, table = after, ""
    idle = set() if every else _idle(steps)
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
                if every or step.hook == "ROUTING" or "drop" in step.why:
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
        if step.matched is False or (_jumps(step) and _leads_nowhere(steps, at, idle)):
            idle.add(at)
    return idle


def _jumps(step: Step) -> bool:
    statements = step.rule.statements if step.rule else ()
    return any(isinstance(one, Decide) and one.verdict.kind == "jump" for one in statements)


def _leads_nowhere(steps: Sequence[Step], at: int, idle: set[int]) -> bool:
    """Return whether all that follows a jump, up to the way back to its chain or the next one, is idle."""
    here = steps[at]
    for number in range(at + 1, len(steps)):
        step = steps[number]
        if step.rule is None or (step.hook, step.table, step.chain) == (here.hook, here.table, here.chain):
            return True
        if number not in idle:
            return False
    return True


def _folded(steps: Sequence[Step]) -> str:
    silent = [step.chain for step in steps if step.matched is False]
    names = list(dict.fromkeys(silent))
    shown = names if len(names) <= _CHAINS else [*names[:_CHAINS], f"{len(names) - _CHAINS} more chains"]
    rules = words.count(len(silent), "rule")
    return f"({rules} of {words.several(shown, 'and')} {words.noun(len(silent), 'does', 'do')} not match)"


def _rule(step: Step, look: Look) -> Iterator[str]:
    rule = step.rule
    counted = "" if rule is None or rule.packets is None else f"  [{words.count(rule.packets, 'packet')} so far]"
    yield f"    {step.chain}{counted}"
    yield paint(_indented(rule.text if rule else "", 6, look), "dim", look)
    verb = {True: "matches", False: "does not match", None: "stops here"}[step.matched]
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


def sentence(found: Explanation) -> str:
    """Return the whole story in one sentence."""
    packet, node = found.packet, found.vantage.name
    service = next((journey.service for journey in found.journeys if journey.service), "")
    asked = f"{words.socket(packet.source, packet.source_port)} asked "
    asked += words.socket(packet.destination, packet.destination_port) + (f" ({service})" if service else "")
    parts = [*_chosen(found, node), *_ended(found, node)]
    return f"{asked}: {'; '.join(parts)}."


def _chosen(found: Explanation, node: str) -> Iterator[str]:
    """Yield what is said of the packets that go on, by whether they are translated and masqueraded."""
    going = [journey for journey in found.journeys if journey.fate.kind == "accept"]
    for dnat in (True, False):
        for masked in (False, True):
            alike = [one for one in going if (one.fate.dnat, bool(one.fate.masquerade)) == (dnat, masked)]
            if not alike:
                continue
            source = f"the source becomes {node}'s own ({_reasons(alike)})" if masked else "the source stays"
            yield f"{_choice(alike, node, dnat=dnat, alone=len(found.journeys) == 1)}, {source}"


def _reasons(alike: Sequence[Journey]) -> str:
    reasons = list(dict.fromkeys(journey.fate.masquerade for journey in alike))
    return reasons[0] + (f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else "")


def _choice(alike: Sequence[Journey], node: str, *, dnat: bool, alone: bool) -> str:
    if dnat:
        shares: dict[str, Fraction] = {}
        for journey in alike:
            end = _end(journey.fate)
            shares[end] = shares.get(end, Fraction(0)) + journey.share
        named = [f"{end} ({_share(share)})" if share < 1 else end for end, share in shares.items()]
        shown = named if len(named) <= _MOST else [*named[:_MOST], f"{len(named) - _MOST} more"]
        return f"{node} chooses {words.several(shown, 'or')}"
    share = sum((journey.share for journey in alike), Fraction(0))
    where = f"it stays on {node}" if alike[0].fate.local else f"{node} lets it pass"
    return f"no rule translates it, {where}" + ("" if alone else f" ({_share(share)})")


def _ended(found: Explanation, node: str) -> Iterator[str]:
    """Yield what is said of the packets that end here."""
    verbs = {"drop": f"{node} drops it", "reject": f"{node} refuses it", "unknown": "nobody knows what becomes of it"}
    shares: dict[tuple[str, str, str], Fraction] = {}
    for journey in found.journeys:
        fate = journey.fate
        if fate.kind != "accept":
            key = (verbs[fate.kind], fate.place, fate.detail if fate.kind == "unknown" else "")
            shares[key] = shares.get(key, Fraction(0)) + journey.share
    for (verb, place, detail), share in shares.items():
        chance = "" if share == 1 else f" ({_share(share)})"
        yield f"{verb}{chance} in {place}" + (f": {detail}" if detail else "")


def data(found: Explanation, *, every: bool = False) -> dict[str, Any]:
    """Return the same as JSON-able data; `every`: also the rules that did not match."""
    vantage = found.vantage
    return {
        "node": vantage.name,
        "packet": {**_packet(found.packet), "protocol": found.packet.protocol},
        "journeys": [_journey(journey, every=every) for journey in found.journeys],
        "notes": list(found.notes),
        "sentence": sentence(found),
    }


def _journey(journey: Journey, *, every: bool) -> dict[str, Any]:
    fate = journey.fate
    return {
        "probability": float(journey.share),
        "share": str(journey.share),
        "service": journey.service,
        "fate": fate.kind,
        "destination": words.socket(fate.destination, fate.port),
        "dnat": fate.dnat,
        "masquerade": bool(fate.masquerade),
        "masquerade_reason": fate.masquerade,
        "local": fate.local,
        "decided_by": fate.place,
        "steps": [_step(step) for step in journey.steps if every or step.matched is not False],
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
    }
