"""Cluster -> segments: which machine is plugged into which bridge, by what name, with which addresses.

""       bridge `wire`, the switch between the machines; it runs no iptables
router   eth0 on the wire, bridge `lan0` to the clients
NODE     eth0 on the wire, bridge `cbr0` to its pods
POD      eth0 on its node's cbr0
CLIENT   eth0 on the router's lan0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from ipaddress import ip_interface

from lab.model.address import IPAddress, IPNetwork, mac_of
from lab.model.cluster import (
    CBR,
    ETH,
    ROUTER,
    Cluster,
    gateway,
    networks,
    node_addresses,
    pod_addresses,
    pod_cidrs,
    pod_netns,
)
from lab.model.kubernetes import Node, Pod
from lab.model.ops import IPInterface

WIRE, LAN = "wire", "lan0"

_NEAR, _FAR = 1 << 24, 1 << 30  # an interface's index is a positive int (linux/if_link.h)
_NAME_MAX = 15  # IFNAMSIZ less the closing zero
# Neither "." (it separates the parts of a sysctl's name) nor "/", ":" and blanks (which the kernel refuses).
_READABLE = re.compile(r"[a-z0-9][a-z0-9_-]*")
_RESERVED = frozenset({"lo", "all", "default", ETH, WIRE, LAN, CBR})


def interface_name(prefix: str, name: str, identity: str) -> str:
    """Return `prefix` + `name` if that is a good interface name, else `prefix` + 10 hex digits of sha256(`identity`).

    With the `prefix` "" the hashed form begins with `port-`. Never longer than 15 characters; two names differ when the
    identities do, but for one chance in 2**40.
    """
    readable = prefix + name
    hashed = (prefix or "port-") + sha256(identity.encode()).hexdigest()[:10]
    looks_hashed = re.fullmatch(re.escape(prefix or "port-") + "[0-9a-f]{10}", readable)
    good = _READABLE.fullmatch(readable) and len(readable) <= _NAME_MAX and readable not in _RESERVED
    return readable if good and not looks_hashed else hashed


def port_mac(netns: str, name: str) -> str:
    """Return a fixed, locally administered MAC for the bridge port `name` in `netns` (IEEE 802: second bit set)."""
    digest = sha256(f"{netns}/{name}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in b"\x06" + digest[:5])


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One machine's place on a bridge: its eth0, and `port`, the bridge's end of the cable."""

    netns: str
    port: str
    interfaces: tuple[IPInterface, ...]

    @property
    def number(self) -> int:
        """What tells its cable from the others of the bridge, whoever comes and goes: its address in the range.

        From 0 to 2**30; an IPv6 address far up in its range has a number by its hash, between 2**24 and 2**30.
        """
        first = self.interfaces[0]
        offset = int(first.ip) - int(first.network.network_address)
        if offset < _NEAR:
            return offset
        return _NEAR + int.from_bytes(sha256(first.ip.packed).digest()[:8]) % (_FAR - _NEAR)

    @cached_property
    def mac(self) -> str:
        """The MAC of eth0."""
        return mac_of(self.interfaces[0].ip)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A bridge in `netns`, with the addresses it has there, and the machines plugged into it."""

    netns: str
    bridge: str
    mac: str
    interfaces: tuple[IPInterface, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    seats: tuple[Seat, ...] = ()
    hairpin: bool = False
    promiscuous: bool = False


def segments(cluster: Cluster) -> tuple[Segment, ...]:
    """Return the wire, the clients' network, and each node's pods."""
    network = cluster.spec.network
    wire, lan = networks(network.node_cidr), networks(network.client_cidr)
    router = _first(wire)
    seats = [Seat(netns=ROUTER, port=interface_name("", ROUTER, ROUTER), interfaces=router)]
    seats += [
        Seat(netns=name, port=interface_name("", name, name), interfaces=_on(node_addresses(node), wire))
        for node in cluster.nodes
        for name in [node.metadata.name]
    ]
    clients = tuple(
        Seat(
            netns=client.name, port=interface_name("", client.name, client.name), interfaces=_on(client.addresses, lan)
        )
        for client in cluster.spec.clients
    )
    return (
        Segment(netns="", bridge=WIRE, mac=port_mac("", WIRE), seats=tuple(seats), gateways=_ips(router)),
        _segment(ROUTER, LAN, lan, clients),
        *(_pod_segment(cluster, node) for node in cluster.nodes),
    )


def _segment(
    netns: str, bridge: str, ranges: tuple[IPNetwork, ...], seats: tuple[Seat, ...], *, hairpin_mode: str = "none"
) -> Segment:
    interfaces = _first(ranges)
    return Segment(
        netns=netns,
        bridge=bridge,
        mac=mac_of(interfaces[0].ip) if interfaces else port_mac(netns, bridge),
        interfaces=interfaces,
        gateways=_ips(interfaces),
        seats=seats,
        hairpin=hairpin_mode == "hairpin-veth",
        promiscuous=hairpin_mode == "promiscuous-bridge",
    )


def _pod_segment(cluster: Cluster, node: Node) -> Segment:
    name, ranges = node.metadata.name, pod_cidrs(node)
    seats = tuple(
        Seat(netns=netns, port=interface_name("veth-", netns, identity), interfaces=_on(pod_addresses(pod), ranges))
        for pod in _pods_on(cluster, name)
        for netns, identity in [(pod_netns(pod), f"{pod.metadata.namespace}/{pod.metadata.name}")]
    )
    return _segment(name, CBR, ranges, seats, hairpin_mode=cluster.spec.network.hairpin_mode)


def _pods_on(cluster: Cluster, node: str) -> Iterator[Pod]:
    return (pod for pod in cluster.pods if pod.spec.node_name == node and not pod.spec.host_network)


def _first(ranges: Iterable[IPNetwork]) -> tuple[IPInterface, ...]:
    """Return the first usable address of each range, with its prefix: where a gateway is looked for."""
    return tuple(ip_interface((gateway(network), network.prefixlen)) for network in ranges)


def _on(addresses: Iterable[IPAddress], ranges: Iterable[IPNetwork]) -> tuple[IPInterface, ...]:
    """Return `addresses` with the prefix of the range that each is in (of its own, if in none)."""
    return tuple(
        ip_interface(
            (address, next((network.prefixlen for network in ranges if address in network), address.max_prefixlen))
        )
        for address in addresses
    )


def _ips(interfaces: Iterable[IPInterface]) -> tuple[IPAddress, ...]:
    return tuple(interface.ip for interface in interfaces)
