"""What is seen of a packet: at an interface (a `Tap`), or in a hook of netfilter (a `Pass`: the events there)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lab.model.flow import Tuple
from lab.model.trace import OWN_TABLE, Event, Tap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.address import IPAddress
    from lab.model.netfilter import Hook
    from lab.model.packet import Packet
    from lab.model.trace import Evidence, Link

Key = tuple[str, bytes]
"""What tells a packet from all others, wherever it is: its protocol, and what no translation changes."""

Role = Literal["request", "reply", "refusal", "data"]
LOOPBACK = "lo"
_ONE_CABLE = 2  # interfaces: the loopback one, and one more
ICMP = {"icmp", "icmp6"}


@dataclass(frozen=True, slots=True)
class Pass:
    """A packet in one hook of a namespace: the events there, in their order. The first one has its headers."""

    netns: str
    hook: Hook
    events: tuple[Event, ...]

    @property
    def packets(self) -> tuple[Packet, ...]:
        """The packet as it was when a base chain began, each time."""
        return tuple(event.packet for event in self.events if event.packet is not None)

    @property
    def iif(self) -> str:
        """The interface that it came in by, "" if the hook has none."""
        return next((event.iif for event in self.events if event.iif), "")

    @property
    def oif(self) -> str:
        """The interface that it is to leave by, "" if the hook has none."""
        return next((event.oif for event in self.events if event.oif), "")


Sight = Tap | Pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One packet, and all that was seen of it, in the order in which it happened; `times`: how often it was sent."""

    role: Role
    packet: Packet
    sights: tuple[Sight, ...]
    times: int = 1


def carried(packet: Packet) -> Packet:
    """Return the packet that a tunnel carries, or the packet itself."""
    while packet.inner is not None and packet.protocol not in ICMP:
        packet = packet.inner
    return packet


def key_of(packet: Packet) -> Key | None:
    """Return what tells a packet from others; None of one that is nobody's, as ARP's."""
    own = carried(packet)
    return (own.protocol, own.identity) if own.identity else None


def tuple_of(packet: Packet) -> Tuple | None:
    """Return a packet's addresses and ports; of a tunnelled one those inside. None if it has no addresses."""
    own = carried(packet)
    if own.source is None or own.destination is None:
        return None
    return Tuple(src=own.source, dst=own.destination, sport=own.source_port, dport=own.destination_port)


def first_tuple(sight: Sight) -> Tuple | None:
    """Return how the packet looked when it came there."""
    if isinstance(sight, Tap):
        return tuple_of(sight.packet)
    return next(filter(None, map(tuple_of, sight.packets)), None)


def last_tuple(sight: Sight) -> Tuple | None:
    """Return how the packet looked the last time that it was seen there."""
    if isinstance(sight, Tap):
        return tuple_of(sight.packet)
    return next(filter(None, map(tuple_of, reversed(sight.packets))), None)


def ttl_of(sight: Sight) -> int:
    """Return how many hops the packet had left, 0 if it is not known."""
    if isinstance(sight, Tap):
        return carried(sight.packet).ttl
    return next((packet.ttl for packet in sight.packets), 0)


def is_own(event: Event) -> bool:
    """Return whether an event is of our own table, which is there to see and no rule of anybody's."""
    return event.table == OWN_TABLE


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: the links of each namespace by name, and who has which address."""

    links: Mapping[tuple[str, str], Link]
    owners: Mapping[IPAddress, str]
    nodes: frozenset[str]
    names: Mapping[str, str]

    def owner(self, address: IPAddress, here: str) -> str:
        """Return the namespace that has an address, seen from the namespace `here`; "" if none is known to."""
        return here if address.is_loopback else self.owners.get(address, "")

    def master(self, netns: str, interface: str) -> str:
        """Return the bridge that an interface is a port of, "" if it is none."""
        link = self.links.get((netns, interface))
        return link.master if link is not None else ""

    def is_bridge(self, netns: str, interface: str) -> bool:
        """Return whether an interface is a bridge."""
        link = self.links.get((netns, interface))
        return link is not None and link.kind == "bridge"

    def forwards(self, netns: str) -> bool:
        """Return whether a namespace is a node, or has several interfaces, as a router has."""
        return netns in self.nodes or sum(link.netns == netns for link in self.links.values()) > _ONE_CABLE

    def name(self, netns: str) -> str:
        """Return what a namespace is called."""
        return self.names.get(netns, netns)


def places_of(evidence: Evidence) -> Places:
    """Return where things are, as the evidence has it."""
    owners = {
        address: link.netns
        for link in evidence.links
        for address in link.addresses
        if not (address.is_loopback or address.is_link_local)
    }
    by_name = {name: netns for netns, name in evidence.places.items()}
    for address, name in evidence.names.items():
        if name in by_name:
            owners.setdefault(address, by_name[name])
    links = {(link.netns, link.name): link for link in evidence.links}
    return Places(links, owners, frozenset(evidence.nodes), evidence.places)
