"""What one service port adds to the table of nftables mode (syncProxyRules, pkg/proxy/nftables/proxier.go).

An address and port is looked up in a map, whose verdict leads to the service port's own chains:

    service-ips, service-nodeports ---> service- (every endpoint) or local- (this node's): DNAT to one of a map
        |                                 ^      with session affinity: ---> endpoint- (one endpoint): DNAT
        +--> external- -------------------+  from outside: masquerade, or keep to this node's endpoints
    firewall-ips ---> firewall-              drops all but the load balancer's source ranges
    no-endpoint-services, no-endpoint-nodeports ---> reject-chain, or drop
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.model.address import Family
from lab.model.nft_ruleset import Element, NftChain, NftServiceRules, NftSet
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import Detector, ProxyConfig
from lab.proxy.endpoints import Selection, externally_accessible, select
from lab.proxy.names import (
    address_text,
    endpoint_text,
    interface_name,
    network_text,
    nft_name,
    protocol_name,
    service_port_name,
)

HAIRPINS = "hairpin-connections"
CLUSTER_IPS = "cluster-ips"
UNSERVED = "no-endpoint-services"
UNSERVED_NODE_PORTS = "no-endpoint-nodeports"
FIREWALL = "firewall-ips"
SERVICES = "service-ips"
NODE_PORTS = "service-nodeports"
REJECT = "reject-chain"

IP: dict[Family, str] = {"ipv4": "ip", "ipv6": "ip6"}
ADDRESS_TYPE: dict[Family, str] = {"ipv4": "ipv4_addr", "ipv6": "ipv6_addr"}

_COMMENT_MAX = 128  # NFTNL_UDATA_COMMENT_MAXLEN, less the closing zero

Elements = Iterator[tuple[str, Element]]


@dataclass(frozen=True, slots=True)
class _Port:
    """A service port with the words that its rules are made of."""

    unit: ServiceUnit
    config: ProxyConfig
    chosen: Selection
    name: str
    protocol: str
    base: str

    @property
    def owner(self) -> str:
        """The Service."""
        return f"{self.unit.namespace}/{self.unit.name}"

    @property
    def ip(self) -> str:
        """The family as a rule names it."""
        return IP[self.config.family]

    @property
    def internal(self) -> str:
        """The chain behind the ClusterIP."""
        return f"{'local' if self.unit.internal_local else 'service'}-{self.base}"

    @property
    def external(self) -> str:
        """The chain that the external chain ends in."""
        return f"{'local' if self.unit.external_local else 'service'}-{self.base}"

    @property
    def firewalled(self) -> bool:
        """Whether load balancer traffic is limited to source ranges."""
        return bool(self.unit.load_balancer_ips and self.unit.source_ranges)

    @property
    def fate(self) -> str:
        """The verdict on traffic that nothing here serves: refused for good, or dropped for this node."""
        return "drop" if self.chosen.has_endpoints else f"goto {REJECT}"

    @property
    def comment(self) -> str:
        """The name, as far as nft takes it: on a longer one 1.36.2 loads nothing, later releases cut it (#139515)."""
        return self.name[:_COMMENT_MAX]

    def to(self, address: str) -> str:
        """Return the key for the service port at `address`."""
        return f"{address} . {self.protocol} . {self.unit.port:d}"

    def endpoint(self, endpoint: Endpoint) -> str:
        """Return what an endpoint's chain and set are called, behind their prefixes."""
        unit = self.unit
        at = (endpoint.address, endpoint.port)
        return nft_name(unit.namespace, unit.name, self.protocol, unit.port_name, at)


def service_rules(unit: ServiceUnit, config: ProxyConfig) -> NftServiceRules:
    """Return what one service port adds to the table.

    Raises `TopologyError` if a name or an address cannot stand in a rule.
    """
    protocol = protocol_name(unit.protocol)
    port = _Port(
        unit=unit,
        config=config,
        chosen=select(unit, config.node, config.zone),
        name=service_port_name(unit.namespace, unit.name, unit.port_name),
        protocol=protocol,
        base=nft_name(unit.namespace, unit.name, protocol, unit.port_name),
    )
    return NftServiceRules(
        owner=port.owner,
        chains=tuple(_chains(port)),
        sets=tuple(_affinity_sets(port)),
        # The first of two elements with one key stays: an external IP that is the ClusterIP leads outside.
        elements=(*_external_addresses(port), *_cluster_ip(port), *_node_port(port), *_hairpins(port)),
    )


def _cluster_ip(port: _Port) -> Elements:
    address = address_text(port.unit.cluster_ip)
    yield CLUSTER_IPS, Element(address)
    if port.chosen.has_internal:
        yield SERVICES, Element(port.to(address), f"goto {port.internal}")
    else:
        yield UNSERVED, Element(port.to(address), port.fate, port.comment)


def _external_addresses(port: _Port) -> Elements:
    unit, chosen = port.unit, port.chosen
    for address in (*unit.external_ips, *unit.load_balancer_ips):
        key = port.to(address_text(address))
        if chosen.has_endpoints:
            yield SERVICES, Element(key, f"goto external-{port.base}")
        if not chosen.has_external:
            yield UNSERVED, Element(key, port.fate, port.comment)
    if port.firewalled:  # endpoints or not
        for address in unit.load_balancer_ips:
            yield FIREWALL, Element(port.to(address_text(address)), f"goto firewall-{port.base}")


def _node_port(port: _Port) -> Elements:
    if not port.unit.node_port:
        return
    key = f"{port.protocol} . {port.unit.node_port:d}"
    if port.chosen.has_endpoints:
        yield NODE_PORTS, Element(key, f"goto external-{port.base}")
    if not port.chosen.has_external:
        yield UNSERVED_NODE_PORTS, Element(key, port.fate, port.comment)


def _hairpins(port: _Port) -> Elements:
    """Yield who may be chosen by himself: after DNAT such a packet goes from an endpoint of this node to itself."""
    for endpoint in port.chosen.reachable:
        if endpoint.node == port.config.node:
            address = address_text(endpoint.address)
            yield HAIRPINS, Element(f"{address} . {address} . {port.protocol} . {endpoint.port:d}")


def _affinity_sets(port: _Port) -> Iterator[NftSet]:
    """Yield a set for each endpoint: the clients that it had, each for as long as the affinity lasts."""
    seconds = port.unit.affinity_seconds
    if seconds:
        kind = ADDRESS_TYPE[port.config.family]
        for endpoint in port.chosen.reachable:
            yield NftSet(f"affinity-{port.endpoint(endpoint)}", kind, timeout_s=seconds)


def _chains(port: _Port) -> Iterator[NftChain]:
    """Yield the service port's own chains: those that others lead to come first."""
    unit, chosen, owner, base = port.unit, port.chosen, port.owner, port.base
    if unit.affinity_seconds:
        for endpoint in chosen.reachable:
            yield NftChain(f"endpoint-{port.endpoint(endpoint)}", _endpoint_chain(port, endpoint), owner)
    for kind, endpoints in (("service", chosen.cluster), ("local", chosen.local)):
        if endpoints:
            rules = tuple(_affine(port, endpoints)) if unit.affinity_seconds else (_balance(port, endpoints),)
            yield NftChain(f"{kind}-{base}", rules, owner)
    if chosen.has_endpoints and externally_accessible(unit):
        yield NftChain(f"external-{base}", tuple(_external_chain(port)), owner)
    if port.firewalled:
        yield NftChain(f"firewall-{base}", (_firewall(port),), owner)


def _balance(port: _Port, endpoints: Iterable[Endpoint]) -> str:
    """Return the rule that translates to one of the endpoints, each with equal chance."""
    targets = [f"{number} : {address_text(one.address)} . {one.port:d}" for number, one in enumerate(endpoints)]
    choice = f"numgen random mod {len(targets)} map {{ {', '.join(targets)} }}"
    return f"meta l4proto {port.protocol} dnat {port.ip} addr . port to {choice}"


def _affine(port: _Port, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    """Yield the rules that choose the endpoint that the client had before, else each with equal chance."""
    names = [port.endpoint(endpoint) for endpoint in endpoints]
    for name in names:
        yield f"{port.ip} saddr @affinity-{name} goto endpoint-{name}"
    choices = ", ".join([f"{number} : goto endpoint-{name}" for number, name in enumerate(names)])
    yield f"numgen random mod {len(names)} vmap {{ {choices} }}"


def _endpoint_chain(port: _Port, endpoint: Endpoint) -> tuple[str, str]:
    return (
        f"update @affinity-{port.endpoint(endpoint)} {{ {port.ip} saddr }}",
        f"meta l4proto {port.protocol} dnat to {endpoint_text(endpoint.address, endpoint.port)}",
    )


def _external_chain(port: _Port) -> Iterator[str]:
    config = port.config
    mark = mark_rule(config)
    if port.unit.external_local:
        jump = f"goto service-{port.base}"
        if config.detector:  # a pod is no outsider: it may go to any endpoint, and is not masqueraded
            yield f'{origin(config.detector, config.family)} {jump} comment "short-circuit pod traffic"'
        yield f'fib saddr type local {mark} comment "masquerade local traffic"'
        yield f'fib saddr type local {jump} comment "short-circuit local traffic"'
    else:
        yield f'{mark} comment "masquerade"'
    if port.chosen.has_external:
        yield f"goto {port.external}"


def _firewall(port: _Port) -> str:
    allowed = [network_text(network) for network in port.unit.source_ranges]
    if any(port.config.address in network for network in port.unit.source_ranges):
        # A node that has the load balancer's address as its own talks to it from that address.
        allowed += [address_text(address) for address in port.unit.load_balancer_ips]
    return f"{port.ip} saddr != {{ {', '.join(allowed)} }} drop"


def mark_rule(config: ProxyConfig) -> str:
    """Return the statement that marks a packet to be masqueraded."""
    return f"meta mark set meta mark | {config.masquerade_mark:#010x}"


def origin(detector: Detector, family: Family, *, outside: bool = False) -> str:
    """Match what comes from a local pod, or `outside`, what does not."""
    unlike = "!= " if outside else ""
    if detector.network:
        return f"{IP[family]} saddr {unlike}{network_text(detector.network)}"
    return f'iifname {unlike}"{interface_name(detector.interface)}{"*" if detector.prefix else ""}"'
