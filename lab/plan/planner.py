"""Cluster -> ops: every namespace, link, address, route, neighbour, sysctl and rule set of a lab, in order, as data.

Machines that are plugged into one thing are a `Segment` (`lab.plan.segments`); links, addresses and neighbours are
derived from these, by `bridge` or `ptp`. The ways between nodes are `routes`, or the tunnels of `vxlan`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from lab.model.cluster import ROUTER, Cluster, node_addresses, pod_addresses, pod_netns
from lab.model.nft_ruleset import NftRuleset
from lab.model.ops import Listener, Namespace, Op, Rules, Serve, Sysctl, Wire
from lab.model.status import shown
from lab.plan import bridge, ptp, routes, vxlan
from lab.plan.health import healths
from lab.plan.hosts import hosts
from lab.plan.runs import runs
from lab.plan.segments import Segment, segments
from lab.proxy.node import node_rules, node_sysctls
from lab.proxy.partial import interfaces

_QUIET_BRIDGES = dict.fromkeys(("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"), "0")
_COUNTING = {"net.netfilter.nf_conntrack_acct": "1"}  # for lab.rules: kube-proxy's nftables rules do not count
# Refusals are told, each of them: the kernel's limit lets six ICMP errors pass to an address at once, then one a second
# (icmp(7), icmp_ratelimit), and who sends a datagram does not send it again.
_UNLIMITED = {"net.ipv4.icmp_ratemask": "0"}
_UNLIMITED_IPV6 = {"net.ipv6.icmp.ratemask": "0"}
# Where the kernel tells what iptables-legacy's rules do with a traced packet (iptables-extensions(8), TRACE): by
# default in the machine's log, and of another network namespace nowhere. lab.trace and lab.watch need it on every
# machine, whatever its rules are made by: anybody may add such rules beside them.
_TOLD = dict.fromkeys(("net.netfilter.nf_log.2", "net.netfilter.nf_log.10"), "nfnetlink_log")
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
    tunnelled = cluster.spec.network.overlay == "vxlan"
    wired = segments(cluster, pod_mtu=vxlan.pod_mtu(cluster) if tunnelled else 0)
    return [
        *_machines(cluster, wired),
        *(op for segment in wired for op in _links(segment)),
        *(vxlan.links(cluster) if tunnelled else ()),
        *(op for segment in wired for op in _addresses(segment)),
        *routes.of_router(cluster),
        *(vxlan.between(cluster) if tunnelled else routes.between(cluster)),
    ]


def _links(segment: Segment) -> Iterator[Wire]:
    return bridge.links(segment) if segment.bridge else ptp.links(segment)


def _addresses(segment: Segment) -> Iterator[Wire]:
    return bridge.addresses(segment) if segment.bridge else ptp.addresses(segment)


def _machines(cluster: Cluster, wired: Iterable[Segment]) -> Iterator[Namespace | Sysctl]:
    """Yield the namespaces, each with the sysctls that must be set before there are links."""
    yield from _sysctls("", _quiet(cluster) | _QUIET_BRIDGES)
    nodes = {node.metadata.name for node in cluster.nodes}
    for segment in wired:
        for seat in segment.seats:
            yield Namespace(netns=seat.netns)
            yield from _sysctls(seat.netns, _TOLD, optional=True)
            keys = _quiet(cluster) | _UNLIMITED | (_UNLIMITED_IPV6 if "ipv6" in cluster.families else {})
            if seat.netns == ROUTER or seat.netns in nodes:
                keys |= _forwarding(cluster)
            if seat.netns in nodes and cluster.spec.network.plugin == "bridge":
                keys |= _FILTERED_BRIDGES
            yield from _sysctls(seat.netns, keys)


def _sysctls(netns: str, keys: dict[str, str], *, optional: bool = False) -> Iterator[Sysctl]:
    return (Sysctl(netns=netns, key=key, value=value, optional=optional) for key, value in keys.items())


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


def rules(cluster: Cluster, nodes: Collection[str], *, nfacct: bool) -> Iterator[Op]:
    """Yield what kube-proxy does on each of `nodes` when it starts: rules of both families, then sysctls.

    In this order, since some of the sysctls are there only when conntrack is, which rules bring along.
    """
    for name in nodes:
        made: set[str] = set()  # both families share a namespace's counters
        for ruleset in node_rules(cluster, name, counters=nfacct, interfaces=interfaces(cluster, name)):
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
        yield from _sysctls(name, dict(node_sysctls(cluster, name)) | (_COUNTING if cluster.mode == "nftables" else {}))


def listeners(cluster: Cluster) -> Iterator[Listener]:
    """Yield all that the keeper sees to: what it answers as pods, what runs in them, kube-proxy's health checks."""
    yield from serves(cluster)
    yield from runs(cluster)
    yield from healths(cluster)


def serves(cluster: Cluster) -> Iterator[Serve]:
    """Yield what each pod listens on: the ports that it declares, and nothing when it declares none; clients too."""
    by_name = {node.metadata.name: node for node in cluster.nodes}
    for pod in cluster.pods:
        ports = {(port.protocol, port.container_port) for port in cluster.served(pod) if port.protocol != "SCTP"}
        addresses = node_addresses(by_name[pod.spec.node_name]) if pod.spec.host_network else pod_addresses(pod)
        if ports:
            yield Serve(
                netns=pod_netns(pod),
                pod=shown(pod.metadata),
                node=pod.spec.node_name,
                addresses=addresses,
                ports=tuple(sorted(ports)),
            )
    for client in cluster.spec.clients:
        own = tuple(sorted({(port.protocol, port.port) for port in client.ports if port.protocol != "SCTP"}))
        if own:
            yield Serve(netns=client.name, pod=client.name, node="", addresses=client.addresses, ports=own)
