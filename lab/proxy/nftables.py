"""kube-proxy's nftables mode: the fixed sets and chains of its table, and what every service port puts into them.

Source: setupNFTables and syncProxyRules, pkg/proxy/nftables/proxier.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.model.address import Family, IPNetwork, family_of
from lab.model.nft_ruleset import Element, Hook, NftChain, NftRuleset, NftServiceRules, NftSet, gather_elements
from lab.model.service import ServiceUnit
from lab.proxy.config import ProxyConfig
from lab.proxy.names import address_text, network_text
from lab.proxy.nftables_service import (
    ADDRESS_TYPE,
    CLUSTER_IPS,
    FIREWALL,
    HAIRPINS,
    IP,
    NODE_PORTS,
    REJECT,
    SERVICES,
    UNSERVED,
    UNSERVED_NODE_PORTS,
    mark_rule,
    origin,
    service_rules,
)

NODE_IPS = "nodeport-ips"

_NEW = "ct state new jump"
_BASE_CHAINS = (
    # Before DNAT, while the address is still the one that the client asked for.
    NftChain("filter-prerouting-pre-dnat", (f"{_NEW} firewall-check",), hook=Hook("filter", "prerouting", -110)),
    NftChain("filter-output-pre-dnat", (f"{_NEW} firewall-check",), hook=Hook("filter", "output", -110)),
    NftChain(
        "filter-input",
        (f"{_NEW} nodeport-endpoints-check", f"{_NEW} service-endpoints-check"),
        hook=Hook("filter", "input", 0),
    ),
    NftChain(
        "filter-forward",
        (f"{_NEW} service-endpoints-check", f"{_NEW} cluster-ips-check"),
        hook=Hook("filter", "forward", 0),
    ),
    NftChain(
        "filter-output",
        (f"{_NEW} service-endpoints-check", f"{_NEW} cluster-ips-check"),
        hook=Hook("filter", "output", 0),
    ),
    NftChain("nat-prerouting", ("jump services",), hook=Hook("nat", "prerouting", -100)),
    NftChain("nat-output", ("jump services",), hook=Hook("nat", "output", -100)),
    NftChain("nat-postrouting", ("jump masquerading",), hook=Hook("nat", "postrouting", 100)),
)

_PORT_TYPE = "inet_proto . inet_service"
_PORT = "meta l4proto . th dport"
_LOOPBACK: dict[Family, str] = {"ipv4": "127.0.0.0/8", "ipv6": "::1"}


def render(units: Iterable[ServiceUnit], config: ProxyConfig, *, service_cidrs: Iterable[IPNetwork] = ()) -> NftRuleset:
    """Return the table of one family on one node, service ports in the order given.

    `service_cidrs`: the ranges of the cluster's ServiceCIDR objects; those of the other family do not matter.
    Raises `TopologyError` if a name or an address cannot stand in a rule.
    """
    return assemble([service_rules(unit, config) for unit in units], config, service_cidrs=service_cidrs)


def assemble(
    parts: Iterable[NftServiceRules], config: ProxyConfig, *, service_cidrs: Iterable[IPNetwork] = ()
) -> NftRuleset:
    """Return the complete table made of the fixed sets and chains and what every service port adds."""
    parts = list(parts)
    elements = gather_elements(element for part in parts for element in part.elements)
    if config.node_port_networks:
        own = [address_text(address) for address in config.node_port_addresses if not address.is_loopback]
        elements[NODE_IPS] = {text: Element(text) for text in own}
    shared = _sets(config, {name: tuple(found.values()) for name, found in elements.items()})
    return NftRuleset(
        family=config.family,
        sets=(*shared, *(one for part in parts for one in part.sets)),
        chains=(*_BASE_CHAINS, *_fixed_chains(config, service_cidrs), *(one for part in parts for one in part.chains)),
        comment="rules for kube-proxy",
    )


def _sets(config: ProxyConfig, elements: dict[str, tuple[Element, ...]]) -> Iterator[NftSet]:
    """Yield the sets and maps that all service ports share."""
    address = ADDRESS_TYPE[config.family]
    service = f"{address} . {_PORT_TYPE}"

    def a_set(name: str, kind: str, comment: str) -> NftSet:
        return NftSet(name, kind, comment, elements.get(name, ()))

    def a_map(name: str, kind: str, comment: str) -> NftSet:
        return NftSet(name, kind, comment, elements.get(name, ()), kind="map")

    yield a_set(HAIRPINS, f"{address} . {service}", "service hairpin connections")
    yield a_set(CLUSTER_IPS, address, "Active ClusterIPs")
    if config.node_port_networks:
        yield a_set(NODE_IPS, address, "IPs that accept NodePort traffic")
    yield a_map(UNSERVED, service, "vmap to drop or reject packets to services with no endpoints")
    comment = "vmap to drop or reject packets to service nodeports with no endpoints"
    yield a_map(UNSERVED_NODE_PORTS, _PORT_TYPE, comment)
    yield a_map(FIREWALL, service, "destinations that are subject to LoadBalancerSourceRanges")
    yield a_map(SERVICES, service, "ClusterIP, ExternalIP and LoadBalancer IP traffic")
    yield a_map(NODE_PORTS, _PORT_TYPE, "NodePort traffic")


def _fixed_chains(config: ProxyConfig, service_cidrs: Iterable[IPNetwork]) -> Iterator[NftChain]:
    ip = IP[config.family]
    key = f"{ip} daddr . {_PORT}"
    here, local = f"{ip} daddr @{NODE_IPS}", ""
    if not config.node_port_networks:
        here, local = f"{ip} daddr != {_LOOPBACK[config.family]}", "fib daddr type local "
    yield NftChain("nodeport-endpoints-check", (f"{here} {_PORT} vmap @{UNSERVED_NODE_PORTS}",))
    yield NftChain("service-endpoints-check", (f"{key} vmap @{UNSERVED}",))
    yield NftChain("firewall-check", (f"{key} vmap @{FIREWALL}",))
    yield NftChain(
        "services",
        (
            *_masquerade_internal(config),
            f"{key} vmap @{SERVICES}",
            f"{local}{here} {_PORT} vmap @{NODE_PORTS}",
        ),
    )
    yield NftChain("masquerading", tuple(_masquerading(config)))
    yield NftChain("cluster-ips-check", tuple(_stray(config.family, service_cidrs)))
    comment = f"helper for @{UNSERVED} / @{UNSERVED_NODE_PORTS}"
    yield NftChain(REJECT, ("reject",), comment=comment)


def _masquerade_internal(config: ProxyConfig) -> Iterator[str]:
    """Yield the rule that marks ClusterIP traffic from outside the cluster, so that replies come back through here."""
    to, mark = f"{IP[config.family]} daddr @{CLUSTER_IPS}", mark_rule(config)
    if config.masquerade_all:
        yield f'{to} {mark} comment "masquerade all clusterIP traffic"'
    elif config.detector:
        source = origin(config.detector, config.family, outside=True)
        yield f'{to} {source} {mark} comment "masquerade clusterIP traffic from outside cluster"'


def _masquerading(config: ProxyConfig) -> Iterator[str]:
    mark = f"{config.masquerade_mark:#010x}"
    # Clear the mark, lest a packet that is tunnelled is masqueraded twice.
    yield f"meta mark & {mark} != 0x00000000 meta mark set meta mark ^ {mark} masquerade fully-random"
    ip = IP[config.family]
    yield f"ct status dnat {ip} saddr . {ip} daddr . {_PORT} @{HAIRPINS} masquerade fully-random"


def _stray(family: Family, service_cidrs: Iterable[IPNetwork]) -> Iterator[str]:
    """Yield the rules for what goes to a Service's address and was not translated, or to one that no Service has."""
    ip = IP[family]
    yield f'{ip} daddr @{CLUSTER_IPS} reject comment "Reject traffic to invalid ports of ClusterIPs"'
    own = sorted({network for network in service_cidrs if family_of(network) == family})
    if own:
        ranges = ", ".join(map(network_text, own))
        yield f'{ip} daddr {{ {ranges} }} drop comment "Drop traffic to unallocated ClusterIPs"'
