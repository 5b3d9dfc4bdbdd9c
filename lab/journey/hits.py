"""Trace events of connections' first packets, as they come -> what the rules did with each, in one piece."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from lab.journey.deeds import (
    acts,
    element_of,
    marks,
    sets_mark,
    source_change,
    target_of,
    translates,
    untracks,
    verdict_of,
)
from lab.journey.rules import service_of, tool_of
from lab.journey.sight import carried, key_of, tuple_of
from lab.model.watch import Deed, Hit, RuleHits
from lab.proxy.names import service_of_comment

if TYPE_CHECKING:
    from lab.journey.rules import Book, Found
    from lab.journey.sight import Key
    from lab.model.flow import Flow, Tuple
    from lab.model.packet import Packet
    from lab.model.trace import Event

_MOST = 10_000
"""So many packets are remembered whose conntrack entry has not come: it follows at once, unless it was lost."""


@dataclass(slots=True)
class Packets:
    """The packets that are under way, and the events of each until it has come through its node, or to its end."""

    _events: OrderedDict[tuple[str, Key], list[Event]] = field(default_factory=OrderedDict)
    _whose: dict[tuple[str, int], Key | None] = field(default_factory=dict)
    _first: dict[tuple[str, str, Tuple], Key] = field(default_factory=dict)
    _same: dict[tuple[str, Key], Key] = field(default_factory=dict)

    def take(self, event: Event, book: Book) -> tuple[Event, ...]:
        """Add an event; return all of the packet's if it is its end, else nothing.

        An event without headers is of the packet that last had its id: the kernel uses an id again.
        """
        if event.packet is not None:
            self._whose[event.netns, event.id] = self._key(event, event.packet)
        key = self._whose.get((event.netns, event.id))
        if key is None:
            return ()
        place = (event.netns, key)
        if place not in self._events:
            self._begin(event, key)
        self._events[place].append(event)
        verdict = event.verdict or _verdict(event, book.find(event))
        return tuple(self._pop(place)) if verdict in ("drop", "reject") else ()

    def through(self, flow: Flow) -> tuple[Event, ...]:
        """Return, and forget, the events of the packet that began a flow."""
        key: Key | None = _of_entry(flow.id)
        if (flow.node, key) not in self._events:
            key = self._first.get((flow.node, flow.protocol, flow.original))
        return tuple(self._pop((flow.node, key))) if key is not None else ()

    def _key(self, event: Event, packet: Packet) -> Key | None:
        """Return what tells the event's packet from others: its conntrack entry; where the kernel is silent, itself.

        Of rules of several tools one may tell of the entry, and another one not: what the first one told counts.
        """
        own = key_of(packet)
        if own is None:
            return _of_entry(event.ct_id) if event.ct_id else None
        if not event.ct_id:
            return self._same.get((event.netns, own), own)
        if (event.netns, own) in self._events:
            return own
        self._same[event.netns, own] = _of_entry(event.ct_id)
        return _of_entry(event.ct_id)

    def _begin(self, event: Event, key: Key) -> None:
        self._events[event.netns, key] = []
        if event.packet is not None and (begun := _begun(event.netns, event.packet)) is not None:
            self._first[begun] = key
        if len(self._events) > _MOST:
            self._pop(next(iter(self._events)))

    def _pop(self, place: tuple[str, Key]) -> list[Event]:
        events = self._events.pop(place, [])
        netns, key = place
        first = next((event.packet for event in events if event.packet is not None), None)
        if first is not None and (begun := _begun(netns, first)) is not None:
            self._first.pop(begun, None)
        for event in events:
            if self._whose.get((netns, event.id)) == key:
                del self._whose[netns, event.id]
            if event.packet is not None and (own := key_of(event.packet)) is not None:
                self._same.pop((netns, own), None)
        return events


def _of_entry(number: int) -> Key:
    return "conntrack", number.to_bytes(4)


def _begun(netns: str, packet: Packet) -> tuple[str, str, Tuple] | None:
    """Return what the flow is like that a packet begins."""
    way = tuple_of(packet)
    return (netns, carried(packet).protocol, way) if way is not None else None


def hits(events: Sequence[Event], book: Book, node: str, time_ns: int) -> RuleHits | None:
    """Return what rules did with the packet that `events` are of; None if none did anything."""
    packet = next((event.packet for event in events if event.packet is not None), None)
    way = tuple_of(packet) if packet else None
    if packet is None or way is None:
        return None
    listed = [(event, book.find(event)) for event in events]
    found = tuple(_hits(listed))
    if not found:
        return None
    protocol = carried(packet).protocol
    services = (_service(event, one, way, protocol) for event, one in listed)
    return RuleHits(
        time_ns=time_ns,
        node=node,
        protocol=protocol,
        original=way,
        service=next(filter(None, services), ""),
        hits=found,
        end=_end(found[-1].deed),
    )


def _service(event: Event, found: Found, way: Tuple, protocol: str) -> str:
    return service_of(event, found.rule) or service_of_comment(element_of(found, way, protocol))


def _hits(listed: Sequence[tuple[Event, Found]]) -> Iterator[Hit]:
    callers: dict[tuple[bool, str, str, str], str] = {}
    mark: int | None = 0  # a packet has none when it comes
    for event, found in listed:
        place = (event.marked_before, event.family, event.table)
        verdict = _verdict(event, found)
        if target := target_of(verdict):
            callers[*place, target] = event.chain
        _, after = marks(event, found.rule, mark)
        path = _path(event, callers)
        for deed in _deeds(found, path[0], verdict):
            yield Hit(
                deed=deed,
                family=event.family,
                table=event.table,
                path=path,
                tool=tool_of(event, found),
                mark=after if deed == "mark" else None,
                text=found.rule.text if found.rule else "",
                comment=found.rule.comment if found.rule else "",
                handle=event.handle,
                number=found.number,
            )
        mark = after


def _verdict(event: Event, found: Found) -> str:
    """Return what followed; iptables-legacy does not tell of a policy which it is."""
    if event.kind == "policy" and not event.verdict and found.chain is not None:
        return found.chain.policy
    return verdict_of(event, found.rule)


def _deeds(found: Found, base: str, verdict: str) -> Iterator[Deed]:
    """Yield what a rule did; `base`: the base chain that the packet came to it from."""
    rule = found.rule
    if sets_mark(rule):
        yield "mark"
    if translates(rule, base):
        yield "dnat"
    if source := source_change(rule, base):
        yield source
    if untracks(found, base):
        yield "untracked"
    if acts(rule)[0]:
        yield "act"
    if verdict == "reject":
        yield "reject"
    elif verdict == "drop":
        yield "drop"


def _end(last: Deed) -> Literal["", "reject", "drop"]:
    return last if last in ("reject", "drop") else ""


def _path(event: Event, callers: dict[tuple[bool, str, str, str], str]) -> tuple[str, ...]:
    place, path = (event.marked_before, event.family, event.table), [event.chain]
    while (caller := callers.get((*place, path[0]))) and caller not in path:
        path.insert(0, caller)
    return tuple(path)
