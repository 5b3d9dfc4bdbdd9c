"""A complete cluster as a Kubernetes List, and back: how a standing lab remembers its objects."""

from __future__ import annotations

from typing import Any

import msgspec

from lab.model.cluster import Cluster
from lab.model.kubernetes import Deployment, EndpointSlice, Node, Object, Pod, Service, ServiceCIDR, to_builtins
from lab.model.lab import Lab
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.values import decode

_PROGRAMS = "programs"  # beside the objects, since it is none of theirs: see `Cluster.programs`


def save(cluster: Cluster) -> dict[str, Any]:
    """Return every object of `cluster`, with all that was decided for it, as JSON-able data."""
    objects: tuple[Object | Lab, ...] = (
        cluster.lab,
        cluster.proxy,
        *cluster.nodes,
        *cluster.deployments,
        *cluster.pods,
        *cluster.services,
        *cluster.slices,
        *cluster.service_cidrs,
    )
    items = [
        {
            "apiVersion": item.api_version,
            "kind": item.kind,
            **to_builtins(item),
        }  # both are defaults, which are left out
        for item in objects
    ]
    programs = {} if cluster.programs is None else {_PROGRAMS: dict(cluster.programs)}
    return {"apiVersion": "v1", "kind": "List", "items": items, **programs}


def restore(saved: dict[str, Any]) -> Cluster:
    """Return the cluster that `save` made `saved` of."""

    def of(kind: type[Any]) -> tuple[Any, ...]:
        wanted = [item for item in saved["items"] if item["kind"] == kind.__name__]
        return tuple(msgspec.convert(item, kind, dec_hook=decode) for item in wanted)

    return Cluster(
        lab=of(Lab)[0],
        proxy=of(KubeProxyConfiguration)[0],
        nodes=of(Node),
        deployments=of(Deployment),
        pods=of(Pod),
        services=of(Service),
        slices=of(EndpointSlice),
        service_cidrs=of(ServiceCIDR),
        programs=saved.get(_PROGRAMS),
    )
