"""Segment -> ops: each pod on a cable of its own that its node routes to, as the CNI plugin `ptp` wires pods.

There is no bridge: the node's end of every cable has the gateway's address, and the node a route to each pod. All that
a pod sends goes to the gateway, what is for the pod beside it too. Source: plugins/main/ptp/ptp.go of
containernetworking/plugins, `setupContainerVeth` and `setupHostVeth`; the neighbours, which that leaves to ARP, are
ours.

A link-local gateway is nobody's address: the node answers to its MAC and has no address there, as Calico's nodes do
(linux_dataplane.go of projectcalico/calico, `DoNetworking`: 169.254.1.1 in each pod, proxy ARP on the node).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from lab.model.address import IPAddress, all_of, family_of, host_network
from lab.model.cluster import ETH
from lab.model.ops import Address, IPInterface, Neighbour, Route, Veth
from lab.plan.segments import ETH_INDEX, Seat, Segment, cable, port_mac


def links(segment: Segment) -> Iterator[Veth]:
    """Yield the cables."""
    return (cable(segment, seat) for seat in segment.seats)


def addresses(segment: Segment) -> Iterator[Address | Route | Neighbour]:
    """Yield addresses, routes and neighbours: each pod's, then those of the node."""
    for seat in segment.seats:
        for interface, gateway in _ends(segment, seat):
            yield from _pod(seat, interface, gateway, port_mac(segment.netns, seat.port))
    for seat in segment.seats:
        for interface, gateway in _ends(segment, seat):
            yield from _node(segment.netns, seat, interface.ip, gateway)


def _ends(segment: Segment, seat: Seat) -> Iterator[tuple[IPInterface, IPAddress]]:
    """Yield the pod's interface and the node's address of each family."""
    gateways = {family_of(gateway): gateway for gateway in segment.gateways}
    return ((interface, gateways[family_of(interface.ip)]) for interface in seat.interfaces)


def _pod(seat: Seat, interface: IPInterface, gateway: IPAddress, mac: str) -> Iterator[Address | Route | Neighbour]:
    """Yield what makes a pod see nobody but the gateway, though its prefix is that of all the node's pods."""
    yield Address(netns=seat.netns, link=ETH, index=ETH_INDEX, address=interface, prefix_route=False)
    yield Route(netns=seat.netns, destination=host_network(gateway), link=ETH, index=ETH_INDEX)
    wide = () if gateway.is_link_local else (interface.network,)
    for destination in (*wide, all_of(gateway)):
        yield Route(netns=seat.netns, destination=destination, via=gateway, link=ETH, index=ETH_INDEX)
    yield Neighbour(netns=seat.netns, link=ETH, index=ETH_INDEX, address=gateway, mac=mac)


def _node(netns: str, seat: Seat, pod: IPAddress, gateway: IPAddress) -> Iterator[Address | Route | Neighbour]:
    if not gateway.is_link_local:
        yield Address(netns=netns, link=seat.port, index=seat.index, address=ip_interface(gateway))
    yield Route(netns=netns, destination=host_network(pod), link=seat.port, index=seat.index)
    yield Neighbour(netns=netns, link=seat.port, index=seat.index, address=pod, mac=seat.mac)
