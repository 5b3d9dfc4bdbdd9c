"""A cluster: every object of a lab, complete, with nothing left to decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from lab.model.address import Family, IPAddress, IPNetwork, family_of
from lab.model.kubernetes import (
    Container,
    ContainerPort,
    Deployment,
    EndpointSlice,
    Node,
    Pod,
    Service,
    ServiceCIDR,
)
from lab.model.lab import Lab, LabSpec, Mode
from lab.model.program import program
from lab.model.proxy_config import KubeProxyConfiguration

ROUTER = "router"
ETH = "eth0"
"""The interface that every machine has on its bridge; a node's leads to the other machines."""
CBR = "cbr0"
"""A node's bridge to its pods, as kubenet called it."""
_FILE_NAME_MAX = 255  # NAME_MAX: a network namespace has its name as a file's


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of a comma-separated list, such as `10.244.0.0/16,fd00:10:244::/56`."""
    return tuple(ip_network(part.strip()) for part in text.split(","))


def gateway(network: IPNetwork) -> IPAddress:
    """Return a range's first address: the bridge's in a pod range, the router's in the nodes' and the clients'."""
    return network.network_address + min(1, network.num_addresses - 1)


def full_name(service: Service) -> str:
    """Return `svc/web`, or `svc/ns/web` outside of the namespace `default`: as users type it."""
    meta = service.metadata
    return f"svc/{meta.name}" if meta.namespace == "default" else f"svc/{meta.namespace}/{meta.name}"


def node_addresses(node: Node) -> tuple[IPAddress, ...]:
    """Return a Node's InternalIPs, in order."""
    return tuple(ip_address(entry.address) for entry in node.status.addresses if entry.type == "InternalIP")


def pod_cidrs(node: Node) -> tuple[IPNetwork, ...]:
    """Return a Node's pod ranges."""
    return node.spec.pod_cidrs or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


def pod_addresses(pod: Pod) -> tuple[IPAddress, ...]:
    """Return a pod's addresses, the primary one first."""
    return tuple(entry.ip for entry in pod.status.pod_ips) or ((pod.status.pod_ip,) if pod.status.pod_ip else ())


def pod_netns(pod: Pod) -> str:
    """Return the name of the network namespace that a pod runs in.

    Pods of the namespace `default` have their own name; `kube-system_coredns-1` is one elsewhere (`_` cannot be
    part of a Kubernetes name); a host-network pod runs in its node's. What a file name cannot hold ends in a hash.
    """
    if pod.spec.host_network:
        return pod.spec.node_name
    namespace = pod.metadata.namespace
    name = pod.metadata.name if namespace == "default" else f"{namespace}_{pod.metadata.name}"
    if len(name) <= _FILE_NAME_MAX:
        return name
    return f"{name[: _FILE_NAME_MAX - 11]}_{sha256(name.encode()).hexdigest()[:10]}"


def headless(service: Service) -> bool:
    """Return whether a Service was told to have no ClusterIP (`clusterIP: None`)."""
    return "None" in (service.spec.cluster_ip, *service.spec.cluster_ips)


def cluster_ips(service: Service) -> tuple[IPAddress, ...]:
    """Return a Service's ClusterIPs, the primary one first; a headless one and an ExternalName have none."""
    spec = service.spec
    return tuple(ip_address(text) for text in spec.cluster_ips or (spec.cluster_ip,) if text not in ("", "None"))


def external_addresses(service: Service) -> tuple[IPAddress, ...]:
    """Return a Service's external IPs, and those of its load balancer."""
    return service.spec.external_ips + tuple(entry.ip for entry in service.status.load_balancer.ingress if entry.ip)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A lab's objects after allocation, scheduling and the controllers: what `plan` and `proxy` work from.

    Every Node has its InternalIPs and podCIDRs, every Pod its node and podIPs, every Service its clusterIPs and
    nodePorts, every selector its EndpointSlices, every client its addresses.
    `programs`: where on the machine each program of a container's command is, "" if nowhere; None: commands are not
    run. It is no part of any document: a manifest may be a stranger's.
    """

    lab: Lab
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    service_cidrs: tuple[ServiceCIDR, ...] = ()
    proxy: KubeProxyConfiguration = field(default_factory=KubeProxyConfiguration)
    programs: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """The topology's name."""
        return self.lab.metadata.name

    @property
    def spec(self) -> LabSpec:
        """The Lab document's spec."""
        return self.lab.spec

    @property
    def mode(self) -> Mode:
        """Which kube-proxy mode makes the rules; kube-proxy's own default is iptables."""
        return self.proxy.mode or "iptables"

    def runs(self, container: Container) -> bool:
        """Return whether a container's command runs; else Hairpin's own server answers on its ports."""
        return bool(self.programs and self.programs.get(program(container)))

    def served(self, pod: Pod) -> tuple[ContainerPort, ...]:
        """Return the ports of a pod that are not left to what runs in it."""
        return tuple(port for one in pod.spec.containers if not self.runs(one) for port in one.ports)

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """The address families of the pods, the primary one first."""
        return tuple(family_of(network) for network in networks(self.spec.network.pod_cidr))
