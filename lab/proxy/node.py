"""The rules and sysctls of one node of a lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.errors import LabError
from lab.model.address import FAMILIES, Family, IPAddress
from lab.model.cluster import Cluster
from lab.model.kubernetes import EndpointSlice, KubeProxyConfiguration, Node, Service
from lab.model.lab import Mode
from lab.model.ruleset import Ruleset
from lab.proxy import iptables
from lab.proxy.config import configure
from lab.proxy.services import units
from lab.proxy.sysctls import sysctls


def render(  # noqa: PLR0913 - kube-proxy's own inputs: the API's objects, a file, a flag, the machine
    services: Iterable[Service],
    slices: Iterable[EndpointSlice],
    nodes: Sequence[Node],
    settings: KubeProxyConfiguration,
    family: Family,
    *,
    node: str = "",
    mode: Mode | None = None,
    counters: bool = True,
    interfaces: Sequence[IPAddress] | None = None,
) -> Ruleset:
    """Return what kube-proxy would install for these objects, in one family.

    `node` overrides `hostnameOverride`, `mode` the configuration's. `counters`: whether the node has nfacct.
    `interfaces`: the node's addresses, among which nodePortAddresses selects (None: its InternalIPs and loopback).
    Raises `TopologyError` for a configuration that kube-proxy would refuse and for names that cannot stand in a rule,
    `LabError` for nftables mode.
    """
    mode = mode or settings.mode or "iptables"
    if mode == "nftables":
        raise LabError("nftables mode is not there yet", hint="use iptables mode: --mode iptables")
    config = configure(settings, nodes, family, node=node, mode=mode, interfaces=interfaces)
    return iptables.render(
        units(services, slices, family, external_ips=settings.feature_gates.get("AllowServiceExternalIPs", True)),
        config,
        counters=counters,
    )


def node_rules(
    cluster: Cluster, node: str, *, counters: bool = True, interfaces: Sequence[IPAddress] | None = None
) -> tuple[Ruleset, Ruleset]:
    """Return the rules of a lab's node: IPv4 and IPv6, as kube-proxy installs both whatever addresses there are.

    Raises what `render` raises.
    """
    ipv4, ipv6 = (
        render(
            cluster.services,
            cluster.slices,
            cluster.nodes,
            cluster.proxy,
            family,
            node=node,
            mode=cluster.mode,
            counters=counters,
            interfaces=interfaces,
        )
        for family in FAMILIES
    )
    return ipv4, ipv6


def node_sysctls(cluster: Cluster, node: str) -> tuple[tuple[str, str], ...]:
    """Return (key, value) of the sysctls that kube-proxy sets on a lab's node, in sysctl(8)'s dotted form."""
    config = configure(cluster.proxy, cluster.nodes, "ipv4", node=node, mode=cluster.mode)
    return sysctls(cluster.proxy, localhost_node_ports=config.localhost_node_ports)
