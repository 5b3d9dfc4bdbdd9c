"""What rules tell as a lab: one node that has them, the pods that they lead to, and a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING

from lab.controllers.adopt.ranges import cover, free
from lab.model.address import Family, IPAddress, family_of, host_network
from lab.model.cluster import cluster_ips, external_addresses, node_addresses, pod_addresses, pod_cidrs
from lab.model.kubernetes import (
    Container,
    ContainerPort,
    EndpointPort,
    EndpointSlice,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    NodeAddress,
    NodeStatus,
    ObjectMeta,
    ObjectReference,
    Pod,
    PodIP,
    PodSpec,
    PodStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
    SliceEndpoint,
)
from lab.model.lab import Client, Lab, LabMeta, LabSpec, Mode, Network, RouterRoute, Variant
from lab.model.labels import SERVICE_NAME
from lab.model.proxy_config import KubeProxyConfiguration

if TYPE_CHECKING:
    from lab.controllers.told.rules import Door, Name, Targets
    from lab.model.cluster import Cluster
    from lab.model.kubernetes import Object

Key = tuple[str, str]
Range = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Told:
    """A lab's document and objects."""

    lab: Lab
    objects: tuple[Object, ...]


def told_by(found: Targets, *, name: str, node: str, mode: Mode, variant: Variant) -> Told:
    """Return a lab called `name` in which all stands that the rules of its `node` lead to."""
    names = _pod_names(found)
    pods = [_pod(found, address, names[address], node) for address in names]
    services = tuple(_services(found))
    slices = tuple(one for key in dict.fromkeys(_keys(found)) for one in _slices(found, key, names, node))
    known = _families(found, services)
    spans = {family: _pod_range(found, names, family) for family in known}
    virtual = [address for service in services for address in cluster_ips(service)]
    ranges = {family: cover(virtual, family, 24 if family == "ipv4" else 112) for family in map(family_of, virtual)}
    taken: list[Range] = [*spans.values(), *(one for one in ranges.values() if one)]
    taken += [ip_network(address) for address in (*names, *found.own)]
    clients = free(known, taken)
    wires = free(known, [*taken, *clients])
    network = Network(
        pod_cidr=_text(spans.values()),
        service_cidr=_text(filter(None, ranges.values())) or _text(free(known[:1], [*taken, *clients, *wires])),
        node_cidr=_text(wires),
        client_cidr=_text(clients),
        plugin="ptp",
        addresses="anywhere",
        routes=tuple(_routes(services, node, known)),
    )
    proxy = KubeProxyConfiguration(mode=mode, cluster_cidr=_text(found.clusters))
    spec = LabSpec(clients=(Client(name="client"),), network=network, iptables=variant)
    lab = Lab(metadata=LabMeta(name=name), spec=spec)
    return Told(lab=lab, objects=(proxy, _node(found, node, known), *pods, *services, *slices))


def missing(found: Targets, cluster: Cluster, node: str) -> tuple[tuple[Pod, ...], tuple[IPAddress, ...]]:
    """Return pods for the addresses that nobody has in a lab that stands, and the addresses that have no place there.

    A pod stands on `node`, or on the node whose pod range its address is from.
    """
    known = {address for pod in cluster.pods for address in pod_addresses(pod)}
    known |= {address for one in cluster.nodes for address in node_addresses(one)}
    known |= {address for client in cluster.spec.clients for address in client.addresses}
    names = {address: key for address, key in _pod_names(found).items() if address not in known}
    homes = {address: _home(cluster, address, node) for address in names}
    taken = {pod.metadata.key for pod in cluster.pods}
    pods = [
        _pod(found, address, key if key not in taken else ("default", _target_name(address)), home)
        for address, key in names.items()
        if (home := homes[address])
    ]
    return tuple(pods), tuple(address for address, home in homes.items() if not home)


def _home(cluster: Cluster, address: IPAddress, node: str) -> str:
    if cluster.spec.network.pod_routes and family_of(address) in cluster.families:
        return node
    ranges = ((one.metadata.name, network) for one in cluster.nodes for network in pod_cidrs(one))
    edges = ("network_address", "broadcast_address")
    return next(
        (
            name
            for name, network in ranges
            if address in network and address not in {getattr(network, edge) for edge in edges}
        ),
        "",
    )


def _text(networks: Iterable[object]) -> str:
    return ",".join(map(str, networks))


def _families(found: Targets, services: Iterable[Service]) -> tuple[Family, ...]:
    every = [*found.open, *(address for one in services for address in cluster_ips(one)), *found.own]
    return tuple(sorted({family_of(address) for address in every})) or ("ipv4",)


def _pod_range(found: Targets, names: Iterable[IPAddress], family: Family) -> Range:
    said = next((network for network in found.clusters if family_of(network) == family), None)
    default = ip_network("10.244.0.0/16" if family == "ipv4" else "fd00:10:244::/56")
    return said or cover(names, family, 24 if family == "ipv4" else 64) or default


def _node(found: Targets, name: str, known: Sequence[Family]) -> Node:
    """Return the node; it has the addresses that the rules say are its own, if they say so."""
    mine: dict[Family, IPAddress] = {}
    for address in found.own:
        mine.setdefault(family_of(address), address)
    addresses = [NodeAddress(type="InternalIP", address=str(mine[family])) for family in known if family in mine]
    return Node(metadata=ObjectMeta(name=name), status=NodeStatus(addresses=tuple(addresses)))


