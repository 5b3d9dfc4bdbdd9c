"""Services, and the ranges that their addresses come from."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lab.model.address import IPAddress, IPNetwork
from lab.model.kubernetes.common import Distribution, ObjectMeta, OptionalPort, Policy, Port, Protocol
from lab.model.part import Part


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


class ServiceCIDRSpec(Part, frozen=True, kw_only=True):
    """Ranges that ClusterIPs come from."""

    cidrs: tuple[IPNetwork, ...] = ()


class ServiceCIDR(Part, frozen=True, kw_only=True):
    """networking.k8s.io/v1 ServiceCIDR."""

    api_version: Literal["networking.k8s.io/v1", "networking.k8s.io/v1beta1"] = "networking.k8s.io/v1"
    kind: Literal["ServiceCIDR"] = "ServiceCIDR"
    metadata: ObjectMeta
    spec: ServiceCIDRSpec = ServiceCIDRSpec()
