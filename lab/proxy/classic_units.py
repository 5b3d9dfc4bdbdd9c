"""Services and EndpointSlices as Kubernetes 1.20 read them: what later releases added to these objects is not seen.

Source: newBaseServiceInfo, pkg/proxy/service.go; newEndpointSliceInfo, pkg/proxy/endpointslicecache.go;
RequestsOnlyLocalTraffic, pkg/api/v1/service/util.go, all of 1.20.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from msgspec import structs

from lab.model.address import Family
from lab.model.kubernetes import EndpointSlice, LoadBalancerStatus, Service, ServiceStatus
from lab.model.service import ServiceUnit
from lab.parse.sloppy import parse_network
from lab.proxy import services as today
from lab.proxy.services import ServiceKey


def units(
    services: Iterable[Service], slices: Iterable[EndpointSlice], family: Family, *, external_ips: bool = True
) -> tuple[ServiceUnit, ...]:
    """Return the service ports of one family as `lab.proxy.services.units` does, and with its arguments.

    Only ready endpoints are there, and no internalTrafficPolicy; every address of a load balancer counts, whatever its
    ipMode; a Service of type ClusterIP has no externalTrafficPolicy, even with external IPs.
    Raises what `lab.proxy.services.units` raises.
    """
    read = [_service(one) for one in services]
    ranges = {one.metadata.key: one.spec.load_balancer_source_ranges for one in read}
    found = today.units(read, map(_ready, slices), family, external_ips=external_ips)
    return tuple([_with_everybody(unit, ranges) if ranges[unit.namespace, unit.name] else unit for unit in found])


def _service(service: Service) -> Service:
    spec = service.spec
    if spec.internal_traffic_policy != "Cluster":
        spec = structs.replace(spec, internal_traffic_policy="Cluster")
    if spec.external_traffic_policy != "Cluster" and spec.type not in {"NodePort", "LoadBalancer"}:
        spec = structs.replace(spec, external_traffic_policy="Cluster")
    if spec is not service.spec:
        service = structs.replace(service, spec=spec)
    ingress = service.status.load_balancer.ingress
    if any(entry.ip_mode != "VIP" for entry in ingress):
        plain = tuple(structs.replace(entry, ip_mode="VIP") for entry in ingress)
        service = structs.replace(service, status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=plain)))
    return service


def _ready(one: EndpointSlice) -> EndpointSlice:
    """Return the slice without the endpoints that are not ready: they do not even hide others of their address."""
    if all(endpoint.conditions.ready is not False for endpoint in one.endpoints):
        return one
    kept = tuple([endpoint for endpoint in one.endpoints if endpoint.conditions.ready is not False])
    return structs.replace(one, endpoints=kept)


def _with_everybody(unit: ServiceUnit, ranges: dict[ServiceKey, tuple[str, ...]]) -> ServiceUnit:
    """Return the service port with all its source ranges: one that is everybody did not make the others go."""
    version = unit.cluster_ip.version
    networks = map(parse_network, ranges[unit.namespace, unit.name])
    return replace(unit, source_ranges=tuple(network for network in networks if network.version == version))
