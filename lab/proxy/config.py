"""A KubeProxyConfiguration with its defaults, for one node and one family.

Source: pkg/proxy/apis/config, cmd/kube-proxy/app/server.go (detectNodeIPs), pkg/proxy/util/nodeport_addresses.go and
localdetector.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import assert_never

from lab.errors import TopologyError
from lab.model.address import Family, IPAddress, IPNetwork, family_of, host_network
from lab.model.cluster import pod_cidrs
from lab.model.kubernetes import Node
from lab.model.lab import Mode
from lab.model.labels import ZONE
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.sloppy import parse_address, parse_network
from lab.proxy.names import interface_name, node_name

LOOPBACK: dict[Family, IPAddress] = {"ipv4": IPv4Address("127.0.0.1"), "ipv6": IPv6Address("::1")}
LOOPBACK_RANGE = IPv4Network("127.0.0.0/8")
DEFAULT_MASQUERADE_BIT = 14
_PREFIX_MAX = 14  # iptables and nft take 15 letters (IFNAMSIZ), of which one is the + or * behind a prefix


@dataclass(frozen=True, kw_only=True, slots=True)
class Detector:
    """How local traffic is told apart: it comes from `network`, or in by `interface`.

    With `prefix`, every interface whose name begins with `interface` counts.
    """

    network: IPNetwork | None = None
    interface: str = ""
    prefix: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ProxyConfig:
    """What one of kube-proxy's two proxiers (IPv4, IPv6) works with on one node.

    `address` is the node's own, used only to see whether a source range lets the node in. `node_port_networks` limits
    NodePorts; empty means every local address. `node_port_addresses`: the node's addresses inside them.
    `localhost_node_ports` is what remains of the wish after the family and `node_port_networks` had their say.
    """

    node: str
    family: Family
    zone: str = ""
    address: IPAddress
    masquerade_mark: int = 1 << DEFAULT_MASQUERADE_BIT
    masquerade_all: bool = False
    detector: Detector | None = None
    node_port_networks: tuple[IPNetwork, ...] = ()
    node_port_addresses: tuple[IPAddress, ...] = ()
    localhost_node_ports: bool = True
    tcp_be_liberal: bool = False


def configure(
    settings: KubeProxyConfiguration,
    nodes: Sequence[Node],
    family: Family,
    *,
    node: str = "",
    mode: Mode = "iptables",
    interfaces: Sequence[IPAddress] | None = None,
) -> ProxyConfig:
    """Return what kube-proxy would work with on `node` (default: `hostnameOverride`, or the only Node) in `family`.

    `interfaces`: the node's addresses, of which `nodePortAddresses` selects; None stands for its InternalIPs and
    loopback. A node that is not among `nodes` has the address 127.0.0.1 or ::1, as kube-proxy assumes after 30 s.
    Raises `TopologyError` for a configuration that kube-proxy would refuse.
    """
    name = _own_name(settings, nodes, node)
    own = next((candidate for candidate in nodes if candidate.metadata.name == name), None)
    addresses = _addresses(own, settings.bind_address)
    networks = _node_port_networks(settings.node_port_addresses or (), addresses, family, mode)
    if interfaces is None:
        interfaces = (*LOOPBACK.values(), *_addresses_of_type(own, "InternalIP"))
    section = settings.iptables if mode == "iptables" else settings.nftables
    bit = DEFAULT_MASQUERADE_BIT if section.masquerade_bit is None else section.masquerade_bit
    localhost = settings.iptables.localhost_node_ports is not False and mode == "iptables" and family == "ipv4"
    if networks and not any(network.overlaps(LOOPBACK_RANGE) for network in networks):
        localhost = False
    return ProxyConfig(
        node=name,
        family=family,
        zone=own.metadata.labels.get(ZONE, "") if own else "",
        address=addresses[family],
        masquerade_mark=1 << bit,
        masquerade_all=section.masquerade_all,
        detector=_detector(settings, own, family),
        node_port_networks=networks,
        node_port_addresses=_inside(networks, interfaces),
        localhost_node_ports=localhost,
        tcp_be_liberal=settings.conntrack.tcp_be_liberal,
    )


def _own_name(settings: KubeProxyConfiguration, nodes: Sequence[Node], node: str) -> str:
    if node or settings.hostname_override:
        return node_name(node or settings.hostname_override)
    if len(nodes) == 1:
        return nodes[0].metadata.name
    names = ", ".join(one.metadata.name for one in nodes) or "none"
    raise TopologyError(
        "hostnameOverride is not set: it says which node's rules are wanted", hint=f"name one of the nodes: {names}"
    )


def _addresses_of_type(node: Node | None, kind: str) -> tuple[IPAddress, ...]:
    if node is None:
        return ()
    return tuple(parse_address(entry.address) for entry in node.status.addresses if entry.type == kind)


def _addresses(node: Node | None, bind_address: str) -> dict[Family, IPAddress]:
    """Return the node's address of each family: InternalIPs go before ExternalIPs, bindAddress before both."""
    found = dict(LOOPBACK)
    known = (*_addresses_of_type(node, "InternalIP"), *_addresses_of_type(node, "ExternalIP"))
    for address in reversed(known):  # so that the first one of a family stays
        found[family_of(address)] = address
    if bind_address:
        bound = parse_address(bind_address)
        if not bound.is_unspecified:
            found[family_of(bound)] = bound
    return found


