"""Who answers where: each endpoint of a cluster's slices gets somebody who listens on its ports.

Pods answer on the ports that they declare, and on those that slices say of them: many declare none. What a slice says
of a node's own address is answered by a host-network pod there, the one that the slice names, or declares the port, or
(for the Service `kubernetes`) is the API server; what nobody is known to serve, as kubelet's ports, by a pod that
stands for the node's other processes. An endpoint that is nobody's in the cluster is a machine outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lab.controllers.adopt.living import own_addresses
from lab.model.cluster import pod_addresses
from lab.model.kubernetes import Container, ContainerPort, ObjectMeta, Pod, PodCondition, PodSpec, PodStatus
from lab.model.lab import Client, ClientPort

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.model.address import IPAddress
    from lab.model.kubernetes import EndpointSlice, Node, Protocol, Service, SliceEndpoint

Key = tuple[str, str]
Open = tuple["Protocol", int]

PROXY_HEALTH: Open = ("TCP", 10256)
"""Where each node of a lab answers as its kube-proxy (see `lab.plan.health`)."""
API_SERVER = "kube-apiserver"
HOST = "host"


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Pods with all the ports that they answer on, and the machines outside that slices name.

    `stand_ins`: the nodes whose own processes are answered for. `made`: how many pods only slices know of.
    `clashes`: ports of host-network pods that another one of the node has already.
    """

    pods: tuple[Pod, ...]
    outside: tuple[Client, ...]
    stand_ins: tuple[str, ...]
    made: int
    clashes: int


@dataclass(slots=True)
class _Owner:
    """A pod, and the ports that it gets beside those that it declares."""

    pod: Pod
    declared: tuple[Container, ...] = ()
    more: dict[Open, None] = field(default_factory=dict)


