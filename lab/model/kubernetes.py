"""The Kubernetes objects that Hairpin reads, with the fields that it uses.

Field names are those of the API in snake case (`cluster_ip` for `clusterIP`); a field that Kubernetes knows
and Hairpin does not use is listed in `lab.model.ignored`.
Source: https://kubernetes.io/docs/reference/kubernetes-api/ (v1.36).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lab.model.address import IPAddress, IPNetwork
from lab.model.labels import SERVICE_NAME
from lab.model.part import Part
from lab.model.proxy_config import KubeProxyConfiguration

Protocol = Literal["TCP", "UDP", "SCTP"]
HIGHEST_PORT = 65_535
Port = Annotated[int, Meta(ge=1, le=HIGHEST_PORT)]
OptionalPort = Annotated[int, Meta(ge=0, le=HIGHEST_PORT)]
Policy = Literal["Cluster", "Local"]
Distribution = Literal["PreferClose", "PreferSameZone", "PreferSameNode"]
Annotation = Annotated[str, Meta(max_length=256 * 1024)]  # kubectl keeps a whole object in one


class ObjectMeta(Part, frozen=True, kw_only=True):
    """Name, namespace and labels; an object with a `deletionTimestamp` is on its way out (a terminating pod)."""

    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, Annotation] = {}
    deletion_timestamp: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name: what tells objects of one kind apart."""
        return self.namespace, self.name


class NodeAddress(Part, frozen=True, kw_only=True):
    """One address of a Node: `address` is an IP for InternalIP and ExternalIP, a name for Hostname."""

    type: str
    address: str


class NodeSpec(Part, frozen=True, kw_only=True):
    """The Node's pod ranges, one per family."""

    pod_cidr: IPNetwork | None = None
    pod_cidrs: tuple[IPNetwork, ...] = ()


class NodeStatus(Part, frozen=True, kw_only=True):
    """The Node's addresses."""

    addresses: tuple[NodeAddress, ...] = ()


class Node(Part, frozen=True, kw_only=True):
    """v1 Node."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Node"] = "Node"
    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ContainerPort(Part, frozen=True, kw_only=True):
    """A port that a pod's server listens on."""

    name: str = ""
    container_port: Port
    protocol: Protocol = "TCP"


class EnvVar(Part, frozen=True, kw_only=True):
    """A variable of a container's environment; one whose value comes from elsewhere has none here, and is not set."""

    name: str
    value: str | None = None


class Container(Part, frozen=True, kw_only=True):
    """A container: its ports, and what would run in it; Hairpin's own server does, unless commands are run."""

    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    working_dir: str = ""


class PodSpec(Part, frozen=True, kw_only=True):
    """Where the pod runs and what it listens on."""

    node_name: str = ""
    host_network: bool = False
    containers: tuple[Container, ...] = ()


class PodIP(Part, frozen=True, kw_only=True):
    """One address of a pod."""

    ip: IPAddress


class PodCondition(Part, frozen=True, kw_only=True):
    """One condition of a pod; only Ready matters."""

    type: str
    status: Literal["True", "False", "Unknown"] = "True"


class PodStatus(Part, frozen=True, kw_only=True):
    """The pod's addresses, the first one first, its conditions, and how far it has come in its life."""

    phase: Literal["", "Pending", "Running", "Succeeded", "Failed", "Unknown"] = ""
    pod_ip: IPAddress | None = None
    pod_ips: tuple[PodIP, ...] = ()
    conditions: tuple[PodCondition, ...] = ()


class Pod(Part, frozen=True, kw_only=True):
    """v1 Pod."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Pod"] = "Pod"
    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ports(self) -> tuple[ContainerPort, ...]:
        """The ports of all containers."""
        return tuple(port for container in self.spec.containers for port in container.ports)

    @property
    def ready(self) -> bool:
        """Whether its condition Ready is True; a pod without that condition answers, and so is ready."""
        return all(one.status == "True" for one in self.status.conditions if one.type == "Ready")

    @property
    def finished(self) -> bool:
        """Whether it has run to its end: its address is free again, though the object still names it."""
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def terminating(self) -> bool:
        """Whether it is on its way out."""
        return bool(self.metadata.deletion_timestamp)


class LabelSelector(Part, frozen=True, kw_only=True):
    """The labels that a Deployment's pods carry."""

    match_labels: dict[str, str] = {}


