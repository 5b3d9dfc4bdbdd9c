"""What an object that is given anew keeps of the one that stands: what was allocated, and its status.

As `kubectl replace` has it: what the new object says counts, what it leaves out and the lab had decided stays.
Source: patchAllocatedValues() in pkg/registry/core/service/storage/alloc.go; the status is not the user's to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from msgspec.structs import replace

from lab.controllers.services import given_ips, wants_health_port, wants_node_ports
from lab.model.cluster import headless, node_addresses, pod_addresses, pod_cidrs
from lab.model.kubernetes import Node, NodeStatus, Pod, Service
from lab.model.proxy_config import KubeProxyConfiguration

if TYPE_CHECKING:
    from lab.model.kubernetes import Object, ServicePort, ServiceSpec

_Kind = TypeVar("_Kind", bound="Object")


def keep(old: _Kind, new: _Kind) -> _Kind:
    """Return `new` with what `old`, the object of the same name that stands, had been given."""
    kept: Object = new
    if isinstance(old, Pod) and isinstance(new, Pod):
        kept = _pod(old, new)
    elif isinstance(old, Service) and isinstance(new, Service):
        kept = _service(old, new)
    elif isinstance(old, Node) and isinstance(new, Node):
        kept = _node(old, new)
    elif isinstance(old, KubeProxyConfiguration) and isinstance(new, KubeProxyConfiguration):
        kept = replace(new, mode=new.mode or old.mode, cluster_cidr=new.cluster_cidr or old.cluster_cidr)
    return cast("_Kind", kept)


def replaced(old: Pod, new: Pod) -> bool:
    """Return whether a pod of the same name is another one, since it differs in what a running pod cannot change."""
    return _fixed(old) != _fixed(new)


def _fixed(pod: Pod) -> object:
    ports = {(port.container_port, port.protocol) for port in pod.ports}
    commands = [(one.command, one.args, one.env, one.working_dir) for one in pod.spec.containers if one.command]
    return pod.spec.node_name, pod.spec.host_network, pod_addresses(pod), ports, commands


def _pod(old: Pod, new: Pod) -> Pod:
    spec = new.spec if new.spec.node_name else replace(new.spec, node_name=old.spec.node_name)
    same_place = (spec.node_name, spec.host_network) == (old.spec.node_name, old.spec.host_network)
    status = new.status
    if not pod_addresses(new) and same_place:
        status = replace(status, pod_ip=old.status.pod_ip, pod_ips=old.status.pod_ips)
    if not status.conditions:
        status = replace(status, conditions=old.status.conditions)
    stamp = new.metadata.deletion_timestamp or old.metadata.deletion_timestamp
    return replace(new, metadata=replace(new.metadata, deletion_timestamp=stamp), spec=spec, status=status)


def _service(old: Service, new: Service) -> Service:
    spec = new.spec
    if "ExternalName" not in (old.spec.type, spec.type) and headless(old) == headless(new):
        spec = _with_addresses(old, new)
    if wants_node_ports(old) and wants_node_ports(new):
        spec = replace(spec, ports=tuple(_with_node_port(port, old) for port in spec.ports))
    if not spec.health_check_node_port and wants_health_port(old) and wants_health_port(new):
        spec = replace(spec, health_check_node_port=old.spec.health_check_node_port)
    status = new.status if new.status.load_balancer.ingress else old.status
    return replace(new, spec=spec, status=status)


def _with_addresses(old: Service, new: Service) -> ServiceSpec:
    spec, had = new.spec, old.spec
    if given_ips(new) or spec.ip_families[:1] not in ((), had.ip_families[:1]):
        return spec
    if not spec.ip_families and not spec.ip_family_policy:
        spec = replace(spec, ip_families=had.ip_families, ip_family_policy=had.ip_family_policy)
    if headless(new):
        return spec
    most = 1 if spec.ip_family_policy == "SingleStack" else len(spec.ip_families) or len(had.cluster_ips)
    return replace(spec, cluster_ip=had.cluster_ip, cluster_ips=had.cluster_ips[:most])


def _with_node_port(port: ServicePort, old: Service) -> ServicePort:
    if port.node_port:
        return port
    same = [one for one in old.spec.ports if one.name == port.name and one.protocol == port.protocol]
    return replace(port, node_port=same[0].node_port) if same else port


def _node(old: Node, new: Node) -> Node:
    if not pod_cidrs(new):
        new = replace(new, spec=replace(new.spec, pod_cidr=old.spec.pod_cidr, pod_cidrs=old.spec.pod_cidrs))
    if not node_addresses(new):
        inner = tuple(entry for entry in old.status.addresses if entry.type == "InternalIP")
        others = tuple(entry for entry in new.status.addresses if entry.type != "InternalIP")
        new = replace(new, status=NodeStatus(addresses=inner + others))
    return new
