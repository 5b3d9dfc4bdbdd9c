"""Cluster -> hosts(5): the names that a cluster's DNS would resolve, and those of the lab's machines.

The short name of a Service depends on who asks, so there is one text for each Kubernetes namespace.
Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/.
"""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.address import IPAddress
from lab.model.cluster import Cluster, cluster_ips, headless, node_addresses, pod_addresses, pod_netns
from lab.model.kubernetes import EndpointSlice, Pod, Service
from lab.model.ops import Hosts

DOMAIN = "cluster.local"
_LOCALHOST = "127.0.0.1 localhost\n"


def hosts(cluster: Cluster) -> Hosts:
    """Return the hosts file of every Kubernetes namespace of `cluster`; `default` always has one."""
    metas = [item.metadata for item in cluster.services] + [item.metadata for item in cluster.pods]
    namespaces = sorted({"default", *(meta.namespace for meta in metas)})
    machines = list(_machines(cluster))
    services = [(service, addresses) for service in cluster.services if (addresses := _addresses(cluster, service))]
    return Hosts(texts=tuple((name, _text(name, services, cluster.pods, machines)) for name in namespaces))


def _text(
    namespace: str,
    services: list[tuple[Service, tuple[IPAddress, ...]]],
    pods: tuple[Pod, ...],
    machines: list[tuple[str, tuple[IPAddress, ...]]],
) -> str:
    """Return one file: a name that two things have belongs to the first in the order Service, pod here, machine."""
    lines, taken = [_LOCALHOST], {"localhost"}
    for service, addresses in services:
        names = _service_names(service)
        if service.metadata.namespace != namespace:
            names = names[1:]
        taken.update(names)
        lines += [f"{address} {' '.join(names)}\n" for address in addresses]
    here = [(pod.metadata.name, pod_addresses(pod)) for pod in pods if pod.metadata.namespace == namespace]
    for name, addresses in (*here, *machines):
        if name not in taken:
            taken.add(name)
            lines += [f"{address} {name}\n" for address in addresses]
    return "".join(lines)


def _service_names(service: Service) -> list[str]:
    name, namespace = service.metadata.name, service.metadata.namespace
    return [name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.{DOMAIN}"]


def _machines(cluster: Cluster) -> Iterator[tuple[str, tuple[IPAddress, ...]]]:
    """Yield what is called by its network namespace's name, wherever the asker is."""
    for node in cluster.nodes:
        yield node.metadata.name, node_addresses(node)
    for client in cluster.spec.clients:
        yield client.name, client.addresses
    for pod in cluster.pods:
        if not pod.spec.host_network:
            yield pod_netns(pod), pod_addresses(pod)


def _addresses(cluster: Cluster, service: Service) -> tuple[IPAddress, ...]:
    """Return a Service's ClusterIPs, of a headless one its endpoints, of an ExternalName nothing."""
    if service.spec.type == "ExternalName":
        return ()
    if not headless(service):
        return cluster_ips(service)
    parts = (part for part in cluster.slices if part.service_key == service.metadata.key)
    return tuple(dict.fromkeys(address for part in parts for address in _ready(part, service)))


def _ready(part: EndpointSlice, service: Service) -> Iterator[IPAddress]:
    """Yield the addresses that a headless Service's name resolves to: ready ones, or all if it publishes those too."""
    for endpoint in part.endpoints:
        ready = endpoint.conditions.ready is not False or service.spec.publish_not_ready_addresses
        if ready and part.address_type != "FQDN" and endpoint.addresses:
            yield endpoint.addresses[0]
