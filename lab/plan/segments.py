"""Cluster -> segments: which machine is plugged into what, by what name, with which addresses.

""       bridge `wire`, the switch between the machines; it runs no iptables
router   eth0 on the wire, bridge `lan0` to the clients
NODE     eth0 on the wire, bridge `cbr0` to its pods (plugin bridge), or a cable to each of them (ptp)
POD      eth0 on its node's cbr0, or on its cable
CLIENT   eth0 on the router's lan0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from ipaddress import ip_address, ip_interface

from lab.model.address import Family, IPAddress, IPNetwork, mac_of
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
from lab.model.ops import IPInterface, Veth

WIRE, LAN = "wire", "lan0"

# Indexes begin far above those that a new namespace may already hold: each tunnel module of the host (tunl0, sit0,
# gre0, ip6tnl0...) puts a fallback device into it unless net.core.fb_tunnels_only_for_init_net says otherwise.
ETH_INDEX = 100
BRIDGE_INDEX = 101
TUNNEL_INDEX: Mapping[Family, int] = {"ipv4": 102, "ipv6": 103}
_FIRST_PORT_INDEX = 1000

LINK_LOCAL: Mapping[Family, IPAddress] = {"ipv4": ip_address("169.254.1.1"), "ipv6": ip_address("fe80::1")}
"""The gateway of pods whose node has no address for them; 169.254.1.1 is Calico's."""

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
    """One machine's place in a segment: its eth0, and `port`, the other end of its cable."""

    netns: str
    port: str
    interfaces: tuple[IPInterface, ...]

    @property
    def number(self) -> int:
        """What tells its cable from the others of the segment, whoever comes and goes: its address in the range.

        From 0 to 2**30; an IPv6 address far up in its range, or one that is in no range with others, has a number by
        its hash, between 2**24 and 2**30.
        """
        first = self.interfaces[0]
        offset = int(first.ip) - int(first.network.network_address)
        if offset < _NEAR and first.network.num_addresses > 1:
            return offset
        return _NEAR + int.from_bytes(sha256(first.ip.packed).digest()[:8]) % (_FAR - _NEAR)

    @property
    def index(self) -> int:
        """The index of `port`."""
        return _FIRST_PORT_INDEX + self.number

    @cached_property
    def mac(self) -> str:
        """The MAC of eth0."""
        return mac_of(self.interfaces[0].ip)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The machines that are plugged into a bridge in `netns`, with the addresses that the bridge has there.

    Without a bridge (`bridge` is "") each cable ends in `netns` itself, which is their gateway. `mtu` 0: the kernel's.
    """

    netns: str
    bridge: str
    mac: str = ""
    interfaces: tuple[IPInterface, ...] = ()
    gateways: tuple[IPAddress, ...] = ()
    seats: tuple[Seat, ...] = ()
    hairpin: bool = False
    promiscuous: bool = False
    mtu: int = 0


def cable(segment: Segment, seat: Seat) -> Veth:
    """Return a machine's cable: its eth0, and the other end, which is a port of the segment's bridge if it has one."""
    return Veth(
        netns=segment.netns,
        name=seat.port,
        index=seat.index,
        mac=port_mac(segment.netns, seat.port),
        peer_netns=seat.netns,
        peer_name=ETH,
        peer_index=ETH_INDEX,
        peer_mac=seat.mac,
        master=BRIDGE_INDEX if segment.bridge else 0,
        master_name=segment.bridge,
        hairpin=segment.hairpin,
        mtu=segment.mtu,
    )


def segments(cluster: Cluster, *, pod_mtu: int = 0) -> tuple[Segment, ...]:
    """Return the wire, the clients' network, and each node's pods; `pod_mtu` is how much a pod may send at once."""
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
        _bridge(ROUTER, LAN, lan, clients),
        *(_pod_segment(cluster, node, pod_mtu) for node in cluster.nodes),
    )


def _bridge(
    netns: str,
    bridge: str,
    ranges: tuple[IPNetwork, ...],
    seats: tuple[Seat, ...],
    *,
    hairpin_mode: str = "none",
    mtu: int = 0,
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
        mtu=mtu,
    )


def _pod_segment(cluster: Cluster, node: Node, mtu: int) -> Segment:
    name, ranges, network = node.metadata.name, pod_cidrs(node), cluster.spec.network
    seats = tuple(
        Seat(netns=netns, port=interface_name("veth-", netns, identity), interfaces=_on(pod_addresses(pod), ranges))
        for pod in _pods_on(cluster, name)
        for netns, identity in [(pod_netns(pod), f"{pod.metadata.namespace}/{pod.metadata.name}")]
    )
    if network.plugin == "ptp":
        gateways = tuple(LINK_LOCAL.values()) if network.pod_routes else tuple(map(gateway, ranges))
        return Segment(netns=name, bridge="", gateways=gateways, seats=seats, mtu=mtu)
    return _bridge(name, CBR, ranges, seats, hairpin_mode=network.hairpin_mode, mtu=mtu)


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
