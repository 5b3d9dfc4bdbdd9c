"""The Kubernetes objects that Hairpin reads, with the fields that it uses.

Field names are those of the API in snake case (`cluster_ip` for `clusterIP`); a field that Kubernetes knows
and Hairpin does not use is listed in `lab.model.ignored`.
Source: https://kubernetes.io/docs/reference/kubernetes-api/ (v1.36).
"""

from __future__ import annotations

from typing import Any

import msgspec

from lab.model.kubernetes.common import (
    HIGHEST_PORT,
    Annotation,
    Distribution,
    ObjectMeta,
    OptionalPort,
    Policy,
    Port,
    Protocol,
)
from lab.model.kubernetes.nodes import Node, NodeAddress, NodeSpec, NodeStatus
from lab.model.kubernetes.pods import (
    Container,
    ContainerPort,
    Deployment,
    DeploymentSpec,
    EnvVar,
    LabelSelector,
    Pod,
    PodCondition,
    PodIP,
    PodSpec,
    PodStatus,
    PodTemplate,
    TemplateMeta,
)
from lab.model.kubernetes.services import (
    ClientIPConfig,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServiceCIDR,
    ServiceCIDRSpec,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
)
from lab.model.kubernetes.slices import (
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    HintName,
    ObjectReference,
    SliceEndpoint,
)
from lab.model.proxy_config import KubeProxyConfiguration

__all__ = [
    "HIGHEST_PORT",
    "Annotation",
    "ClientIPConfig",
    "Container",
    "ContainerPort",
    "Deployment",
    "DeploymentSpec",
    "Distribution",
    "EndpointConditions",
    "EndpointHints",
    "EndpointPort",
    "EndpointSlice",
    "EnvVar",
    "HintName",
    "LabelSelector",
    "LoadBalancerIngress",
    "LoadBalancerStatus",
    "Node",
    "NodeAddress",
    "NodeSpec",
    "NodeStatus",
    "Object",
    "ObjectMeta",
    "ObjectReference",
    "OptionalPort",
    "Pod",
    "PodCondition",
    "PodIP",
    "PodSpec",
    "PodStatus",
    "PodTemplate",
    "Policy",
    "Port",
    "Protocol",
    "Service",
    "ServiceCIDR",
    "ServiceCIDRSpec",
    "ServicePort",
    "ServiceSpec",
    "ServiceStatus",
    "SessionAffinityConfig",
    "SliceEndpoint",
    "TemplateMeta",
    "to_builtins",
]

Object = Node | Pod | Deployment | Service | EndpointSlice | ServiceCIDR | KubeProxyConfiguration


def to_builtins(value: object) -> Any:  # noqa: ANN401 - JSON is what it is
    """Return `value` (an object or a part of one) as dicts, lists and strings, as the API would print it."""
    return msgspec.to_builtins(value, enc_hook=str)
