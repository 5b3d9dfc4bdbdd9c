"""The iptables rules of one service port (syncProxyRules, pkg/proxy/iptables/proxier.go).

Five kinds of chains (one hash, `KUBE-SEP-` with its own) carry a connection from an address to an endpoint:

    KUBE-SERVICES ---> KUBE-SVC (every endpoint) or KUBE-SVL (this node's) ---> KUBE-SEP (one endpoint): DNAT
        |                ^
        +--> KUBE-EXT ---+  from outside: masquerade, or keep to this node's endpoints
               ^
    KUBE-FW ---+            only the load balancer's source ranges pass
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address

from lab.model.address import IPAddress
from lab.model.ruleset import Chain, Place, ServiceRules
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import Detector, ProxyConfig
from lab.proxy.endpoints import Selection, externally_accessible, select
from lab.proxy.names import (
    address_text,
    chain_hash,
    endpoint_text,
    interface_name,
    network_text,
    protocol_name,
    service_port_name,
)

SERVICES: Place = ("nat", "KUBE-SERVICES")
NODE_PORTS: Place = ("nat", "KUBE-NODEPORTS")
UNSERVED: Place = ("filter", "KUBE-SERVICES")
EXTERNALLY_UNSERVED: Place = ("filter", "KUBE-EXTERNAL-SERVICES")
FIREWALL: Place = ("filter", "KUBE-PROXY-FIREWALL")
HEALTH: Place = ("filter", "KUBE-NODEPORTS")

LOCALHOST_COUNTER = "localhost_nps_accepted_pkts"
MARK_MASQ = "-j KUBE-MARK-MASQ"

SharedRules = Iterator[tuple[Place, str]]


@dataclass(frozen=True, slots=True)
class Context:
    """What all service ports of a ruleset have in common.

    `large`: above 1000 endpoints the rules that each endpoint needs carry no comments. `counters`: nfacct is there.
    """

    config: ProxyConfig
    large: bool = False
    counters: bool = True


@dataclass(frozen=True, slots=True)
class _Port:
    """A service port with the words that its rules are made of."""

    unit: ServiceUnit
    chosen: Selection
    name: str
    protocol: str
    hash: str

    @property
    def internal(self) -> str:
        """The chain behind the ClusterIP."""
        return f"KUBE-{'SVL' if self.unit.internal_local else 'SVC'}-{self.hash}"

    @property
    def external(self) -> str:
        """The chain that the external chain ends in."""
        return f"KUBE-{'SVL' if self.unit.external_local else 'SVC'}-{self.hash}"

    @property
    def firewalled(self) -> bool:
        """Whether load balancer traffic is limited to source ranges."""
        return bool(self.unit.load_balancer_ips and self.unit.source_ranges)

    def to(self, address: str, comment: str) -> str:
        """Match what goes to the service port at `address` (/32 or /128), with a comment about it."""
        return f"-d {address} {self.at(self.unit.port, comment)}"

    def at(self, port: int, comment: str, match: str = "") -> str:
        """Match what goes to a port (and `match`), with a comment that begins with the service port's name."""
        protocol = self.protocol
        return f'-p {protocol} -m comment --comment "{self.name}{comment}" {match}-m {protocol} --dport {port:d}'


def service_rules(unit: ServiceUnit, context: Context) -> ServiceRules:
    """Return the rules of one service port.

    Raises `TopologyError` if a name or an address cannot stand in a rule.
    """
    config = context.config
    name = service_port_name(unit.namespace, unit.name, unit.port_name)
    protocol = protocol_name(unit.protocol)
    port = _Port(unit, select(unit, config.node, config.zone), name, protocol, chain_hash(name, protocol))
    shared = (
        *_cluster_ip(port),
        *_external_ips(port),
        *_load_balancer(port),
        *_node_port(port, context),
        *_health_check(port),
    )
    return ServiceRules(owner=f"{unit.namespace}/{unit.name}", chains=tuple(_chains(port, context)), shared=shared)


def _cluster_ip(port: _Port) -> SharedRules:
    address = _host(port.unit.cluster_ip)
    if port.chosen.has_internal:
        yield SERVICES, f"{port.to(address, ' cluster IP')} -j {port.internal}"
    else:
        comment, target = _fate(port)
        yield UNSERVED, f"{port.to(address, comment)} {target}"


