"""The iptables rules of one service port in the shape of Kubernetes 1.20 (see `lab.proxy.classic` for its sources).

Of the two rules of a frontend the first marks what has to be masqueraded, the second jumps on:

    KUBE-SERVICES, KUBE-NODEPORTS ---> KUBE-SVC (every endpoint) ---> KUBE-SEP (one endpoint): DNAT
        |        |                       ^                              ^
        |        |                       |  from pods and this node     |
        |        +---> KUBE-XLB ---------+------------------------------+  policy Local: this node's endpoints
        |                ^
        +--> KUBE-FW ----+---> KUBE-SVC: a load balancer's address; what no source range lets in gets KUBE-MARK-DROP
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.model.address import IPAddress
from lab.model.ruleset import Chain, Place, ServiceRules
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import ProxyConfig
from lab.proxy.endpoints import Selection
from lab.proxy.iptables_words import (
    EXTERNALLY_UNSERVED,
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

MARK_DROP = "-j KUBE-MARK-DROP"

_LOCAL = "-m addrtype --src-type LOCAL"
# A bridged packet is a pod's, which may have an external IP of its own network; a local process has the other rule.
_FROM_AFAR = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"

SharedRules = Iterator[tuple[Place, str]]
Named = Sequence[tuple[str, str]]


def service_rules(unit: ServiceUnit, context: Context) -> ServiceRules:
    """Return the rules of one service port.

    All its endpoints count, once for each address: `lab.proxy.classic_units` has left out what is not ready, and hints
    came later.
    Raises `TopologyError` if a name or an address cannot stand in a rule.
    """
    name = service_port_name(unit.namespace, unit.name, unit.port_name)
    protocol = protocol_name(unit.protocol)
    port = Port(unit, _select(unit, context.config.node), name, protocol, chain_hash(name, protocol))
    owner = f"{unit.namespace}/{unit.name}"
    shared = _frontends if port.chosen.has_endpoints else _unserved
    chains = (Chain(chain, rules, owner) for chain, rules in _chains(port, context))
    return ServiceRules(owner=owner, chains=tuple(chains), shared=tuple(shared(port, context.config)))


def _select(unit: ServiceUnit, node: str) -> Selection:
    """Return all endpoints, one of each address: this node's, or the first."""
    found: dict[IPAddress, Endpoint] = {}
    for endpoint in unit.endpoints:
        if endpoint.address not in found or endpoint.node == node:
            found[endpoint.address] = endpoint
    chosen = tuple(found.values())
    local = tuple(endpoint for endpoint in chosen if endpoint.node == node) if unit.external_local else ()
    return Selection(
        cluster=chosen,
        local=local,
        reachable=chosen,
        has_endpoints=bool(chosen),
        has_internal=bool(chosen),
        has_external=bool(local or (chosen and not unit.external_local)),
    )


def _has_node_port(port: Port, config: ProxyConfig) -> bool:
    """Return whether the service port has a NodePort, and the node an address for it."""
    return bool(port.unit.node_port) and not _without_address(port, config)


def _without_address(port: Port, config: ProxyConfig) -> bool:
    """Return whether there is a NodePort and no address for it: 1.20 gave up such a service port half way.

    Neither its ClusterIP nor anything else led to an endpoint then: it came to no more than the empty chains.
    """
    return bool(port.unit.node_port and config.node_port_networks and not config.node_port_addresses)


def _unserved(port: Port, config: ProxyConfig) -> SharedRules:
    """Yield the refusals of a service port without endpoints."""
    unit = port.unit
    comment, target = " has no endpoints", refusal(port)
    yield UNSERVED, f"{port.to(host(unit.cluster_ip), comment)} {target}"
    for address in (*unit.external_ips, *unit.load_balancer_ips):
        yield EXTERNALLY_UNSERVED, f"{port.to(host(address), comment)} {target}"
    if _has_node_port(port, config):
        yield EXTERNALLY_UNSERVED, f"{port.at(unit.node_port, comment, '-m addrtype --dst-type LOCAL ')} {target}"


def _frontends(port: Port, config: ProxyConfig) -> SharedRules:
    """Yield what leads to a service port with endpoints."""
    unit = port.unit
    for rule in masquerade_internal(port, config):
        yield SERVICES, rule
    yield SERVICES, f"{port.to(host(unit.cluster_ip), ' cluster IP')} -j {_service(port)}"
    for address in unit.external_ips:
        match = port.to(host(address), " external IP")
        if not unit.external_local:
            yield SERVICES, f"{match} {MARK_MASQ}"
        yield SERVICES, f"{match} {_FROM_AFAR} -j {_external(port)}"
        yield SERVICES, f"{match} -m addrtype --dst-type LOCAL -j {_external(port)}"
    for address in unit.load_balancer_ips:
        yield SERVICES, f"{port.to(host(address), ' loadbalancer IP')} -j KUBE-FW-{port.hash}"
    if _has_node_port(port, config):
        match = port.at(unit.node_port, "")
        # What comes from a loopback address must not leave the machine with it (a martian source).
        loopback = f"-s {'127.0.0.0/8' if config.family == 'ipv4' else '::1/128'} " if unit.external_local else ""
        yield NODE_PORTS, f"{loopback}{match} {MARK_MASQ}"
        yield NODE_PORTS, f"{match} -j {_external(port)}"


