"""Conntrack's flows: each direction beside the other, with names beside addresses."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from lab import words
from lab.report.table import PLAIN, Look, paint, table, widest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.model.address import IPAddress
    from lab.model.flow import Flow, Tuple
    from lab.words import Names

HEADERS = ("PROTO\nMARK", "REQUEST", "REPLY", "NAT", "STATE\nTCP STATE")


def text(flows: Iterable[Flow], names: Names, look: Look = PLAIN) -> str:
    """Return a table for each node: a flow takes two lines, or four where the names are too long for the width."""
    ordered = sorted(flows, key=lambda flow: flow.node)
    stacked = widest(_table(ordered, names, PLAIN, stacked=False)) > look.width
    parts = []
    for node, group in groupby(ordered, key=lambda flow: flow.node):
        own = list(group)
        title = paint(f"{node}: {words.count(len(own), 'flow')}", "bold", look)
        parts.append(f"{title}\n{_table(own, names, look, stacked=stacked)}")
    return "\n\n".join(parts) or "no flows"


def _table(flows: list[Flow], names: Names, look: Look, *, stacked: bool) -> str:
    return table([_row(flow, names, look, stacked=stacked) for flow in flows], HEADERS, look)


def _row(flow: Flow, names: Names, look: Look, *, stacked: bool) -> list[str]:
    zone = f"\nzone {flow.zone}" if flow.zone else ""
    state = paint(flow.state, "green" if flow.answered else "yellow", look)
    return [
        f"{flow.protocol}\n{flow.mark:#x}{zone}",
        _way(flow.original, names, stacked=stacked),
        _way(flow.reply, names, stacked=stacked),
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
