"""Services and EndpointSlices to service ports, kube-proxy's unit of work.

Source: serviceport.go, servicechangetracker.go and endpointslicecache.go of pkg/proxy; pkg/api/v1/service/util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.model.address import FAMILY_NAMES, Family, IPAddress, IPNetwork, family_of
from lab.model.kubernetes import EndpointSlice, Protocol, Service, ServicePort, SliceEndpoint
from lab.model.labels import HEADLESS, PROXY_NAME
from lab.model.service import Endpoint, ServiceUnit
from lab.parse.sloppy import parse_address, parse_network
from lab.proxy.names import endpoint_text

_NONE: frozenset[str] = frozenset()

ServiceKey = tuple[str, str]
PortKey = tuple[str, Protocol]


def units(
    services: Iterable[Service], slices: Iterable[EndpointSlice], family: Family, *, external_ips: bool = True
) -> tuple[ServiceUnit, ...]:
    """Return the service ports of one family, sorted by namespace, name, port name and protocol.

    `external_ips` False empties every list of external IPs, as the feature gate AllowServiceExternalIPs does.
    Raises `TopologyError` for an address or a range that cannot be read.
    """
    of_service = _slices_by_service(slices, family)
    found: dict[tuple[str, str, str, Protocol], ServiceUnit] = {}
    for service in services:
        cluster_ip = _cluster_ip(service, family)
        if cluster_ip is None:
            continue
        meta = service.metadata
        endpoints = _endpoints(of_service.get(meta.key, ()))
        for port in service.spec.ports:
            key = (meta.namespace, meta.name, port.name, port.protocol)
            chosen = endpoints.get((port.name, port.protocol), ())
            found[key] = _unit(service, port, cluster_ip, chosen, external_ips=external_ips)
    return tuple(found[key] for key in sorted(found))


def _cluster_ip(service: Service, family: Family) -> IPAddress | None:
    """Return the Service's ClusterIP of the family; None when kube-proxy leaves the Service alone.

    A Service without ipFamilies is older than dual stack: its one ClusterIP has the family that it looks like.
    """
    spec = service.spec
    first = spec.cluster_ip or next(iter(spec.cluster_ips), "")
    if spec.type == "ExternalName" or first in {"", "None"} or PROXY_NAME in service.metadata.labels:
        return None
    if not spec.ip_families:
        address = parse_address(first)
        return address if family_of(address) == family else None
    texts = spec.cluster_ips or (first,)
    for text, api_family in zip(texts, spec.ip_families, strict=False):
        if api_family == FAMILY_NAMES[family]:
            return parse_address(text)
    return None


def _unit(
    service: Service, port: ServicePort, cluster_ip: IPAddress, endpoints: tuple[Endpoint, ...], *, external_ips: bool
) -> ServiceUnit:
    spec = service.spec
    version = cluster_ip.version
    balancer = tuple(
        entry.ip
        for entry in service.status.load_balancer.ingress
        if entry.ip is not None and entry.ip.version == version and entry.ip_mode == "VIP"
    )
    external_local = _external_local(service)
    return ServiceUnit(
        namespace=service.metadata.namespace,
        name=service.metadata.name,
        port_name=port.name,
        protocol=port.protocol,
        cluster_ip=cluster_ip,
        port=port.port,
        node_port=port.node_port,
        external_ips=tuple(ip for ip in spec.external_ips if ip.version == version) if external_ips else (),
        load_balancer_ips=balancer,
        source_ranges=_source_ranges(spec.load_balancer_source_ranges, version),
        external_local=external_local,
        internal_local=spec.internal_traffic_policy == "Local",
        affinity_seconds=_affinity_seconds(service),
        health_check_node_port=spec.health_check_node_port if external_local and spec.type == "LoadBalancer" else 0,
        endpoints=endpoints,
    )


def _external_local(service: Service) -> bool:
    """Return whether externalTrafficPolicy Local applies: a bare ClusterIP Service has no external traffic.

    External IPs of either family count (ExternalPolicyLocal, pkg/api/v1/service/util.go).
    """
    spec = service.spec
    external = spec.type in {"NodePort", "LoadBalancer"} or (spec.type == "ClusterIP" and bool(spec.external_ips))
    return external and spec.external_traffic_policy == "Local"


def _affinity_seconds(service: Service) -> int:
    spec = service.spec
    if spec.session_affinity != "ClientIP":
        return 0
    return spec.session_affinity_config.client_ip.timeout_seconds if spec.session_affinity_config else 10_800


def _source_ranges(texts: Sequence[str], version: int) -> tuple[IPNetwork, ...]:
    """Return the ranges of the family; none at all if one of them is everybody."""
    if not texts:
        return ()
    ranges = tuple(network for network in map(parse_network, texts) if network.version == version)
    return () if any(network.prefixlen == 0 for network in ranges) else ranges


def _slices_by_service(slices: Iterable[EndpointSlice], family: Family) -> dict[ServiceKey, list[EndpointSlice]]:
    """Return the slices of each Service, in the order of their names: kube-proxy's own order is random."""
    found: dict[ServiceKey, list[EndpointSlice]] = {}
    for one in slices:
        _, name = key = one.service_key
        if name and HEADLESS not in one.metadata.labels and one.address_type == FAMILY_NAMES[family]:
            found.setdefault(key, []).append(one)
    for several in found.values():
        if len(several) > 1:
            several.sort(key=lambda one: one.metadata.name)
    return found


def _endpoints(slices: Iterable[EndpointSlice]) -> dict[PortKey, tuple[Endpoint, ...]]:
    """Return the endpoints of one Service by port name and protocol, sorted by their *text* as kube-proxy does.

    Of several entries for one address and port a later one wins unless it is terminating: a pod that leaves must not
    hide the pod that took over its address (addEndpoints, endpointslicecache.go, 1.36).
    """
    found: dict[PortKey, dict[str, Endpoint]] = {}
    for one in slices:
        version = 4 if one.address_type == "IPv4" else 6
        for port in one.ports:
            if port.name is None or not port.port:
                continue
            chosen = found.setdefault((port.name, port.protocol), {})
            for entry in one.endpoints:
                if not entry.addresses or entry.addresses[0].version != version:
                    continue
                text = endpoint_text(entry.addresses[0], port.port)
                if text not in chosen or not entry.conditions.terminating:
                    chosen[text] = _endpoint(entry, port.port)
    return {key: tuple(chosen[text] for text in sorted(chosen)) for key, chosen in found.items()}


def _endpoint(entry: SliceEndpoint, port: int) -> Endpoint:
    conditions, hints = entry.conditions, entry.hints
    return Endpoint(
        address=entry.addresses[0],
        port=port,
        node=entry.node_name or "",
        ready=conditions.ready is not False,
        serving=conditions.serving is not False,
        terminating=conditions.terminating is True,
        zone_hints=frozenset(hint.name for hint in hints.for_zones) if hints else _NONE,
        node_hints=frozenset(hint.name for hint in hints.for_nodes) if hints else _NONE,
    )
