"""Copies of a frame that a bridge sends out of every port: it does not know behind which one the receiver is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.journey.sight import tuple_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.journey.sight import Places
    from lab.model.trace import Tap


def followed(taps: Sequence[Tap], places: Places, all_taps: Sequence[Tap]) -> list[Tap]:
    """Return the taps of one packet without those where a copy of it left for machines that did not want it."""
    if not _floods(taps, places):
        return list(taps)
    known = _behind_ports(all_taps)
    return [tap for tap in taps if not _astray(tap, taps, places, known)]


def _floods(taps: Sequence[Tap], places: Places) -> bool:
    """Return whether a packet left by several ports of one bridge."""
    ports = [(tap.netns, places.master(tap.netns, tap.interface)) for tap in taps if tap.direction == "out"]
    bridged = [port for port in ports if port[1]]
    return len(bridged) != len(set(bridged))


def _behind_ports(taps: Sequence[Tap]) -> dict[tuple[str, str], set[object]]:
    """Return which addresses have sent something by which interface."""
    found: dict[tuple[str, str], set[object]] = {}
    for tap in taps:
        if tap.direction == "in" and tap.packet.source is not None:
            found.setdefault((tap.netns, tap.interface), set()).add(tap.packet.source)
    return found


def _astray(tap: Tap, taps: Sequence[Tap], places: Places, known: dict[tuple[str, str], set[object]]) -> bool:
    """Return whether a packet left by one of several ports of a bridge at once, behind which the receiver is not."""
    bridge = places.master(tap.netns, tap.interface)
    if tap.direction == "in" or not bridge:
        return False
    others = [
        one
        for one in taps
        if one.direction == "out"
        and one.netns == tap.netns
        and one.interface != tap.interface
        and places.master(one.netns, one.interface) == bridge
    ]
    way = tuple_of(tap.packet)
    if not others or way is None:
        return False
    mine = known.get((tap.netns, tap.interface), set())
    theirs = any(way.dst in known.get((one.netns, one.interface), set()) for one in others)
    return theirs and way.dst not in mine