def _node_port_networks(
    texts: Sequence[str], addresses: dict[Family, IPAddress], family: Family, mode: Mode
) -> tuple[IPNetwork, ...]:
    """Return the networks of the family that NodePorts are limited to; empty if they are not."""
    if not texts and mode == "nftables":
        texts = ("primary",)
    if "primary" in texts:
        if len(texts) > 1:
            raise TopologyError(f"nodePortAddresses {list(texts)}: 'primary' stands alone, or there are only CIDRs")
        own = addresses[family]
        return () if own.is_loopback else (host_network(own),)
    networks = tuple(network for network in map(parse_network, texts) if family_of(network) == family)
    return () if any(network.prefixlen == 0 for network in networks) else networks


def _inside(networks: Sequence[IPNetwork], addresses: Sequence[IPAddress]) -> tuple[IPAddress, ...]:
    """Return the addresses inside any of the networks, sorted: kube-proxy's own order is random."""
    found = {address for address in addresses if any(address in network for network in networks)}
    return tuple(sorted(found, key=int))


def _detector(settings: KubeProxyConfiguration, node: Node | None, family: Family) -> Detector | None:
    mode = settings.detect_local_mode or "ClusterCIDR"
    match mode:
        case "ClusterCIDR":
            texts = settings.cluster_cidr.split(",") if settings.cluster_cidr.strip() else []
            return _by_network(tuple(map(parse_network, texts)), family)
        case "NodeCIDR":
            if node is None:
                raise TopologyError("detectLocalMode NodeCIDR: there is no Node object to take the podCIDRs from")
            return _by_network(pod_cidrs(node), family)
        case "BridgeInterface":
            return Detector(interface=_required(settings.detect_local.bridge_interface, "bridgeInterface"))
        case "InterfaceNamePrefix":
            prefix = _required(settings.detect_local.interface_name_prefix, "interfaceNamePrefix")
            if len(prefix) > _PREFIX_MAX:
                raise TopologyError(
                    f"detectLocal.interfaceNamePrefix {prefix!r}: expected at most {_PREFIX_MAX} letters"
                )
            return Detector(interface=prefix, prefix=True)
        case _:
            assert_never(mode)


def _by_network(networks: Sequence[IPNetwork], family: Family) -> Detector | None:
    """Return a detector by the first network of the family; without one nothing is known to be local."""
    first = next((network for network in networks if family_of(network) == family), None)
    return Detector(network=first) if first else None


def _required(name: str, field: str) -> str:
    if not name:
        raise TopologyError(f"detectLocal.{field} is empty: detectLocalMode needs it")
    return interface_name(name)
