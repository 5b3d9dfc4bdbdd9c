"""Cluster -> ops: every namespace, link, address, route, neighbour, sysctl and rule set of a lab, in order, as data.

What stands on one bridge is a `Segment` (`lab.plan.segments`); links, addresses and neighbours are derived from these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from lab.model.address import IPAddress, IPNetwork, family_of
from lab.model.cluster import ETH, ROUTER, Cluster, networks, node_addresses, pod_addresses, pod_cidrs, pod_netns
from lab.model.nft_ruleset import NftRuleset
from lab.model.ops import Address, Bridge, Health, Namespace, Neighbour, Op, Route, Rules, Serve, Sysctl, Veth, Wire
from lab.plan.health import healths
from lab.plan.hosts import hosts
from lab.plan.segments import Seat, Segment, port_mac, segments
from lab.proxy.config import LOOPBACK
from lab.proxy.node import node_rules, node_sysctls

# Indexes begin far above those that a new namespace may already hold: each tunnel module of the host (tunl0, sit0,
# gre0, ip6tnl0...) puts a fallback device into it unless net.core.fb_tunnels_only_for_init_net says otherwise.
ETH_INDEX = 100
BRIDGE_INDEX = 101
FIRST_PORT_INDEX = 1000


_QUIET_BRIDGES = dict.fromkeys(("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"), "0")
_FILTERED_BRIDGES = dict.fromkeys(_QUIET_BRIDGES, "1")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Ops in the order in which they are done."""

    ops: tuple[Op, ...]


def plan(cluster: Cluster, *, nfacct: bool = True) -> Plan:
    """Return all that makes the lab of `cluster` stand; the same cluster gives the same plan.

    `nfacct`: whether the kernel has these counters; without them kube-proxy leaves out the matches that count.
    Raises what `lab.proxy.node` raises.
    """
    ops: list[Op] = [
        *wiring(cluster),
        *rules(cluster, [node.metadata.name for node in cluster.nodes], nfacct=nfacct),
        hosts(cluster),
        *listeners(cluster),
    ]
    return Plan(ops=tuple(ops))


def wiring(cluster: Cluster) -> list[Wire]:
    """Return all machines, links, addresses and routes of a lab."""
    wired = segments(cluster)
    return [
        *_machines(cluster, wired),
        *(op for segment in wired for op in _links(segment)),
        *(op for segment in wired for op in _addresses(segment)),
        *_routes_between(cluster),
    ]


def _machines(cluster: Cluster, wired: Iterable[Segment]) -> Iterator[Namespace | Sysctl]:
    """Yield the namespaces, each with the sysctls that must be set before there are links."""
    yield from _sysctls("", _quiet(cluster) | _QUIET_BRIDGES)
    nodes = {node.metadata.name for node in cluster.nodes}
    for segment in wired:
        for seat in segment.seats:
            yield Namespace(netns=seat.netns)
            keys = _quiet(cluster)
            if seat.netns == ROUTER or seat.netns in nodes:
                keys |= _forwarding(cluster)
            if seat.netns in nodes:
                keys |= _FILTERED_BRIDGES
            yield from _sysctls(seat.netns, keys)


def _sysctls(netns: str, keys: dict[str, str]) -> Iterator[Sysctl]:
    return (Sysctl(netns=netns, key=key, value=value) for key, value in keys.items())


def _quiet(cluster: Cluster) -> dict[str, str]:
    """Return what keeps a machine from talking by itself; `all` sets `default`, which links made later get."""
    if "ipv6" not in cluster.families:
        return {"net.ipv6.conf.all.disable_ipv6": "1"}
    return {"net.ipv6.conf.default.accept_dad": "0", "net.ipv6.conf.default.accept_ra": "0"}


def _forwarding(cluster: Cluster) -> dict[str, str]:
    """Return what makes a machine a router; rp_filter is inherited from the host, and a lab does not depend on it."""
    keys = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0"}
    if "ipv6" in cluster.families:
        keys["net.ipv6.conf.all.forwarding"] = "1"
    return keys


def _links(segment: Segment) -> Iterator[Bridge | Veth]:
    yield Bridge(
        netns=segment.netns,
        name=segment.bridge,
        index=BRIDGE_INDEX,
        mac=segment.mac,
        promiscuous=segment.promiscuous,
    )
    for seat in segment.seats:
        yield Veth(
            netns=segment.netns,
            name=seat.port,
            index=FIRST_PORT_INDEX + seat.number,
            mac=port_mac(segment.netns, seat.port),
            peer_netns=seat.netns,
            peer_name=ETH,
            peer_index=ETH_INDEX,
            peer_mac=seat.mac,
            master=BRIDGE_INDEX,
            master_name=segment.bridge,
            hairpin=segment.hairpin,
        )


