"""A journey beside what the rules say of it: in two columns, or, where these would be narrow, in one."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lab import words
from lab.model import walk
from lab.report.table import PLAIN, Look, mark, paint, table, wrap

if TYPE_CHECKING:
    from lab.model import journey
    from lab.model.predicted import Compared, Pair, Visit

BESIDE = 100
"""So many columns are wanted for two columns of rules."""

_SIDES = ["PREDICTED", "OBSERVED"]


def text(found: Compared, look: Look = PLAIN) -> str:
    """Return each visit with its rules, the differences marked, and whether all agree."""
    parts = [_visit(visit, look) for visit in found.visits]
    parts += [wrap(f"note: {note}", look.width) for note in found.notes]
    parts.append(_verdict(found, look))
    return "\n\n".join(parts)


def _visit(visit: Visit, look: Look) -> str:
    packet = visit.packet
    ends = f"{words.socket(packet.source, packet.source_port)} -> "
    ends += words.socket(packet.destination, packet.destination_port)
    title = wrap(f"{visit.node}: {ends} ({packet.protocol}), mark {packet.mark:#x}", look.width)
    wide = look.width >= BESIDE
    rows = [*_rows(visit, look, (look.width - 7) // 2 if wide else look.width - 16)]
    if wide:
        told = table([[sign or " ", left, right or " "] for sign, left, right in rows], ["", *_SIDES], look)
    else:
        told = table([[sign or " ", _stacked(left, right)] for sign, left, right in rows], ["", "RULE"], look)
    lines = [paint(title, "bold", look), wrap(_which(visit), look.width), told]
    lines += [textwrap.indent(wrap(line, look.width - 3), "   ") for line in _differences(visit)]
    return "\n".join(lines)


def _which(visit: Visit) -> str:
    """Say which of the ways that the rules leave open it was."""
    if visit.ways == 1:
        return "the rules leave one way"
    condition = f", if {words.several(visit.assumed, 'and')}" if visit.assumed else ""
    return f"one of {visit.ways} ways that the rules leave, taken by {words.share(visit.share)} of packets{condition}"


def _rows(visit: Visit, look: Look, width: int) -> Iterator[list[str]]:
    """Yield the rules of each hook and table, and what became of the packet, in cells of at most `width` columns."""
    for (hook, name), pairs in groupby(visit.pairs, key=lambda pair: (pair.hook, pair.table)):
        yield ["", paint(f"{hook}, table {name}", "dim", look), ""]
        for pair in pairs:
            ours = _side(pair, pair.predicted, width) if pair.predicted else "(not expected)"
            missing = "(not shown)" if pair.reached else "(it did not come so far)"
            its = _side(pair, pair.observed, width) if pair.observed else missing
            yield [mark(not pair.difference, look) if pair.reached else "", ours, its]
    ends = (wrap(f"end: {one}", width) for one in (visit.predicted, visit.observed))
    yield ["" if visit.unknown else mark(not visit.difference, look), *ends]


def _side(pair: Pair, step: walk.Step | journey.Step, width: int) -> str:
    """Return `KUBE-SEP-X 2: accept, to 10.244.1.2:8080`, in two lines if it is too long; a policy has no number."""
    rule = f"{pair.chain} {pair.number or 'policy'}:"
    deeds = ", ".join(_deeds(step))
    if len(rule) + len(deeds) < width:
        return f"{rule} {deeds}"
    return f"{rule}\n{textwrap.indent(wrap(deeds, width - 2), '  ')}"


def _deeds(step: walk.Step | journey.Step) -> Iterator[str]:
    """Yield what a rule did: its verdict, a new destination, a new source, a new mark."""
    yield step.verdict or "matched"
    (before, mark_before), (after, mark_after) = _ends(step)
    if isinstance(step, walk.Step):
        if step.after.masqueraded and not step.before.masqueraded:
            yield f"from {step.after.new_source or 'its own address'}"
    elif step.before.src != step.after.src:
        yield f"from {step.after.src}"
    if before != after:
        yield f"to {after}"
    if mark_before != mark_after and mark_after is not None:
        yield f"mark {mark_after:#x}"


def _ends(step: walk.Step | journey.Step) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
    """Return where a packet goes and its mark, before a rule and behind it."""
    if isinstance(step, walk.Step):
        return (_to(step.before), step.before.mark), (_to(step.after), step.after.mark)
    before, after = step.before, step.after
    begun = words.socket(before.dst, before.dport), step.mark_before
    return begun, (words.socket(after.dst, after.dport), step.mark_after)


def _to(packet: walk.Packet) -> str:
    return words.socket(packet.destination, packet.destination_port)


def _stacked(predicted: str, observed: str) -> str:
    if predicted == observed or not observed:
        return predicted
    sides = (("predicted", predicted), ("observed ", observed))
    return "\n".join(f"{side}  {text}".replace("\n", "\n" + " " * 11) for side, text in sides)


def _differences(visit: Visit) -> Iterator[str]:
    for pair in visit.pairs:
        if pair.difference:
            yield f"{pair.table} {pair.chain} {pair.number or 'policy'}: {pair.difference}"
    if visit.difference:
        yield f"end: {visit.difference}"


def _verdict(found: Compared, look: Look) -> str:
    if not found.visits:
        return "the request came to no node: there is nothing to compare"
    met = words.count(sum(bool(pair.observed) for visit in found.visits for pair in visit.pairs), "rule")
    nodes = words.count(len(found.visits), "visit to a node", "visits to nodes")
    if found.agrees:
        return paint(wrap(f"predicted and observed agree: {met} on {nodes}", look.width), "green", look)
    wrong = sum(len(list(_differences(visit))) for visit in found.visits)
    told = f"predicted and observed differ: {words.count(wrong, 'difference')} on {nodes}"
    return paint(wrap(told, look.width), "red", look)


def data(found: Compared) -> dict[str, Any]:
    """Return the comparison.

    Keys: `agrees`; `notes`; `visits`, each with `node`, `packet` (`source`, `destination`, `protocol`, `mark`), `ways`,
    `share`, `assumed`, `agrees`, `rules` and `end` (`predicted`, `observed`, `difference`). Each of `rules` has `hook`,
    `table`, `chain`, `number` (0: the chain's policy), `rule`, `reached`, `difference`, and `predicted` and `observed`:
    null, or `verdict`, `destination` and `mark` behind it; `why` too if it is predicted.
    """
    return {
        "agrees": found.agrees,
        "visits": [
            {
                "node": visit.node,
                "packet": {
                    "source": words.socket(visit.packet.source, visit.packet.source_port),
                    "destination": _to(visit.packet),
                    "protocol": visit.packet.protocol,
                    "mark": visit.packet.mark,
                },
                "ways": visit.ways,
                "share": str(visit.share),
                "assumed": list(visit.assumed),
                "agrees": visit.agrees,
                "rules": [_rule(pair) for pair in visit.pairs],
                "end": {"predicted": visit.predicted, "observed": visit.observed, "difference": visit.difference},
            }
            for visit in found.visits
        ],
        "notes": list(found.notes),
    }


def _rule(pair: Pair) -> dict[str, Any]:
    rule = next((step.rule for step in (pair.predicted, pair.observed) if step and step.rule), None)
    return {
        "hook": pair.hook,
        "table": pair.table,
        "chain": pair.chain,
        "number": pair.number,
        "rule": rule.text if rule else None,
        "reached": pair.reached,
        "predicted": _told(pair.predicted) | {"why": pair.predicted.why} if pair.predicted else None,
        "observed": _told(pair.observed) if pair.observed else None,
        "difference": pair.difference,
    }


def _told(step: walk.Step | journey.Step) -> dict[str, Any]:
    _, (destination, behind) = _ends(step)
    return {"verdict": step.verdict, "destination": destination, "mark": behind}