def _external_ips(port: _Port) -> SharedRules:
    for address in map(_host, port.unit.external_ips):
        if port.chosen.has_endpoints:
            yield SERVICES, f"{port.to(address, ' external IP')} -j KUBE-EXT-{port.hash}"
        if not port.chosen.has_external:
            comment, target = _fate(port)
            yield EXTERNALLY_UNSERVED, f"{port.to(address, comment)} {target}"


def _load_balancer(port: _Port) -> SharedRules:
    addresses = [_host(address) for address in port.unit.load_balancer_ips]
    if port.chosen.has_endpoints:
        chain = f"KUBE-{'FW' if port.firewalled else 'EXT'}-{port.hash}"
        stray = f" traffic not accepted by KUBE-FW-{port.hash}"
        for address in addresses:
            yield SERVICES, f"{port.to(address, ' loadbalancer IP')} -j {chain}"
            if port.firewalled:
                yield FIREWALL, f"{port.to(address, stray)} -j DROP"
    if not port.chosen.has_external:
        comment, target = _fate(port)
        for address in addresses:
            yield EXTERNALLY_UNSERVED, f"{port.to(address, comment)} {target}"


def _node_port(port: _Port, context: Context) -> SharedRules:
    number = port.unit.node_port
    if not number:
        return
    if port.chosen.has_endpoints:
        match, jump = port.at(number, ""), f"-j KUBE-EXT-{port.hash}"
        if context.config.localhost_node_ports and context.counters:  # only there to be counted
            yield NODE_PORTS, f"-d 127.0.0.0/8 {match} -m nfacct --nfacct-name  {LOCALHOST_COUNTER} {jump}"
        yield NODE_PORTS, f"{match} {jump}"
    if not port.chosen.has_external:
        comment, target = _fate(port)
        match = port.at(number, comment, "-m addrtype --dst-type LOCAL ")
        yield EXTERNALLY_UNSERVED, f"{match} {target}"


def _health_check(port: _Port) -> SharedRules:
    number = port.unit.health_check_node_port
    if number:
        comment = f'"{port.name} health check node port"'
        yield HEALTH, f"-p tcp -m comment --comment {comment} -m tcp --dport {number:d} -j ACCEPT"


def _fate(port: _Port) -> tuple[str, str]:
    """Return (comment, target) for traffic that nothing here serves: refused for good, or dropped for this node."""
    if port.chosen.has_endpoints:
        return " has no local endpoints", "-j DROP"
    answer = "icmp6-port-unreachable" if isinstance(port.unit.cluster_ip, IPv6Address) else "icmp-port-unreachable"
    return " has no endpoints", f"-j REJECT --reject-with {answer}"


def _chains(port: _Port, context: Context) -> Iterator[Chain]:
    """Yield the service port's own chains: KUBE-EXT, KUBE-FW, KUBE-SVC, KUBE-SVL and a KUBE-SEP for each endpoint."""
    unit, chosen = port.unit, port.chosen
    owner = f"{unit.namespace}/{unit.name}"
    if chosen.has_endpoints and externally_accessible(unit):
        yield Chain(f"KUBE-EXT-{port.hash}", tuple(_external_chain(port, context.config)), owner)
        if port.firewalled:
            yield Chain(f"KUBE-FW-{port.hash}", tuple(_firewall_chain(port, context.config)), owner)
    names = {id(endpoint): _named(port, endpoint) for endpoint in chosen.reachable}
    for kind, endpoints in (("SVC", chosen.cluster), ("SVL", chosen.local)):
        if endpoints:
            chain = f"KUBE-{kind}-{port.hash}"
            first = _masquerade_internal(port, context.config) if chain == port.internal else ()
            balance = _balance(port, [names[id(endpoint)] for endpoint in endpoints], context)
            yield Chain(chain, (*first, *balance), owner)
    for endpoint in chosen.reachable:
        chain, text = names[id(endpoint)]
        yield Chain(chain, _endpoint_chain(port, endpoint, (chain, text), context), owner)


def _named(port: _Port, endpoint: Endpoint) -> tuple[str, str]:
    """Return the endpoint's chain and its text."""
    text = endpoint_text(endpoint.address, endpoint.port)
    return f"KUBE-SEP-{chain_hash(port.name, port.protocol, text)}", text


def _masquerade_internal(port: _Port, config: ProxyConfig) -> Iterator[str]:
    """Yield the rule that marks ClusterIP traffic from outside the cluster, so that replies come back through here."""
    match = port.to(_host(port.unit.cluster_ip), " cluster IP")
    if config.masquerade_all:
        yield f"{match} {MARK_MASQ}"
    elif config.detector:
        destination, rest = match.split(" -p ", 1)
        source, interface = _origin(config.detector, negation="! ")
        yield f"{source}{destination} {interface}-p {rest} {MARK_MASQ}"


