"""Which packets of the evidence are told of, and what was seen of each: the request's first, the reply's, others."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.journey.order import ordered
from lab.journey.passes import Runs, passes, runs
from lab.journey.sight import ICMP, Pass, Track, carried, first_tuple, key_of, last_tuple, tuple_of
from lab.journey.strays import followed
from lab.model.address import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.journey.rules import Book
    from lab.journey.sight import Key, Places, Role
    from lab.model.flow import Flow, Tuple
    from lab.model.packet import Packet
    from lab.model.request import Reply, Request
    from lab.model.trace import Evidence, Tap

_ADVICE = {"redirect"}  # ICMP that says where to send the next ones, and refuses none
_BRIDGED = "net.bridge.bridge-nf-call-"


@dataclass(slots=True)
class Seen:
    """All that was seen, by packet. `taps` of each packet are in the order of time, and so are the packets."""

    evidence: Evidence
    places: Places
    runs: Runs
    taps: dict[Key, list[Tap]] = field(default_factory=lambda: defaultdict(list))

    @property
    def keys(self) -> list[Key]:
        """The packets: those of the taps in the order of time, then those that only events tell of."""
        return list(dict.fromkeys([*self.taps, *(key for key, mine in self.runs.items() if mine)]))

    def packets(self, key: Key) -> Iterator[tuple[str, Packet]]:
        """Yield where a packet was seen, and how it looked there, without tunnels."""
        for tap in self.taps.get(key, ()):
            yield tap.netns, carried(tap.packet)
        for netns, mine in self.runs.get(key, {}).items():
            yield from ((netns, packet) for one in mine for packet in one.packets)

    def tuples(self, key: Key) -> set[Tuple]:
        """Return how a packet looked, in all the places where it was seen."""
        return {found for _, packet in self.packets(key) if (found := tuple_of(packet)) is not None}


def look(evidence: Evidence, book: Book, places: Places) -> Seen:
    """Return what was seen, by packet."""
    seen = Seen(evidence, places, passes(evidence.events, book))
    for tap in evidence.taps:
        key = key_of(tap.packet)
        if key is not None:
            seen.taps[key].append(tap)
    return seen


def request_key(seen: Seen) -> Key | None:
    """Return the request's first packet: what the asker's socket sent, or else what looks most like it."""
    asked, reply = seen.evidence.request, seen.evidence.reply
    became = {flow.reply.inverse for flow in seen.evidence.flows if _begun(flow, asked, reply)}
    best: tuple[int, Key | None] = (0, None)
    for key in seen.keys:
        if key[0] != asked.protocol:
            continue
        for netns, packet in seen.packets(key):
            to = (packet.destination, packet.destination_port) == (asked.address, asked.port)
            home = netns == asked.netns
            local = (packet.source, packet.source_port) == reply.local if reply.local is not None else to and home
            score = 8 * (to and local) + 4 * (local and home) + 2 * (tuple_of(packet) in became) + to
            best = max(best, (score, key), key=lambda pair: pair[0])  # of several, the first
    return best[1]


def _begun(flow: Flow, asked: Request, reply: Reply) -> bool:
    """Return whether an entry of conntrack was begun by the request."""
    to = (flow.original.dst, flow.original.dport) == (asked.address, asked.port)
    return to and reply.local in (None, (flow.original.src, flow.original.sport))


def track(seen: Seen, key: Key, role: Role) -> Track:
    """Return what was seen of a packet the first time that it was sent."""
    origin = seen.evidence.request.netns if role == "request" else _origin(seen, key)
    times = _times(seen.taps.get(key, ()), origin)
    first = followed(times[0], seen.places, seen.evidence.taps) if times else []
    mine: dict[str, Sequence[Pass]] = {}
    most = len(times)
    for netns, those in seen.runs.get(key, {}).items():
        cut = runs(those)
        when = [number for number, taps in enumerate(times) if any(tap.netns == netns for tap in taps)]
        if not when or when[0] == 0:
            mine[netns] = cut[0]
        most = max(most, len(cut))
    bridged = {netns: _asks_iptables(seen.evidence, netns) for netns in mine}
    sights = ordered(first, mine, seen.places, bridged)
    packet = next(packet for _, packet in seen.packets(key))
    return Track(role=role, packet=packet, sights=sights, times=most)


def _asks_iptables(evidence: Evidence, netns: str) -> bool:
    """Return whether frames that pass a bridge of a namespace pass iptables too, as they do unless it is said."""
    tool = "iptables" if family_of(evidence.request.address) == "ipv4" else "ip6tables"
    return evidence.sysctls.get(netns, {}).get(_BRIDGED + tool, "1") != "0"


def _origin(seen: Seen, key: Key) -> str:
    """Return the namespace that sent a packet, "" if it is not known."""
    source = next((packet.source for _, packet in seen.packets(key) if packet.source is not None), None)
    return seen.places.owner(source, "") if source is not None else ""


def _times(taps: Sequence[Tap], origin: str) -> list[list[Tap]]:
    """Cut a packet's taps where it is sent again: it leaves its origin, or is where it was, with as many hops left."""
    found: list[list[Tap]] = []
    left: dict[tuple[str, str, str], int] = {}
    for tap in taps:
        place = (tap.netns, tap.interface, tap.direction)
        hops = carried(tap.packet).ttl
        leaves = tap.netns == origin and tap.direction == "out"
        anew = leaves and bool(left) and all(netns != origin for netns, _, _ in left)
        more = bool(left) and hops > min(left.values())  # they never grow on one way
        if not found or anew or more or (place in left and hops >= left[place]):
            found.append([])
            left = {}
        left[place] = hops
        found[-1].append(tap)
    return found


