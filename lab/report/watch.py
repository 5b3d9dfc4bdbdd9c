"""What `lab.watch` sees: a line each, or a JSON object each."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, assert_never

from lab import words
from lab.model.journey import whose
from lab.model.watch import VERSION, FlowChange, Hit, Loss, RuleHits, Seen
from lab.report import flows
from lab.report.table import PLAIN, Colour, Look, paint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.model.flow import Flow, Tuple
    from lab.model.trace import Tool
    from lab.words import Names

_COLOURS: dict[str, Colour] = {
    "rules": "bold",
    "reject": "red",
    "drop": "red",
    "new": "green",
    "update": "dim",
    "destroy": "yellow",
    "lost": "red",
}
_WIDTH = len("DESTROY")
_INDENT = len("10:01:02.000123 ")
_HANGING = 2
_NARROWEST = 40  # columns that are written into, however narrow the terminal
_TOGETHER = "\xa0"  # stands for a blank at which no line is broken; none is told, see `words.line`


def line(seen: Seen, names: Names, look: Look = PLAIN, *, width: int = 0, usual: Tool | None = None) -> str:
    """Return `10:01:02.000123 node-1 NEW     tcp client-a 10.244.1.3:40212 -> svc/web 10.96.0.10:80, to web-2 ...`.

    The time of day is UTC. `width`: that of a node's name. `usual`: what rules are made by; another's are told as such.
    What is longer than `look.width` goes on in lines that are indented, where each deed of the rules has its own.
    """
    kind = (seen.end if isinstance(seen, RuleHits) else "") or _kind(seen)
    head, label = f"{words.clock(seen.time_ns)} {seen.node:{width}}", f"{kind.upper():{_WIDTH}}"
    about, deeds = _about(seen, names), _deeds(seen.hits, usual) if isinstance(seen, RuleHits) else []
    said = " ".join([*about, *(unit for deed in deeds for unit in deed)])
    begin = len(f"{head} {label} ")
    if begin + len(said) > look.width:
        lines = [*_folded(about, look, begin, _INDENT)]
        lines += [line for deed in deeds for line in _folded(deed, look, _INDENT, _INDENT + _HANGING)]
        said = "\n".join(lines)[begin:]
    return f"{head} {paint(label, _COLOURS[kind], look)} {said}"


def _folded(units: Sequence[str], look: Look, indent: int, further: int) -> list[str]:
    """Return lines of units, of which none is broken that has room in a line; `further`: the other lines' indent."""
    width = max(_NARROWEST, look.width)
    room = width - further
    text = " ".join(unit.replace(" ", _TOGETHER) if len(unit) <= room else unit for unit in units)
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * further,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_TOGETHER, " ") for line in lines]


def _kind(seen: Seen) -> str:
    match seen:
        case FlowChange():
            return seen.kind
        case RuleHits():
            return "rules"
        case Loss():
            return "lost"
        case _:
            assert_never(seen)


def _about(seen: Seen, names: Names) -> list[str]:
    """Return what it is about, in units that a blank parts."""
    match seen:
        case RuleHits():
            parts = [*_way(seen.protocol, seen.original, names), *([seen.service] if seen.service else [])]
            return [*_listed(parts), f"{parts[-1]}:"]
        case FlowChange():
            flow = seen.flow
            more = {"new": _begun, "update": _changed, "destroy": _ended}[seen.kind](flow, names)
            parts = [*_way(flow.protocol, flow.original, names), *more]
            return [*_listed(parts), parts[-1]]
        case Loss():
            if seen.number is None:
                text = f"what {seen.what}'s rules do, if there are any: the kernel tells another lab.watch or lab.trace"
            else:
                text = f"{words.count(seen.number, 'event')} of {seen.what}, for which the kernel had no room"
            return text.split(" ")
        case _:
            assert_never(seen)


def _way(protocol: str, way: Tuple, names: Names) -> tuple[str, str]:
    source, destination = words.direction(way, names).split(" -> ")
    return f"{protocol} {source}", f"-> {destination}"


def _listed(parts: Sequence[str]) -> Iterator[str]:
    """Yield all parts but the last one, and a comma behind each that follows the first."""
    yield parts[0]
    yield from (f"{part}," for part in parts[1:-1])