def _pod_names(found: Targets) -> dict[IPAddress, Key]:
    """Return what the pods are called that the rules lead to: after the first Service that has them, and a number.

    An address of the machine's own (127.0.0.1, 169.254.x.x) is nobody's.
    """
    names: dict[IPAddress, Key] = {}
    numbers: dict[Key, int] = {}
    for name, behind in found.behind.items():
        for address, _ in behind:
            if address not in names and _can_stand(found, address):
                key = (name.namespace, name.service)
                numbers[key] = numbers.get(key, 0) + 1
                names[address] = (name.namespace, f"{name.service}-{numbers[key]}")
    for address in found.open:
        if address not in names and _can_stand(found, address):
            names[address] = ("default", _target_name(address))
    return names


def _can_stand(found: Targets, address: IPAddress) -> bool:
    apart = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return not apart and address not in found.own


def _target_name(address: IPAddress) -> str:
    return f"target-{str(address).replace('.', '-').replace(':', '-')}".rstrip("-")


def _pod(found: Targets, address: IPAddress, key: Key, node: str) -> Pod:
    ports = tuple(
        ContainerPort(container_port=port, protocol=protocol) for protocol, port in found.open.get(address, ())
    )
    return Pod(
        metadata=ObjectMeta(namespace=key[0], name=key[1]),
        spec=PodSpec(node_name=node, containers=(Container(name="target", ports=ports),)),
        status=PodStatus(pod_ip=address, pod_ips=(PodIP(ip=address),)),
    )


def _keys(found: Targets) -> Iterator[Key]:
    return ((name.namespace, name.service) for name in found.doors)


def _of(found: Targets, key: Key) -> Mapping[Name, Mapping[Door, None]]:
    return {name: doors for name, doors in found.doors.items() if (name.namespace, name.service) == key}


def _services(found: Targets) -> Iterator[Service]:
    """Yield the Services; one of which only a node port is known gets a ClusterIP from the lab."""
    by_key: dict[Key, dict[Name, dict[Door, None]]] = {}
    for name, doors in found.doors.items():
        by_key.setdefault((name.namespace, name.service), {})[name] = doors
    for key, named in by_key.items():
        every = [door for doors in named.values() for door in doors]
        ips = {family_of(door.address): door.address for door in every if door.way == "cluster IP" and door.address}
        balanced = dict.fromkeys(door.address for door in every if door.way == "loadbalancer IP")
        external = dict.fromkeys(door.address for door in every if door.way == "external IP")
        has_node_port = any(door.way == "node port" for door in every)
        texts = tuple(str(ips[family]) for family in sorted(ips))
        spec = ServiceSpec(
            type="LoadBalancer" if balanced else "NodePort" if has_node_port else "ClusterIP",
            cluster_ip=texts[0] if texts else "",
            cluster_ips=texts,
            ports=tuple(_port(name, doors) for name, doors in named.items() if _number(doors)),
            external_ips=tuple(address for address in external if address),
            external_traffic_policy="Local" if key in found.local else "Cluster",
            health_check_node_port=found.health.get(key, 0),
            internal_traffic_policy="Local" if key in found.inside else "Cluster",
            allocate_load_balancer_node_ports=has_node_port,
        )
        ingress = tuple(LoadBalancerIngress(ip=address) for address in balanced if address)
        status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress))
        yield Service(metadata=ObjectMeta(namespace=key[0], name=key[1]), spec=spec, status=status)


def _number(doors: Iterable[Door]) -> int:
    """Return the Service's own port; of one that has a node port alone that."""
    return next((door.port for door in doors if door.way != "node port"), next((door.port for door in doors), 0))


def _port(name: Name, doors: Iterable[Door]) -> ServicePort:
    node_port = next((door.port for door in doors if door.way == "node port"), 0)
    return ServicePort(name=name.port, port=_number(doors), protocol=name.protocol, node_port=node_port)


def _slices(found: Targets, key: Key, names: Mapping[IPAddress, Key], node: str) -> Iterator[EndpointSlice]:
    """Yield a slice for each of a Service's ports, family and port behind it."""
    groups: dict[tuple[str, str, Family, int], list[SliceEndpoint]] = {}
    for name in _of(found, key):
        for address, port in found.behind.get(name, ()):
            at = (name.port, name.protocol, family_of(address), port)
            pod = names.get(address)
            ref = ObjectReference(kind="Pod", namespace=pod[0], name=pod[1]) if pod else None
            groups.setdefault(at, []).append(SliceEndpoint(addresses=(address,), node_name=node, target_ref=ref))
    for number, ((port_name, protocol, family, port), endpoints) in enumerate(groups.items(), 1):
        yield EndpointSlice(
            metadata=ObjectMeta(name=f"{key[1]}-{number}", namespace=key[0], labels={SERVICE_NAME: key[1]}),
            address_type="IPv4" if family == "ipv4" else "IPv6",
            endpoints=tuple(endpoints),
            ports=(EndpointPort(name=port_name, port=port, protocol=protocol),),  # type: ignore[arg-type] # a Name's
        )


def _routes(services: Iterable[Service], node: str, known: Sequence[Family]) -> Iterator[RouterRoute]:
    every = dict.fromkeys(address for service in services for address in external_addresses(service))
    return (RouterRoute(to=host_network(address), via=node) for address in every if family_of(address) in known)
