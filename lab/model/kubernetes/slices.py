"""EndpointSlices."""

from __future__ import annotations

from typing import Literal

from lab.model.address import IPAddress
from lab.model.kubernetes.common import ObjectMeta, OptionalPort, Protocol
from lab.model.labels import SERVICE_NAME
from lab.model.part import Part


class EndpointConditions(Part, frozen=True, kw_only=True):
    """Ready and serving are true when absent, terminating is false (kube-proxy's reading)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintName(Part, frozen=True, kw_only=True):
    """A zone or a node by name."""

    name: str


class EndpointHints(Part, frozen=True, kw_only=True):
    """For which zones or nodes an endpoint is meant."""

    for_zones: tuple[HintName, ...] = ()
    for_nodes: tuple[HintName, ...] = ()


class ObjectReference(Part, frozen=True, kw_only=True):
    """The pod behind an endpoint."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class SliceEndpoint(Part, frozen=True, kw_only=True):
    """One endpoint of a slice; only its first address counts."""

    addresses: tuple[IPAddress, ...]
    conditions: EndpointConditions = EndpointConditions()
    hints: EndpointHints | None = None
    node_name: str | None = None
    zone: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Part, frozen=True, kw_only=True):
    """One port of a slice."""

    name: str | None = None
    port: OptionalPort | None = None
    protocol: Protocol = "TCP"


class EndpointSlice(Part, frozen=True, kw_only=True):
    """discovery.k8s.io/v1 EndpointSlice."""

    api_version: Literal["discovery.k8s.io/v1"] = "discovery.k8s.io/v1"
    kind: Literal["EndpointSlice"] = "EndpointSlice"
    metadata: ObjectMeta
    address_type: Literal["IPv4", "IPv6", "FQDN"] = "IPv4"
    endpoints: tuple[SliceEndpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()

    @property
    def service_key(self) -> tuple[str, str]:
        """The key of the Service that the slice belongs to; its name is "" if it belongs to none."""
        return self.metadata.namespace, self.metadata.labels.get(SERVICE_NAME, "")
