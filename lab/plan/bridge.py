"""Segment -> ops: machines on one bridge: pods as the CNI plugin `bridge` wires them, nodes on the wire, clients."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.address import IPAddress, all_of, host_network
from lab.model.cluster import ETH, ROUTER
from lab.model.ops import Address, Bridge, Neighbour, Route, Veth
from lab.plan.segments import BRIDGE_INDEX, ETH_INDEX, Seat, Segment, port_mac


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
    for seat in segment.seats:
        yield Veth(
            netns=segment.netns,
            name=seat.port,
            index=seat.index,
            mac=port_mac(segment.netns, seat.port),
            peer_netns=seat.netns,
            peer_name=ETH,
            peer_index=ETH_INDEX,
            peer_mac=seat.mac,
            master=BRIDGE_INDEX,
            master_name=segment.bridge,
            hairpin=segment.hairpin,
            mtu=segment.mtu,
        )


def addresses(segment: Segment) -> Iterator[Address | Route | Neighbour]:
    """Yield addresses, default routes and neighbours, machine by machine."""
    for seat in segment.seats:
        for interface in seat.interfaces:
            yield Address(netns=seat.netns, link=ETH, index=ETH_INDEX, address=interface)
        for address, _ in _known(segment, seat):
            if not any(address in interface.network for interface in seat.interfaces):
                yield Route(netns=seat.netns, destination=host_network(address), link=ETH, index=ETH_INDEX)
        if seat.netns != ROUTER:  # the router is the gateway
            for gateway in segment.gateways:
                yield Route(netns=seat.netns, destination=all_of(gateway), via=gateway, link=ETH, index=ETH_INDEX)
        for address, mac in _known(segment, seat):
            yield Neighbour(netns=seat.netns, link=ETH, index=ETH_INDEX, address=address, mac=mac)
    for interface in segment.interfaces:
        yield Address(netns=segment.netns, link=segment.bridge, index=BRIDGE_INDEX, address=interface)
    if segment.interfaces:
        for address, mac in _machines_of(segment):
            if not any(address in interface.network for interface in segment.interfaces):
                yield Route(
                    netns=segment.netns, destination=host_network(address), link=segment.bridge, index=BRIDGE_INDEX
                )
            yield Neighbour(netns=segment.netns, link=segment.bridge, index=BRIDGE_INDEX, address=address, mac=mac)


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
