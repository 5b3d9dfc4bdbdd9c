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

from lab.model.ruleset import Chain, Place, ServiceRules
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import ProxyConfig
from lab.proxy.endpoints import externally_accessible, select
from lab.proxy.iptables_words import (
    EXTERNALLY_UNSERVED,
    FIREWALL,
    HEALTH,
    LOCALHOST_COUNTER,
    MARK_MASQ,
    NODE_PORTS,
    SERVICES,
    UNSERVED,
    Context,
    Port,
    chance,
    host,
    masquerade_internal,
    named,
    origin,
    recent_mask,
    refusal,
)
from lab.proxy.names import chain_hash, network_text, protocol_name, service_port_name

SharedRules = Iterator[tuple[Place, str]]


def service_rules(unit: ServiceUnit, context: Context) -> ServiceRules:
    """Return the rules of one service port.

    Raises `TopologyError` if a name or an address cannot stand in a rule.
    """
    config = context.config
    name = service_port_name(unit.namespace, unit.name, unit.port_name)
    protocol = protocol_name(unit.protocol)
    port = Port(unit, select(unit, config.node, config.zone), name, protocol, chain_hash(name, protocol))
    shared = (
        *_cluster_ip(port),
        *_external_ips(port),
        *_load_balancer(port),
        *_node_port(port, context),
        *_health_check(port),
    )
    return ServiceRules(owner=f"{unit.namespace}/{unit.name}", chains=tuple(_chains(port, context)), shared=shared)


def _cluster_ip(port: Port) -> SharedRules:
    address = host(port.unit.cluster_ip)
    if port.chosen.has_internal:
        yield SERVICES, f"{port.to(address, ' cluster IP')} -j {port.internal}"
    else:
        comment, target = _fate(port)
        yield UNSERVED, f"{port.to(address, comment)} {target}"


def _external_ips(port: Port) -> SharedRules:
    for address in map(host, port.unit.external_ips):
        if port.chosen.has_endpoints:
            yield SERVICES, f"{port.to(address, ' external IP')} -j KUBE-EXT-{port.hash}"
        if not port.chosen.has_external:
            comment, target = _fate(port)
            yield EXTERNALLY_UNSERVED, f"{port.to(address, comment)} {target}"


def _load_balancer(port: Port) -> SharedRules:
    addresses = [host(address) for address in port.unit.load_balancer_ips]
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


def _node_port(port: Port, context: Context) -> SharedRules:
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


def _health_check(port: Port) -> SharedRules:
    number = port.unit.health_check_node_port
    if number:
        comment = f'"{port.name} health check node port"'
        yield HEALTH, f"-p tcp -m comment --comment {comment} -m tcp --dport {number:d} -j ACCEPT"


def _fate(port: Port) -> tuple[str, str]:
    """Return (comment, target) for traffic that nothing here serves: refused for good, or dropped for this node."""
    if port.chosen.has_endpoints:
        return " has no local endpoints", "-j DROP"
    return " has no endpoints", refusal(port)


def _chains(port: Port, context: Context) -> Iterator[Chain]:
    """Yield the service port's own chains: KUBE-EXT, KUBE-FW, KUBE-SVC, KUBE-SVL and a KUBE-SEP for each endpoint."""
    unit, chosen = port.unit, port.chosen
    owner = f"{unit.namespace}/{unit.name}"
    if chosen.has_endpoints and externally_accessible(unit):
        yield Chain(f"KUBE-EXT-{port.hash}", tuple(_external_chain(port, context.config)), owner)
        if port.firewalled:
            yield Chain(f"KUBE-FW-{port.hash}", tuple(_firewall_chain(port, context.config)), owner)
    names = {id(endpoint): named(port, endpoint) for endpoint in chosen.reachable}
    for kind, endpoints in (("SVC", chosen.cluster), ("SVL", chosen.local)):
        if endpoints:
            chain = f"KUBE-{kind}-{port.hash}"
            first = masquerade_internal(port, context.config) if chain == port.internal else ()
            balance = _balance(port, [names[id(endpoint)] for endpoint in endpoints], context)
            yield Chain(chain, (*first, *balance), owner)
    for endpoint in chosen.reachable:
        chain, text = names[id(endpoint)]
        yield Chain(chain, _endpoint_chain(port, endpoint, (chain, text), context), owner)


def _external_chain(port: Port, config: ProxyConfig) -> Iterator[str]:
    about = f"traffic for {port.name} external destinations"
    if port.unit.external_local:
        jump = f"-j KUBE-SVC-{port.hash}"
        if config.detector:  # a pod is no outsider: it may go to any endpoint, and is not masqueraded
            yield f'{"".join(origin(config.detector))}-m comment --comment "pod {about}" {jump}'
        local = "-m addrtype --src-type LOCAL"
        yield f'-m comment --comment "masquerade LOCAL {about}" {local} {MARK_MASQ}'
        yield f'-m comment --comment "route LOCAL {about}" {local} {jump}'
    else:
        yield f'-m comment --comment "masquerade {about}" {MARK_MASQ}'
    if port.chosen.has_external:
        yield f"-j {port.external}"


def _firewall_chain(port: Port, config: ProxyConfig) -> Iterator[str]:
    accept = f'-m comment --comment "{port.name} loadbalancer IP" -j KUBE-EXT-{port.hash}'
    for network in port.unit.source_ranges:
        yield f"-s {network_text(network)} {accept}"
    if any(config.address in network for network in port.unit.source_ranges):
        # A node that has the load balancer's address as its own talks to it from that address.
        for address in port.unit.load_balancer_ips:
            yield f"-s {host(address)} {accept}"
    yield f'-m comment --comment "other traffic to {port.name} will be dropped by KUBE-PROXY-FIREWALL"'


def _balance(port: Port, names: list[tuple[str, str]], context: Context) -> Iterator[str]:
    """Yield the rules that choose an endpoint: the one that the client had before, else each with equal chance."""
    comments = ["" if context.large else f'-m comment --comment "{port.name} -> {text}" ' for _, text in names]
    seconds = port.unit.affinity_seconds
    if seconds:
        mask = recent_mask(port)
        for (chain, _), comment in zip(names, comments, strict=True):
            recent = f"-m recent --rcheck --seconds {seconds:d} --reap --name {chain} --mask {mask} --rsource"
            yield f"{comment}{recent} -j {chain}"
    left = len(names)
    for (chain, _), comment in zip(names, comments, strict=True):
        yield f"{comment}{chance(left)}-j {chain}"
        left -= 1


def _endpoint_chain(port: Port, endpoint: Endpoint, named: tuple[str, str], context: Context) -> tuple[str, str]:
    """Return the rules of one endpoint: mark a hairpin (from the endpoint, to itself), then translate."""
    chain, text = named
    comment = "" if context.large else f'-m comment --comment "{port.name}" '
    recent = ""
    if port.unit.affinity_seconds:
        recent = f"-m recent --set --name {chain} --mask {recent_mask(port)} --rsource "
    protocol = port.protocol
    return (
        f"-s {host(endpoint.address)} {comment}{MARK_MASQ}",
        f"-p {protocol} {comment}{recent}-m {protocol} -j DNAT --to-destination {text}",
    )
