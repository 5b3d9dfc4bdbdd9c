"""Conntrack's flows: each direction beside the other, with names beside addresses."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from lab import words
from lab.report.table import PLAIN, Look, paint, table, widest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.model.address import IPAddress
    from lab.model.flow import Flow, Tuple
    from lab.words import Names

Shape = Literal["beside", "stacked", "under"]
"""How a flow's directions stand: beside each other in two lines, in four, or the reply's under the request's."""

_PROTO, _STATE = "PROTO\nMARK", "STATE\nTCP STATE"
_HEADERS: dict[Shape, tuple[str, ...]] = {
    "beside": (_PROTO, "REQUEST", "REPLY", "NAT", _STATE),
    "stacked": (_PROTO, "REQUEST", "REPLY", "NAT", _STATE),
    "under": (_PROTO, "REQUEST\nREPLY", "NAT", _STATE),
}


def text(flows: Iterable[Flow], names: Names, look: Look = PLAIN) -> str:
    """Return a table for each node: a flow takes two lines, or four where the names are too long for the width."""
    ordered = sorted(flows, key=lambda flow: flow.node)
    fitting = (one for one in _HEADERS if widest(_table(ordered, names, PLAIN, one)) <= look.width)
    shape: Shape = next(fitting, "under")
    parts = []
    for node, group in groupby(ordered, key=lambda flow: flow.node):
        own = list(group)
        title = paint(f"{node}: {words.count(len(own), 'flow')}", "bold", look)
        parts.append(f"{title}\n{_table(own, names, look, shape)}")
    return "\n\n".join(parts) or "no flows"


def _table(flows: list[Flow], names: Names, look: Look, shape: Shape) -> str:
    return table([_row(flow, names, look, shape) for flow in flows], _HEADERS[shape], look)


def _row(flow: Flow, names: Names, look: Look, shape: Shape) -> list[str]:
    zone = f"\nzone {flow.zone}" if flow.zone else ""
    state = paint(flow.state, "green" if flow.answered else "yellow", look)
    ways = [_way(way, names, stacked=shape == "stacked") for way in (flow.original, flow.reply)]
    return [
        f"{flow.protocol}\n{flow.mark:#x}{zone}",
        *(["\n".join(ways)] if shape == "under" else ways),
        "\n".join(translations(flow, names)) or "none",
        f"{state}\n{flow.tcp_state}".rstrip(),
    ]


def _way(way: Tuple, names: Names, *, stacked: bool) -> str:
    source, destination = words.place(way.src, way.sport, names), words.place(way.dst, way.dport, names)
    if not stacked:
        return f"{source}\n-> {destination}"
    return source.replace(" ", "\n") + "\n-> " + destination.replace(" ", "\n   ")


def translations(flow: Flow, names: Names) -> list[str]:
    """Return `DNAT web-2` and `SNAT node-1` (to whom), as far as they were done."""
    done = []
    if flow.dnat:
        done.append(f"DNAT {_to(flow.original.dst, flow.reply.src, flow.reply.sport, names)}")
    if flow.snat:
        done.append(f"SNAT {_to(flow.original.src, flow.reply.dst, flow.reply.dport, names)}")
    return done


def _to(before: IPAddress, after: IPAddress, port: int, names: Names) -> str:
    return f"port {port}" if before == after else names.get(after, str(after))


def data(flows: Iterable[Flow], names: Names) -> list[dict[str, Any]]:
    """Return an object for each flow.

    Keys: `node`, `protocol`, `original` and `reply` (each `src`, `src_name`, `sport`, `dst`, `dst_name`, `dport`; a
    name may be empty), `dnat` and `snat` (booleans), `mark`, `zone`, `state`, `tcp_state`, `status` (IPS_* bits by
    name), `timeout_s`, `id`.
    """
    return [
        {
            "node": flow.node,
            "protocol": flow.protocol,
            "original": way_data(flow.original, names),
            "reply": way_data(flow.reply, names),
            "dnat": flow.dnat,
            "snat": flow.snat,
            "mark": flow.mark,
            "zone": flow.zone,
            "state": flow.state,
            "tcp_state": flow.tcp_state,
            "status": sorted(flow.status),
            "timeout_s": flow.timeout_s,
            "id": flow.id,
        }
        for flow in flows
    ]


def way_data(way: Tuple, names: Names) -> dict[str, Any]:
    """Return one direction's ends, as `data` has them."""
    return {
        "src": str(way.src),
        "src_name": names.get(way.src, ""),
        "sport": way.sport,
        "dst": str(way.dst),
        "dst_name": names.get(way.dst, ""),
        "dport": way.dport,
    }
