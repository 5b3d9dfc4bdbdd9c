"""Events -> passes: which of them are of one packet in one hook, and which are of one time that it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.journey.sight import LOOPBACK, Pass, key_of, ttl_of
from lab.model.netfilter import HOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lab.journey.rules import Book
    from lab.journey.sight import Key
    from lab.model.netfilter import Hook
    from lab.model.trace import Event

Runs = dict["Key", dict[str, list[Pass]]]
"""Each packet's passes by namespace."""

_RANK: Mapping[Hook, int] = {"PREROUTING": 0, "OUTPUT": 0, "INPUT": 1, "FORWARD": 1, "POSTROUTING": 2}
"""In which order a packet comes to the hooks of one machine."""


def passes(events: Iterable[Event], book: Book) -> Runs:
    """Return each packet's passes, in each namespace; an event without headers is of the packet that last had its id.

    The kernel uses an id again, so each event that has headers says anew whose it is.
    """
    whose: dict[tuple[str, int], Key | None] = {}
    found: dict[Key, dict[str, list[tuple[Hook, list[Event]]]]] = {}
    for event in events:
        if event.packet is not None:
            whose[event.netns, event.id] = key_of(event.packet)
        key = whose.get((event.netns, event.id))
        if key is None:
            continue
        hook = book.hook(event)
        mine = found.setdefault(key, {}).setdefault(event.netns, [])
        if hook is not None and (not mine or mine[-1][0] != hook or _again(event, mine[-1][1])):
            mine.append((hook, [event]))
        elif mine:
            mine[-1][1].append(event)
    return {
        key: {
            netns: [Pass(netns, hook, tuple(events)) for hook, events in mine] for netns, mine in places.items() if mine
        }
        for key, places in found.items()
    }


def _again(event: Event, seen: Sequence[Event]) -> bool:
    """Return whether an event of a base chain begins a new pass through the hook that `seen` are of."""
    if event.packet is None:
        return False
    chain = (event.marked_before, event.family, event.table, event.chain)
    at = [number for number, one in enumerate(seen) if (one.marked_before, one.family, one.table, one.chain) == chain]
    if not at:
        return False
    if event.handle or not event.marked_before:  # headers come once for each base chain
        return True
    left = any(one.chain in HOOKS and one.table != event.table for one in seen[at[-1] :])
    return left or event.number <= seen[at[-1]].number


def runs(mine: Sequence[Pass]) -> list[list[Pass]]:
    """Cut a packet's passes in one namespace where they begin anew: it was sent again.

    It comes twice to the same hooks too when it goes in a circle, each time with fewer hops left, or from OUTPUT by the
    loopback interface to PREROUTING.
    """
    found: list[list[Pass]] = []
    for one in mine:
        last = found[-1][-1] if found else None
        if last is not None and (_RANK[one.hook] > _RANK[last.hook] or _goes_on(last, one)):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _goes_on(last: Pass, one: Pass) -> bool:
    if one.hook == "PREROUTING" and LOOPBACK in (one.iif, last.oif):
        return last.hook in ("OUTPUT", "POSTROUTING")
    return 0 < ttl_of(one) < ttl_of(last)