class TemplateMeta(Part, frozen=True, kw_only=True):
    """Labels of the pods that a template makes."""

    labels: dict[str, str] = {}
    annotations: dict[str, Annotation] = {}


class PodTemplate(Part, frozen=True, kw_only=True):
    """What each pod of a Deployment looks like."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec = PodSpec()


class DeploymentSpec(Part, frozen=True, kw_only=True):
    """How many pods, and which."""

    replicas: Annotated[int, Meta(ge=0, le=100_000)] = 1
    selector: LabelSelector = LabelSelector()
    template: PodTemplate


class Deployment(Part, frozen=True, kw_only=True):
    """apps/v1 Deployment: its pods are named NAME-1, NAME-2, ... and spread over the nodes in turn."""

    api_version: Literal["apps/v1"] = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    metadata: ObjectMeta
    spec: DeploymentSpec


class ServicePort(Part, frozen=True, kw_only=True):
    """One port of a Service."""

    name: str = ""
    port: Port
    protocol: Protocol = "TCP"
    target_port: int | str | None = None
    node_port: OptionalPort = 0


class ClientIPConfig(Part, frozen=True, kw_only=True):
    """How long a client stays with its endpoint, in seconds."""

    timeout_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 10_800


class SessionAffinityConfig(Part, frozen=True, kw_only=True):
    """Parameters of session affinity."""

    client_ip: ClientIPConfig = ClientIPConfig()


class ServiceSpec(Part, frozen=True, kw_only=True):
    """What a Service asks of the proxy."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    cluster_ip: str = ""  # "", "None" or an address
    cluster_ips: tuple[str, ...] = ()
    ip_families: tuple[Literal["IPv4", "IPv6"], ...] = ()
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    external_ips: tuple[IPAddress, ...] = ()
    external_name: str = ""
    load_balancer_source_ranges: tuple[str, ...] = ()
    external_traffic_policy: Policy = "Cluster"
    internal_traffic_policy: Policy = "Cluster"
    traffic_distribution: Distribution | None = None
    session_affinity: Literal["None", "ClientIP"] = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    health_check_node_port: OptionalPort = 0
    publish_not_ready_addresses: bool = False
    allocate_load_balancer_node_ports: bool = True


class LoadBalancerIngress(Part, frozen=True, kw_only=True):
    """An address of a load balancer, or only its name."""

    ip: IPAddress | None = None
    ip_mode: Literal["VIP", "Proxy"] = "VIP"


class LoadBalancerStatus(Part, frozen=True, kw_only=True):
    """The addresses of a load balancer."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceStatus(Part, frozen=True, kw_only=True):
    """What a load balancer's controller fills in."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Part, frozen=True, kw_only=True):
    """v1 Service."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Service"] = "Service"
    metadata: ObjectMeta
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()


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


class ServiceCIDRSpec(Part, frozen=True, kw_only=True):
    """Ranges that ClusterIPs come from."""

    cidrs: tuple[IPNetwork, ...] = ()


class ServiceCIDR(Part, frozen=True, kw_only=True):
    """networking.k8s.io/v1 ServiceCIDR."""

    api_version: Literal["networking.k8s.io/v1", "networking.k8s.io/v1beta1"] = "networking.k8s.io/v1"
    kind: Literal["ServiceCIDR"] = "ServiceCIDR"
    metadata: ObjectMeta
    spec: ServiceCIDRSpec = ServiceCIDRSpec()


Object = Node | Pod | Deployment | Service | EndpointSlice | ServiceCIDR | KubeProxyConfiguration


def to_builtins(value: object) -> Any:  # noqa: ANN401 - JSON is what it is
    """Return `value` (an object or a part of one) as dicts, lists and strings, as the API would print it."""
    return msgspec.to_builtins(value, enc_hook=str)