def _addresses(segment: Segment) -> Iterator[Address | Route | Neighbour]:
    """Yield addresses, default routes and neighbours of one segment, machine by machine."""
    for seat in segment.seats:
        for interface in seat.interfaces:
            yield Address(netns=seat.netns, link=ETH, index=ETH_INDEX, address=interface)
        if seat.netns != ROUTER:  # the router is the gateway
            for gateway in segment.gateways:
                yield Route(netns=seat.netns, destination=_default(gateway), via=gateway, link=ETH, index=ETH_INDEX)
        for address, mac in _known(segment, seat):
            yield Neighbour(netns=seat.netns, link=ETH, index=ETH_INDEX, address=address, mac=mac)
    for interface in segment.interfaces:
        yield Address(netns=segment.netns, link=segment.bridge, index=BRIDGE_INDEX, address=interface)
    if segment.interfaces:
        for address, mac in _machines_of(segment):
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


def _routes_between(cluster: Cluster) -> Iterator[Route]:
    """Yield a route to each node's pods on all other nodes and on the router, as a cloud's routed pod network has them.

    The router drops what is for nobody in silence: an address that nothing serves times out, as on the Internet.
    """
    for netns in (ROUTER, *(node.metadata.name for node in cluster.nodes)):
        for node in cluster.nodes:
            if node.metadata.name == netns:
                continue
            vias = {family_of(address): address for address in reversed(node_addresses(node))}
            for pods in pod_cidrs(node):
                if via := vias.get(family_of(pods)):
                    yield Route(netns=netns, destination=pods, via=via, link=ETH, index=ETH_INDEX)
    for wire in networks(cluster.spec.network.node_cidr):
        yield Route(netns=ROUTER, destination=_default(wire), kind="blackhole")


def _default(kin: IPAddress | IPNetwork) -> IPNetwork:
    """Return the network of every address of the family of `kin`."""
    return ip_network("0.0.0.0/0" if family_of(kin) == "ipv4" else "::/0")


def rules(cluster: Cluster, nodes: Collection[str], *, nfacct: bool) -> Iterator[Op]:
    """Yield what kube-proxy does on each of `nodes` when it starts: rules of both families, then sysctls.

    In this order, since some of the sysctls are there only when conntrack is, which rules bring along.
    """
    wired = segments(cluster) if nodes else ()
    for name in nodes:
        own = (LOOPBACK["ipv4"], LOOPBACK["ipv6"], *_own_addresses(wired, name))
        made: set[str] = set()  # both families share a namespace's counters
        for ruleset in node_rules(cluster, name, counters=nfacct, interfaces=own):
            if isinstance(ruleset, NftRuleset):
                yield Rules(netns=name, tool="nft", family=ruleset.family, text=ruleset.restore_text())
                continue
            yield Rules(
                netns=name,
                tool="iptables-nft" if cluster.spec.iptables == "nft" else "iptables-legacy",
                family=ruleset.family,
                text=ruleset.restore_text(),
                counters=tuple(counter for counter in ruleset.counters if counter not in made),
            )
            made.update(ruleset.counters)
    for name in nodes:
        yield from _sysctls(name, dict(node_sysctls(cluster, name)))


def _own_addresses(wired: Iterable[Segment], netns: str) -> Iterator[IPAddress]:
    """Yield the addresses of a machine's eth0, then of its bridge."""
    for segment in wired:
        yield from (interface.ip for seat in segment.seats if seat.netns == netns for interface in seat.interfaces)
        if segment.netns == netns:
            yield from segment.gateways


def listeners(cluster: Cluster) -> Iterator[Serve | Health]:
    """Yield all that the keeper answers: the pods, and kube-proxy's health checks."""
    yield from serves(cluster)
    yield from healths(cluster)


def serves(cluster: Cluster) -> Iterator[Serve]:
    """Yield what each pod listens on: the ports that it declares, and nothing when it declares none."""
    by_name = {node.metadata.name: node for node in cluster.nodes}
    for pod in cluster.pods:
        ports = {(port.protocol, port.container_port) for port in pod.ports if port.protocol != "SCTP"}
        addresses = node_addresses(by_name[pod.spec.node_name]) if pod.spec.host_network else pod_addresses(pod)
        if ports:
            yield Serve(
                netns=pod_netns(pod),
                pod=pod.metadata.name,
                node=pod.spec.node_name,
                addresses=addresses,
                ports=tuple(sorted(ports)),
            )
