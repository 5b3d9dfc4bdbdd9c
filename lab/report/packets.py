"""A packet on one line, as it passes an interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lab import words

if TYPE_CHECKING:
    from lab.model.packet import Packet
    from lab.words import Names


def line(
    packet: Packet,
    names: Names,
    *,
    time_ns: int,
    interface: str,
    direction: Literal["in", "out"],
    mark: int | None,
    width: int = 0,
) -> str:
    """Return `10:01:02.000123 node-1/cbr0 in  client-a 10.244.1.3:40212 -> svc/web 10.96.0.10:80 tcp [S] mark 0x4000`.

    `time_ns` since the epoch is shown as the time of day, UTC; a mark of 0 is not shown. `width`: that of `interface`.
    """
    marked = f" mark {mark:#x}" if mark else ""
    return f"{words.clock(time_ns)} {interface:{width}} {direction:3} {text(packet, names)}{marked}"


def text(packet: Packet, names: Names) -> str:
    """Return who sends what to whom, with names beside the addresses; a packet within it stands in parentheses."""
    ends = ""
    if packet.source is not None and packet.destination is not None:
        source = words.place(packet.source, packet.source_port, names)
        ends = f"{source} -> {words.place(packet.destination, packet.destination_port, names)} "
    inner = f"({text(packet.inner, names)})" if packet.inner else ""
    return " ".join(filter(None, (ends + packet.protocol, packet.info, inner)))