def _origin(detector: Detector, *, negation: str = "") -> tuple[str, str]:
    """Return the detector's match as (by source, by interface), one of them empty: -d stands between them."""
    if detector.network:
        return f"{negation}-s {network_text(detector.network)} ", ""
    return "", f"{negation}-i {interface_name(detector.interface)}{'+' if detector.prefix else ''} "


def _external_chain(port: _Port, config: ProxyConfig) -> Iterator[str]:
    about = f"traffic for {port.name} external destinations"
    if port.unit.external_local:
        jump = f"-j KUBE-SVC-{port.hash}"
        if config.detector:  # a pod is no outsider: it may go to any endpoint, and is not masqueraded
            yield f'{"".join(_origin(config.detector))}-m comment --comment "pod {about}" {jump}'
        local = "-m addrtype --src-type LOCAL"
        yield f'-m comment --comment "masquerade LOCAL {about}" {local} {MARK_MASQ}'
        yield f'-m comment --comment "route LOCAL {about}" {local} {jump}'
    else:
        yield f'-m comment --comment "masquerade {about}" {MARK_MASQ}'
    if port.chosen.has_external:
        yield f"-j {port.external}"


def _firewall_chain(port: _Port, config: ProxyConfig) -> Iterator[str]:
    accept = f'-m comment --comment "{port.name} loadbalancer IP" -j KUBE-EXT-{port.hash}'
    for network in port.unit.source_ranges:
        yield f"-s {network_text(network)} {accept}"
    if any(config.address in network for network in port.unit.source_ranges):
        # A node that has the load balancer's address as its own talks to it from that address.
        for address in port.unit.load_balancer_ips:
            yield f"-s {_host(address)} {accept}"
    yield f'-m comment --comment "other traffic to {port.name} will be dropped by KUBE-PROXY-FIREWALL"'


def _balance(port: _Port, names: list[tuple[str, str]], context: Context) -> Iterator[str]:
    """Yield the rules that choose an endpoint: the one that the client had before, else each with equal chance."""
    comments = ["" if context.large else f'-m comment --comment "{port.name} -> {text}" ' for _, text in names]
    seconds = port.unit.affinity_seconds
    if seconds:
        mask = _recent_mask(port)
        for (chain, _), comment in zip(names, comments, strict=True):
            recent = f"-m recent --rcheck --seconds {seconds:d} --reap --name {chain} --mask {mask} --rsource"
            yield f"{comment}{recent} -j {chain}"
    left = len(names)
    for (chain, _), comment in zip(names, comments, strict=True):
        yield f"{comment}{_chance(left)}-j {chain}"
        left -= 1


@cache
def _chance(count: int) -> str:
    """Match one packet in `count`.

    kube-proxy writes 1/count with ten decimals, the kernel keeps it as a 31-bit fraction, and iptables-save prints
    that with eleven.
    """
    if count == 1:
        return ""
    fraction = round(round(1 / count, 10) * 2**31) / 2**31
    return f"-m statistic --mode random --probability {fraction:.11f} "


def _endpoint_chain(port: _Port, endpoint: Endpoint, named: tuple[str, str], context: Context) -> tuple[str, str]:
    """Return the rules of one endpoint: mark a hairpin (from the endpoint, to itself), then translate."""
    chain, text = named
    comment = "" if context.large else f'-m comment --comment "{port.name}" '
    recent = ""
    if port.unit.affinity_seconds:
        recent = f"-m recent --set --name {chain} --mask {_recent_mask(port)} --rsource "
    protocol = port.protocol
    return (
        f"-s {_host(endpoint.address)} {comment}{MARK_MASQ}",
        f"-p {protocol} {comment}{recent}-m {protocol} -j DNAT --to-destination {text}",
    )


def _recent_mask(port: _Port) -> str:
    """Return the mask that makes xt_recent remember whole addresses, as iptables-save prints it."""
    return ":".join(["ffff"] * 8) if isinstance(port.unit.cluster_ip, IPv6Address) else "255.255.255.255"


def _host(address: IPAddress) -> str:
    """Return `address/32` or `address/128`, as iptables-save prints a single address."""
    return f"{address_text(address)}/{address.max_prefixlen}"
