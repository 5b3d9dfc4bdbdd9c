"""The rules and sysctls of one node of a lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.errors import TopologyError
from lab.model.address import FAMILIES, Family, IPAddress
from lab.model.cluster import Cluster
from lab.model.kubernetes import EndpointSlice, Node, Service, ServiceCIDR
from lab.model.lab import Mode, Release
from lab.model.nft_ruleset import NftRuleset
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.ruleset import Ruleset
from lab.proxy import classic, classic_units, iptables, nftables
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
    release: Release = "1.36",
    service_cidrs: Iterable[ServiceCIDR] = (),
    counters: bool = True,
    interfaces: Sequence[IPAddress] | None = None,
) -> Ruleset | NftRuleset:
    """Return what kube-proxy would install for these objects, in one family: an `NftRuleset` in nftables mode.

    `node` overrides `hostnameOverride`, `mode` the configuration's; `release` classic has iptables mode alone.
    `service_cidrs` matter to nftables mode alone.
    `counters`: whether the node has nfacct, which iptables mode uses.
    `interfaces`: the node's addresses, among which nodePortAddresses selects (None: its InternalIPs and loopback).
    Raises `TopologyError` for a configuration that kube-proxy would refuse and for names that cannot stand in a rule.
    """
    mode = mode or settings.mode or "iptables"
    config = configure(settings, nodes, family, node=node, mode=mode, interfaces=interfaces)
    external_ips = settings.feature_gates.get("AllowServiceExternalIPs", True)
    if release == "classic":
        if mode == "nftables":
            raise TopologyError(classic.NO_NFTABLES)
        return classic.render(classic_units.units(services, slices, family, external_ips=external_ips), config)
    found = units(services, slices, family, external_ips=external_ips)
    if mode == "nftables":
        ranges = [cidr for one in service_cidrs for cidr in one.spec.cidrs]
        return nftables.render(found, config, service_cidrs=ranges)
    return iptables.render(found, config, counters=counters)


def node_rules(
    cluster: Cluster, node: str, *, counters: bool = True, interfaces: Sequence[IPAddress] | None = None
) -> tuple[Ruleset | NftRuleset, Ruleset | NftRuleset]:
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
            release=cluster.spec.release,
            service_cidrs=cluster.service_cidrs,
            counters=counters,
            interfaces=interfaces,
        )
        for family in FAMILIES
    )
    return ipv4, ipv6


def node_sysctls(cluster: Cluster, node: str) -> tuple[tuple[str, str], ...]:
    """Return (key, value) of the sysctls that kube-proxy sets on a lab's node, in sysctl(8)'s dotted form."""
    config = configure(cluster.proxy, cluster.nodes, "ipv4", node=node, mode=cluster.mode)
    return sysctls(cluster.proxy, localhost_node_ports=config.localhost_node_ports or cluster.spec.release == "classic")