class _Ports:
    """Who listens on which port so far."""

    def __init__(self, pods: Sequence[Pod], nodes: Sequence[Node], services: Iterable[Service]) -> None:
        self.owners = {pod.metadata.key: _Owner(pod) for pod in pods}
        self.by_address = {
            address: pod.metadata.key for pod in pods if not pod.spec.host_network for address in pod_addresses(pod)
        }
        self.selectors = {one.metadata.key: one.spec.selector for one in services}
        self.nodes = {address: node.metadata.name for node in nodes for address in own_addresses(node).values()}
        checked: set[Open] = {
            ("TCP", one.spec.health_check_node_port) for one in services if one.spec.health_check_node_port
        }
        reserved: set[Open] = {PROXY_HEALTH, *checked}
        self.on_nodes: dict[tuple[str, Open], Key | None] = {
            (node.metadata.name, port): None for node in nodes for port in reserved
        }
        self.stand_ins: dict[Key, str] = {}
        self.outside: dict[IPAddress, dict[Open, None]] = {}
        self.clashes = self.made = 0
        for owner in self.owners.values():
            self._declare(owner)

    def _declare(self, owner: _Owner) -> None:
        """Note a pod's own ports: each once, and of a node's only those that are still free; a name is one port's.

        What its containers run is nothing to a lab that has not got their images.
        """
        pod, seen, names = owner.pod, set[Open](), set[str]()
        containers = []
        for container in pod.spec.containers:
            mine = []
            for port in container.ports:
                at: Open = (port.protocol, port.container_port)
                if at in seen:
                    continue
                seen.add(at)
                if pod.spec.host_network and self.on_nodes.setdefault((pod.spec.node_name, at), pod.metadata.key) != (
                    pod.metadata.key
                ):
                    self.clashes += 1
                    continue
                mine.append(replace(port, name="") if port.name in names else port)
                names.add(port.name)
            containers.append(Container(name=container.name, ports=tuple(mine)))
        owner.declared = tuple(containers)

    def serve(self, one: EndpointSlice, endpoint: SliceEndpoint, ports: Iterable[Open]) -> None:
        """See that somebody listens at an endpoint."""
        address = endpoint.addresses[0]
        if address not in self.by_address and address not in self.nodes:
            self._missing(one, endpoint)
        if address in self.by_address:
            owner = self.owners[self.by_address[address]]
            known = {(port.protocol, port.container_port) for part in owner.declared for port in part.ports}
            owner.more.update((port, None) for port in ports if port not in known)
        elif address in self.nodes:
            for port in ports:
                self._on_node(self.nodes[address], one, endpoint, port)
        else:
            self.outside.setdefault(address, {}).update(dict.fromkeys(ports))

    def _missing(self, one: EndpointSlice, endpoint: SliceEndpoint) -> None:
        """Make the pod that an endpoint names, if its node is known and only the pod itself is not in the file."""
        ref, node, address = endpoint.target_ref, endpoint.node_name, endpoint.addresses[0]
        if ref is None or ref.kind != "Pod" or node is None or node not in self.nodes.values():
            return
        labels = self.selectors.get(one.service_key, {})
        meta = ObjectMeta(name=ref.name, namespace=ref.namespace or one.metadata.namespace, labels=labels)
        if meta.key in self.owners:
            return
        ready = PodCondition(type="Ready", status="False" if endpoint.conditions.ready is False else "True")
        status = PodStatus(pod_ip=address, conditions=(ready,))
        self.owners[meta.key] = _Owner(Pod(metadata=meta, spec=PodSpec(node_name=node), status=status))
        self.by_address[address] = meta.key
        self.made += 1

    def _on_node(self, node: str, one: EndpointSlice, endpoint: SliceEndpoint, port: Open) -> None:
        if (node, port) in self.on_nodes:
            return
        key = self._named(node, endpoint) or self._api_server(node, one) or self._stand_in(node)
        self.on_nodes[node, port] = key
        self.owners[key].more[port] = None

    def _named(self, node: str, endpoint: SliceEndpoint) -> Key | None:
        ref = endpoint.target_ref
        owner = self.owners.get((ref.namespace, ref.name)) if ref and ref.kind == "Pod" else None
        there = owner and owner.pod.spec.host_network and owner.pod.spec.node_name == node
        return owner.pod.metadata.key if owner and there else None

    def _api_server(self, node: str, one: EndpointSlice) -> Key | None:
        if one.service_key != ("default", "kubernetes"):
            return None
        return next(
            (
                key
                for key, owner in self.owners.items()
                if key[0] == "kube-system"
                and owner.pod.spec.node_name == node
                and owner.pod.metadata.labels.get("component") == API_SERVER
            ),
            None,
        )

    def _stand_in(self, node: str) -> Key:
        """Return the key of the pod that stands for a node's other processes; it is made when it is needed first."""
        meta = ObjectMeta(name=f"{HOST}-{node}"[:253].rstrip("-."), namespace="default")
        if meta.key not in self.owners:
            self.owners[meta.key] = _Owner(Pod(metadata=meta, spec=PodSpec(node_name=node, host_network=True)))
            self.stand_ins[meta.key] = node
        return meta.key


def serve(
    pods: Sequence[Pod], nodes: Sequence[Node], services: Iterable[Service], slices: Iterable[EndpointSlice]
) -> Served:
    """Return pods and machines that listen on every port of every endpoint."""
    ports = _Ports(pods, nodes, services)
    for one in slices:
        wanted = tuple(open_ports(one))
        for endpoint in one.endpoints:
            if endpoint.addresses:
                ports.serve(one, endpoint, wanted)
    return Served(
        pods=tuple(map(_complete, ports.owners.values())),
        outside=tuple(_client(address, found) for address, found in ports.outside.items()),
        stand_ins=tuple(ports.stand_ins.values()),
        made=ports.made,
        clashes=ports.clashes,
    )


def open_ports(one: EndpointSlice) -> Iterator[Open]:
    """Yield the ports of a slice."""
    return ((port.protocol, port.port) for port in one.ports if port.port)


def _complete(owner: _Owner) -> Pod:
    more = tuple(ContainerPort(container_port=number, protocol=protocol) for protocol, number in owner.more)
    containers = (*owner.declared, Container(name="slices", ports=more)) if more else owner.declared
    return replace(owner.pod, spec=replace(owner.pod.spec, containers=containers))


def _client(address: IPAddress, ports: Iterable[Open]) -> Client:
    name = f"endpoint-{str(address).replace('.', '-').replace(':', '-')}".rstrip("-")
    answering = tuple(ClientPort(port=number, protocol=protocol) for protocol, number in ports)
    return Client(name=name, addresses=(address,), ports=answering)