def _deeds(hits: Sequence[Hit], usual: Tool | None) -> list[list[str]]:
    """Return `KUBE-SERVICES > KUBE-SVC-X > KUBE-SEP-Y: dnat;` and `KUBE-POSTROUTING: masquerade`, each in its units.

    Of a chain's path what the one before it had as well is left out, and so are base chains that lead elsewhere.
    """
    parts: list[str] = []
    before: Hit | None = None
    for one in hits:
        said = f"mark {one.mark:#x}" if one.deed == "mark" and one.mark is not None else one.deed
        comment = f" ({words.line(one.comment)})" if one.comment and one.deed in ("reject", "drop") else ""
        table = (one.tool, one.family, one.table)
        same_table = before is not None and table == (before.tool, before.family, before.table)
        last = before.path if before is not None and same_table else ()
        if same_table and one.path == last:
            parts[-1] += f", {said}{comment}"
        else:
            foreign = whose(one.tool, usual) if usual else ""
            parts.append(f"{foreign}{' > '.join(_chains(one.path, last))}: {said}{comment}")
        before = one
    ended = [*(f"{part};" for part in parts[:-1]), *parts[-1:]]
    return [part.replace(" > ", "\n> ").split("\n") for part in ended]


def _chains(path: tuple[str, ...], last: tuple[str, ...]) -> tuple[str, ...]:
    """Return the chains that are worth telling: behind those that lead to `last` as well, and behind the base chain."""
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, last, strict=False)))
    return path[max(shared, 1) :] or path[-1:]


def _begun(flow: Flow, names: Names) -> Iterator[str]:
    if flow.dnat:
        yield f"to {words.place(flow.reply.src, flow.reply.sport, names)}"
    if flow.snat:
        yield f"from {words.place(flow.reply.dst, flow.reply.dport, names)}"
    if flow.mark:
        yield f"mark {flow.mark:#x}"
    if flow.zone:
        yield f"zone {flow.zone}"


def _changed(flow: Flow, _: Names) -> Iterator[str]:
    if flow.tcp_state:
        yield flow.tcp_state
    yield "assured" if "assured" in flow.status else flow.state


def _ended(flow: Flow, _: Names) -> Iterator[str]:
    if not flow.answered:
        yield flow.state
    if flow.counted is not None:
        packets, octets = flow.counted
        yield f"{words.count(packets, 'packet')} {words.count(octets, 'byte')} sent"


def data(seen: Seen, names: Names) -> dict[str, Any]:
    """Return the JSON object of one, as docs/watch.md has it.

    Keys: `apiVersion`, `kind` (`Event`), `time`, `node`, `type`; of a flow `flow`, as `lab.conntrack --json` has one,
    with `packets` and `bytes`, null but at its end; of rules `protocol`, `original`, `service`, `end`, `hits`; of a
    loss `what` and `number`, null if nobody knows.
    """
    told = {
        "apiVersion": VERSION,
        "kind": "Event",
        "time": _time(seen.time_ns),
        "node": seen.node,
        "type": _kind(seen),
    }
    match seen:
        case RuleHits():
            return {
                **told,
                "protocol": seen.protocol,
                "original": flows.way_data(seen.original, names),
                "service": seen.service,
                "end": seen.end,
                "hits": [_hit(one) for one in seen.hits],
            }
        case FlowChange():
            (flow,) = flows.data([seen.flow], names)
            packets, octets = seen.flow.counted or (None, None)
            return {**told, "flow": {**flow, "packets": packets, "bytes": octets}}
        case Loss():
            return {**told, "what": seen.what, "number": seen.number}
        case _:
            assert_never(seen)


def _hit(one: Hit) -> dict[str, Any]:
    return {
        "deed": one.deed,
        "family": one.family,
        "table": one.table,
        "tool": one.tool,
        "path": list(one.path),
        "mark": one.mark,
        "rule": one.text,
        "comment": one.comment,
        "handle": one.handle,
        "number": one.number,
    }


def _time(time_ns: int) -> str:
    """Return RFC 3339's form, in UTC, to the microsecond."""
    day = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{day:%Y-%m-%d}T{words.clock(time_ns)}Z"