def _service(port: Port) -> str:
    return f"KUBE-SVC-{port.hash}"


def _external(port: Port) -> str:
    return f"KUBE-{'XLB' if port.unit.external_local else 'SVC'}-{port.hash}"


def _chains(port: Port, context: Context) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the service port's own chains: KUBE-SVC, KUBE-XLB, KUBE-FW and a KUBE-SEP for each endpoint."""
    unit, config = port.unit, context.config
    about = "" if context.large else f'-m comment --comment "{port.name}" '
    endpoints = () if _without_address(port, config) else port.chosen.cluster
    names = [named(port, endpoint) for endpoint in endpoints]
    affinity = tuple(_affine(port, names, about))
    balance = tuple(f"{about}{chance(len(names) - n)}-j {chain}" for n, (chain, _) in enumerate(names))
    if port.chosen.has_endpoints:
        yield _service(port), (*affinity, *balance)
    if unit.external_local:  # without endpoints too: an empty chain that nothing leads to
        yield _external(port), tuple(_external_local(port, config)) if endpoints else ()
    if unit.load_balancer_ips and port.chosen.has_endpoints:
        yield f"KUBE-FW-{port.hash}", tuple(_firewall(port, config))
    for endpoint, name in zip(endpoints, names, strict=True):
        yield name[0], _endpoint(port, endpoint, name, about)


def _affine(port: Port, names: Named, comment: str) -> Iterator[str]:
    """Yield the rules that choose the endpoint that the client had before."""
    seconds, mask = port.unit.affinity_seconds, recent_mask(port)
    if seconds:
        for chain, _ in names:
            recent = f"-m recent --rcheck --seconds {seconds:d} --reap --name {chain} --mask {mask} --rsource"
            yield f"{comment}{recent} -j {chain}"


def _external_local(port: Port, config: ProxyConfig) -> Iterator[str]:
    """Yield the rules of KUBE-XLB: pods and the node itself go to any endpoint, others to those of this node."""
    if config.detector:
        about = '-m comment --comment "Redirect pods trying to reach external loadbalancer VIP to clusterIP"'
        yield f"{''.join(origin(config.detector))}{about} -j {_service(port)}"
    yield f'-m comment --comment "masquerade LOCAL traffic for {port.name} LB IP" {_LOCAL} {MARK_MASQ}'
    comment = f'-m comment --comment "route LOCAL traffic for {port.name} LB IP to service chain"'
    yield f"{comment} {_LOCAL} -j {_service(port)}"
    names = [named(port, endpoint) for endpoint in port.chosen.local]
    if not names:
        yield f'-m comment --comment "{port.name} has no local endpoints" {MARK_DROP}'
    yield from _affine(port, names, f'-m comment --comment "{port.name}" ')
    for number, (chain, _) in enumerate(names):
        comment = f'-m comment --comment "Balancing rule {number:d} for {port.name}"'
        yield f"{comment} {chance(len(names) - number)}-j {chain}"


def _firewall(port: Port, config: ProxyConfig) -> Iterator[str]:
    """Yield the rules of KUBE-FW, which kube-proxy repeats for each of several addresses of a load balancer."""
    unit = port.unit
    comment = f'-m comment --comment "{port.name} loadbalancer IP"'
    jump = f"-j {_external(port)}"
    for address in unit.load_balancer_ips:
        if not unit.external_local:
            yield f"{comment} {MARK_MASQ}"
        if not unit.source_ranges:
            yield f"{comment} {jump}"
        for network in unit.source_ranges:
            source = f"-s {network_text(network)} " if network.prefixlen else ""  # everybody is nobody in particular
            yield f"{source}{comment} {jump}"
        if any(config.address in network for network in unit.source_ranges):
            # A node that has the load balancer's address as its own talks to it from that address.
            yield f"-s {host(address)} {comment} {jump}"
        yield f"{comment} {MARK_DROP}"


def _endpoint(port: Port, endpoint: Endpoint, name: tuple[str, str], comment: str) -> tuple[str, str]:
    """Return the rules of one endpoint: mark a hairpin (from the endpoint, to itself), then translate."""
    chain, text = name
    recent = ""
    if port.unit.affinity_seconds:
        recent = f"-m recent --set --name {chain} --mask {recent_mask(port)} --rsource "
    protocol = port.protocol
    return (
        f"-s {host(endpoint.address)} {comment}{MARK_MASQ}",
        f"-p {protocol} {comment}{recent}-m {protocol} -j DNAT --to-destination {text}",
    )
