"""Cluster -> ops: a tunnel from each node to the pods of all others, as flannel's backend `vxlan` makes it.

Each node has one device for each family, with an address of its own; nothing is learned or asked for on the wire: for
each other node there is a route to its pods by way of its device's address, a neighbour that has this device's MAC,
and an FDB entry that says behind which node this MAC is. Source: pkg/backend/vxlan of flannel-io/flannel, `vxlan.go`,
`device.go`, and `handleSubnetEvents` of `vxlan_network.go`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface

from lab.model.address import Family, IPAddress, IPNetwork, family_of
from lab.model.cluster import ETH, Cluster, node_addresses, pod_cidrs
from lab.model.interfaces import FLANNEL, tunnel_address
from lab.model.ops import Address, Fdb, Neighbour, Route, Vxlan
from lab.plan.segments import ETH_INDEX, TUNNEL_INDEX, port_mac

VNI = 1
PORT = 8472
"""The kernel's default, which flannel leaves as it is; IANA's number for VXLAN is 4789."""

MTU: Mapping[Family, int] = {"ipv4": 1500 - 50, "ipv6": 1500 - 70}
"""What is left of a node's 1500 bytes: outside are Ethernet's 14 of the inner frame, VXLAN's 8, UDP's 8, and IP's."""


@dataclass(frozen=True, kw_only=True)
class _Tunnel:
    """One node's device of one family: `pods` are reached by it, from elsewhere, at `local`, the node's own address."""

    netns: str
    pods: IPNetwork
    local: IPAddress

    @property
    def family(self) -> Family:
        return family_of(self.pods)

    @property
    def name(self) -> str:
        return FLANNEL[self.family]

    @property
    def mac(self) -> str:
        return port_mac(self.netns, self.name)


def pod_mtu(cluster: Cluster) -> int:
    """Return how much a pod may send at once, so that it fits through every tunnel of its families."""
    return min(MTU[family] for family in cluster.families)


def links(cluster: Cluster) -> Iterator[Vxlan]:
    """Yield each node's devices."""
    for tunnel in _tunnels(cluster):
        yield Vxlan(
            netns=tunnel.netns,
            name=tunnel.name,
            index=TUNNEL_INDEX[tunnel.family],
            mac=tunnel.mac,
            vni=VNI,
            port=PORT,
            local=tunnel.local,
            lower=ETH_INDEX,
            lower_name=ETH,
            mtu=MTU[tunnel.family],
        )


def between(cluster: Cluster) -> Iterator[Address | Neighbour | Fdb | Route]:
    """Yield each device's address, and what it has to know of the others."""
    tunnels = list(_tunnels(cluster))
    for here in tunnels:
        address = ip_interface(tunnel_address(here.pods))
        yield Address(netns=here.netns, link=here.name, index=TUNNEL_INDEX[here.family], address=address)
        for there in tunnels:
            if there.family == here.family and there.netns != here.netns:
                yield from _way(here, there)


def _way(here: _Tunnel, there: _Tunnel) -> Iterator[Neighbour | Fdb | Route]:
    """Yield what leads from one node to another one's pods: the route at last, so that the kernel never has to ask."""
    netns, link, index, via = here.netns, here.name, TUNNEL_INDEX[here.family], tunnel_address(there.pods)
    yield Neighbour(netns=netns, link=link, index=index, address=via, mac=there.mac)
    yield Fdb(netns=netns, link=link, index=index, mac=there.mac, destination=there.local)
    yield Route(netns=netns, destination=there.pods, via=via, link=link, index=index, onlink=True)


def _tunnels(cluster: Cluster) -> Iterator[_Tunnel]:
    for node in cluster.nodes:
        own = {family_of(address): address for address in reversed(node_addresses(node))}
        for pods in pod_cidrs(node):
            if local := own.get(family_of(pods)):
                yield _Tunnel(netns=node.metadata.name, pods=pods, local=local)
