"""Segment -> ops: machines on one bridge: pods as the CNI plugin `bridge` wires them, nodes on the wire, clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from lab.model.address import IPAddress, all_of, host_network
from lab.model.cluster import ETH, ROUTER
from lab.model.ops import Address, Bridge, IPInterface, Neighbour, Route, Veth
from lab.plan.segments import BRIDGE_INDEX, ETH_INDEX, Seat, Segment, cable


def links(segment: Segment) -> Iterator[Bridge | Veth]:
    """Yield the bridge and its cables."""
    yield Bridge(
        netns=segment.netns,
        name=segment.bridge,
        index=BRIDGE_INDEX,
        mac=segment.mac,
        promiscuous=segment.promiscuous,
        mtu=segment.mtu,
    )
    yield from (cable(segment, seat) for seat in segment.seats)


def addresses(segment: Segment) -> Iterator[Address | Route | Neighbour]:
    """Yield addresses, default routes and neighbours, machine by machine; and routes to who is in nobody's range."""
    for seat in segment.seats:
        yield from _seat(segment, seat)
    netns, link = segment.netns, segment.bridge
    for interface in segment.interfaces:
        yield Address(netns=netns, link=link, index=BRIDGE_INDEX, address=interface)
    if segment.interfaces:
        machines = list(_machines_of(segment))
        for address in _beyond(machines, segment.interfaces):
            yield Route(netns=netns, destination=host_network(address), link=link, index=BRIDGE_INDEX)
        for address, mac in machines:
            yield Neighbour(netns=netns, link=link, index=BRIDGE_INDEX, address=address, mac=mac)


def _seat(segment: Segment, seat: Seat) -> Iterator[Address | Route | Neighbour]:
    for interface in seat.interfaces:
        yield Address(netns=seat.netns, link=ETH, index=ETH_INDEX, address=interface)
    known = list(_known(segment, seat))
    for address in _beyond(known, seat.interfaces):
        yield Route(netns=seat.netns, destination=host_network(address), link=ETH, index=ETH_INDEX)
    if seat.netns != ROUTER:  # the router is the gateway
        for gateway in segment.gateways:
            yield Route(netns=seat.netns, destination=all_of(gateway), via=gateway, link=ETH, index=ETH_INDEX)
    for address, mac in known:
        yield Neighbour(netns=seat.netns, link=ETH, index=ETH_INDEX, address=address, mac=mac)


def _beyond(known: Iterable[tuple[IPAddress, str]], interfaces: Sequence[IPInterface]) -> Iterator[IPAddress]:
    """Yield the addresses that are in no range of `interfaces`, which the kernel finds by itself."""
    ranges = [interface.network for interface in interfaces if interface.network.num_addresses > 1]
    return (address for address, _ in known if not any(address in network for network in ranges))


def _known(segment: Segment, seat: Seat) -> Iterator[tuple[IPAddress, str]]:
    """Yield the permanent neighbours of one machine: address and MAC.

    The kernel has one neighbour table for all namespaces, the host's too, and counts only entries that may expire.
    Where the bridge is a gateway a machine knows that; on the wire it knows all others. Pods of one node are left to
    ARP among themselves: that would be N² entries for N pods, of which few are ever used.
    """
    if segment.interfaces:
        yield from ((gateway, segment.mac) for gateway in segment.gateways)
    else:
        yield from ((address, mac) for address, mac in _machines_of(segment) if mac != seat.mac)


def _machines_of(segment: Segment) -> Iterator[tuple[IPAddress, str]]:
    return ((interface.ip, seat.mac) for seat in segment.seats for interface in seat.interfaces)
