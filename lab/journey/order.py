"""What was seen of one packet, put into the order in which it happened.

Taps have a time, events have none: those of one namespace come in their order, and where they belong between its taps
is a matter of cause. PREROUTING is behind the interface by which the packet came in (and before the bridge's own, if
br_netfilter asks iptables about its frames), POSTROUTING before the one by which it leaves, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.journey.sight import LOOPBACK, Pass, first_tuple, is_own, last_tuple, ttl_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.journey.sight import Places, Sight
    from lab.model.trace import Tap

_IMPOSSIBLE, _WRONG, _ODD, _LATE = 16, 4, 2, 1  # how much a place is against the cause of things


def ordered(
    taps: Sequence[Tap], passes: Mapping[str, Sequence[Pass]], places: Places, bridged: Mapping[str, bool]
) -> tuple[Sight, ...]:
    """Return taps (which come in the order of time) and each namespace's passes in one order.

    `bridged`: by namespace, whether frames that pass a bridge pass iptables too.
    """
    keyed: list[tuple[tuple[int, int, int, int, int], Sight]] = [((at, 0, 0, 0, 0), tap) for at, tap in enumerate(taps)]
    for at, (netns, mine) in enumerate(passes.items()):
        here = [place for place, tap in enumerate(taps) if tap.netns == netns]
        if not here:
            left = ttl_of(mine[0])
            keyed += (((_behind(mine[0], taps), 1, -left, at, number), one) for number, one in enumerate(mine))
            continue
        gaps = _gaps(mine, [taps[place] for place in here], places, bridged=bridged.get(netns, True))
        for number, (one, gap) in enumerate(zip(mine, gaps, strict=True)):
            keyed.append(((here[gap - 1], 1, 0, 0, number) if gap else (here[0], -1, 0, 0, number), one))
    return tuple(sight for _, sight in sorted(keyed, key=lambda pair: pair[0]))


def _behind(one: Pass, taps: Sequence[Tap]) -> int:
    """Return behind which tap a machine belongs that was not tapped: the last where as many hops were left."""
    left = ttl_of(one)
    if one.hook == "OUTPUT" or not left:
        return -1
    return max((at for at, tap in enumerate(taps) if ttl_of(tap) >= left), default=-1)


def _gaps(mine: Sequence[Pass], taps: Sequence[Tap], places: Places, *, bridged: bool) -> list[int]:
    """Return for each pass behind how many of the namespace's taps it is: the order that is least against the cause."""
    gaps = range(len(taps) + 1)
    best: list[tuple[int, list[int]]] = []  # by the gap of the last pass: how much its way there costs
    for number, one in enumerate(mine):
        here = [_cost(one, taps, gap, places) + _bridge(one, taps, gap, places, bridged=bridged) for gap in gaps]
        came = [_came(taps, gap, one) for gap in gaps]
        if number:
            left = [_left(mine[number - 1], taps, gap) for gap in gaps]
            best = [(cost + here[gap], [*way, gap]) for gap, (cost, way) in enumerate(_onward(best, left, came))]
        else:
            best = [(here[gap] + came[gap], [gap]) for gap in gaps]
    return min(((cost + _left(mine[-1], taps, way[-1]), way) for cost, way in best), key=lambda pair: pair[0])[1]


def _onward(
    best: Sequence[tuple[int, list[int]]], left: Sequence[int], came: Sequence[int]
) -> Iterator[tuple[int, list[int]]]:
    """Yield for each gap the cheapest way to the next pass there: from an earlier gap, or the last pass is in it, too.

    `left`, `came`: by gap, how much the packet's addresses speak against taps between the two passes, since they change
    within hooks alone. Each gap is looked at once: a packet that goes in a circle has hundreds of passes and taps.
    """
    least: tuple[int, list[int]] | None = None
    for gap, (cost, way) in enumerate(best):
        cheapest = cost, way
        if least is not None and least[0] + came[gap] <= cost:
            cheapest = least[0] + came[gap], least[1]
        yield cheapest
        if least is None or cost + left[gap] < least[0]:
            least = cost + left[gap], way


