"""Which endpoints of a service port may be used from a node (CategorizeEndpoints, pkg/proxy/topology.go)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.model.service import Endpoint, ServiceUnit

Endpoints = tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The endpoints of a service port as one node may use them.

    `cluster` serves policy Cluster, `local` policy Local, `reachable` is both together, each in the order of the
    service port's endpoints. `has_endpoints`: whether any node could serve at all; without it traffic is rejected,
    with it but without a usable endpoint here (`has_internal`, `has_external`) it is dropped.
    """

    cluster: Endpoints
    local: Endpoints
    reachable: Endpoints
    has_endpoints: bool
    has_internal: bool
    has_external: bool


def externally_accessible(unit: ServiceUnit) -> bool:
    """Return whether anything but the ClusterIP leads to the service port (ExternallyAccessible, serviceport.go)."""
    return bool(unit.node_port or unit.load_balancer_ips or unit.external_ips)


def uses_cluster(unit: ServiceUnit) -> bool:
    """Return whether some traffic may go to every node's endpoints: node-local external traffic always may."""
    return not unit.internal_local or externally_accessible(unit)


def uses_local(unit: ServiceUnit) -> bool:
    """Return whether some traffic must stay on its node."""
    return unit.internal_local or (unit.external_local and externally_accessible(unit))


def select(unit: ServiceUnit, node: str, zone: str) -> Selection:
    """Return the endpoints of `unit` for the node called `node` in `zone` ("" when it has none)."""
    endpoints = unit.endpoints
    cluster = _cluster(endpoints, node, zone) if uses_cluster(unit) else ()
    local: Endpoints = ()
    reachable, any_usable = cluster, bool(cluster)
    if uses_local(unit):
        here = tuple(endpoint for endpoint in endpoints if endpoint.node == node)
        local = _first_usable(here)
        any_usable = any_usable or bool(_first_usable(endpoints))
        reachable = _union(endpoints, cluster, local)
    return Selection(
        cluster=cluster,
        local=local,
        reachable=reachable,
        has_endpoints=any_usable,
        has_internal=any_usable and bool(local or not unit.internal_local),
        has_external=any_usable and bool(local or not unit.external_local),
    )


def _cluster(endpoints: Endpoints, node: str, zone: str) -> Endpoints:
    ready = tuple([endpoint for endpoint in endpoints if endpoint.ready])
    return _hinted(ready, node, zone) if ready else _draining(endpoints)


def _first_usable(endpoints: Sequence[Endpoint]) -> Endpoints:
    """Return the ready endpoints; if there are none, those that still serve while they terminate."""
    return tuple(endpoint for endpoint in endpoints if endpoint.ready) or _draining(endpoints)


def _draining(endpoints: Sequence[Endpoint]) -> Endpoints:
    return tuple(endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating)


def _hinted(ready: Endpoints, node: str, zone: str) -> Endpoints:
    """Return the ready endpoints that hints mean for this node, else those for its zone, else all.

    Hints count only if every ready endpoint has them and one names us (topologyModeFromHints): half-written hints
    must not concentrate traffic. trafficDistribution itself is the EndpointSlice controller's business.
    """
    if all(endpoint.node_hints for endpoint in ready):
        named = tuple([endpoint for endpoint in ready if node in endpoint.node_hints])
        if named:
            return named
    if all(endpoint.zone_hints for endpoint in ready):
        named = tuple([endpoint for endpoint in ready if zone in endpoint.zone_hints])
        if named:
            return named
    return ready


def _union(endpoints: Endpoints, cluster: Endpoints, local: Endpoints) -> Endpoints:
    wanted = {id(endpoint) for endpoint in (*cluster, *local)}
    return tuple(endpoint for endpoint in endpoints if id(endpoint) in wanted)