def tracks(seen: Seen) -> tuple[Track, ...]:
    """Return the packets to be told of, in the order in which they were sent."""
    first = request_key(seen)
    if first is None:
        return ()
    request = track(seen, first, "request")
    there = _ways(seen, first)
    back = {one.inverse for one in there}
    answers = _answers(seen, first, there, back)
    found = [request, *answers]
    arrived = all(_arrived(seen, one) for one in found)
    if not seen.evidence.reply.answered and arrived and [one.role for one in answers] == ["reply"]:
        found += _unarrived(seen, {first, *(key_of(one.packet) for one in answers)}, there | back)
    return tuple(found)


def _ways(seen: Seen, key: Key) -> set[Tuple]:
    """Return how packets of the request's direction look, in all places."""
    found = seen.tuples(key)
    for flow in seen.evidence.flows:
        if flow.protocol == key[0] and (flow.original in found or flow.reply.inverse in found):
            found |= {flow.original, flow.reply.inverse}
    return found


def _answers(seen: Seen, first: Key, there: set[Tuple], back: set[Tuple]) -> list[Track]:
    """Return the first packet of the reply's direction, and the first refusal of each sort."""
    found: dict[str, Track] = {}
    failed = not seen.evidence.reply.answered
    for key in seen.keys:
        if key == first:
            continue
        if key[0] in ICMP:
            told = [packet for _, packet in seen.packets(key) if packet.inner and packet.info not in _ADVICE]
            inner = {way for packet in told if packet.inner and (way := tuple_of(packet.inner))}
            if inner & (there | back) and "icmp" not in found:
                found["icmp"] = track(seen, key, "refusal")
            continue
        if key[0] != first[0]:
            continue
        ways = seen.tuples(key)
        if ways & back and "reply" not in found:
            found["reply"] = _reply(track(seen, key, "reply"), seen)
        elif failed and "reset" not in found and "reply" in found and ways & there and _is_odd_reset(seen, key):
            found["reset"] = track(seen, key, "refusal")
    return list(found.values())


def _is_odd_reset(seen: Seen, key: Key) -> bool:
    """Return whether the asker resets a connection that it never asked for: the reply was not translated back."""
    asked = seen.evidence.request
    reset = any(_resets(packet) for _, packet in seen.packets(key))
    to_whom = (asked.address, asked.port)
    sent = [packet for netns, packet in seen.packets(key) if netns == asked.netns]
    return reset and all((packet.destination, packet.destination_port) != to_whom for packet in sent)


def _resets(packet: Packet) -> bool:
    return packet.protocol == "tcp" and "R" in packet.info.partition("]")[0]


def _reply(one: Track, seen: Seen) -> Track:
    """Return the track of a reply; a reset that a node made in a rule's name is a refusal."""
    if not _resets(one.packet) or not one.sights:
        return one
    origin = one.sights[0]
    hooked = isinstance(origin, Pass) and origin.hook == "OUTPUT"
    made = origin.netns in seen.places.nodes and (hooked or getattr(origin, "direction", "") == "out")
    source = first_tuple(origin)
    owns = source is not None and seen.places.owner(source.src, origin.netns) == origin.netns
    return Track(role="refusal", packet=one.packet, sights=one.sights, times=one.times) if made and not owns else one


def _arrived(seen: Seen, one: Track) -> bool:
    """Return whether a packet came to the machine that it was for."""
    if not one.sights:
        return False
    last = one.sights[-1]
    way = last_tuple(last)
    return way is not None and seen.places.owner(way.dst, last.netns) == last.netns


def _unarrived(seen: Seen, told: set[Key | None], ways: set[Tuple]) -> list[Track]:
    """Return the first later packet that did not arrive."""
    for key in seen.keys:
        if key in told or key[0] in ICMP or not seen.tuples(key) & ways:
            continue
        found = track(seen, key, "data")
        if not _arrived(seen, found):
            return [found]
    return []