def _came(taps: Sequence[Tap], gap: int, one: Pass) -> int:
    first = first_tuple(one)
    return _IMPOSSIBLE if gap and first is not None and first_tuple(taps[gap - 1]) != first else 0


def _left(one: Pass, taps: Sequence[Tap], gap: int) -> int:
    last = one.events[-1]
    whole = last.packet is not None and is_own(last)  # it shows the packet behind the hook's other rules
    return _IMPOSSIBLE if whole and gap < len(taps) and first_tuple(taps[gap]) != last_tuple(one) else 0


def _cost(one: Pass, taps: Sequence[Tap], gap: int, places: Places) -> int:
    """Return how much it is against the cause of things that a pass is between two taps of its namespace."""
    before = taps[gap - 1] if gap else None
    behind = taps[gap] if gap < len(taps) else None
    came = before is not None and before.direction == "in"
    leaves = behind is not None and (behind.direction == "out" or behind.interface == LOOPBACK)
    cost = _hops(one, before, behind)
    match one.hook:
        case "PREROUTING":
            cost += 0 if came else _WRONG
            cost += 0 if before is None or _is(one.iif, before, places) else _ODD
        case "INPUT":
            cost += 0 if came else _WRONG
            cost += _ODD if behind is not None and behind.direction == "in" and before is not None else 0
        case "FORWARD":
            cost += (0 if came else _ODD) + (0 if leaves or behind is None else _ODD)
        case "OUTPUT":
            cost += (_ODD if came else 0) + (0 if leaves else _WRONG)
        case "POSTROUTING":
            cost += (_LATE if behind is None else 0) if leaves or behind is None else _WRONG
            cost += 0 if behind is None or _is(one.oif, behind, places) else _ODD
            cost += _ODD if before is not None and before.direction == "out" else 0
    return cost


def _hops(one: Pass, before: Tap | None, behind: Tap | None) -> int:
    """Return how much the hops that are left speak against a place: they never grow, in circles neither."""
    left = ttl_of(one)
    grown = before is not None and 0 < ttl_of(before) < left
    return _IMPOSSIBLE * (grown + (behind is not None and ttl_of(behind) > left > 0))


def _is(interface: str, tap: Tap, places: Places) -> bool:
    """Return whether a hook's interface is the one of a tap, or the bridge that this is a port of."""
    return not interface or interface in (tap.interface, places.master(tap.netns, tap.interface))


def _bridge(one: Pass, taps: Sequence[Tap], gap: int, places: Places, *, bridged: bool) -> int:
    """Return what speaks against a place because of bridges.

    With br_netfilter, PREROUTING is between a port and the bridge's own interface, else behind both. A frame whose
    destination PREROUTING changed may be sent out of the bridge's interface, to find the receiver's MAC, and is then
    forwarded as a frame: FORWARD and POSTROUTING are behind that, and the hops that it has left are as many as before
    (br_nf_pre_routing_finish_bridge of net/bridge/br_netfilter_hooks.c).
    """
    before = taps[gap - 1] if gap else None
    behind = taps[gap] if gap < len(taps) else None
    if one.hook == "PREROUTING" and before is not None:
        port = places.master(before.netns, before.interface)
        if port and port == one.iif:  # it came in by a port
            return 0 if bridged else _LATE
        follows = behind is not None and behind.direction == "in" and places.master(behind.netns, behind.interface)
        return _LATE if follows else 0
    if one.hook in ("FORWARD", "POSTROUTING") and behind is not None and behind.direction == "out":
        unrouted = any(tap.direction == "in" and ttl_of(tap) == ttl_of(one) for tap in taps[:gap])
        return _IMPOSSIBLE if unrouted and places.is_bridge(behind.netns, behind.interface) else 0
    return 0
