"""What stands in a lab, as rows of a table: the cluster's objects, and how they were found a moment ago."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.model.cluster import cluster_ips, external_addresses, node_addresses, pod_addresses, pod_cidrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.address import IPAddress, IPNetwork
    from lab.model.cluster import Cluster
    from lab.model.kubernetes import EndpointSlice, ObjectMeta, ObjectReference, Pod, Protocol, Service, ServicePort
    from lab.model.lab import Mode, Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRow:
    """A node, and how many pods it has."""

    name: str
    addresses: tuple[IPAddress, ...]
    pod_cidrs: tuple[IPNetwork, ...]
    pods: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """How a command that runs in a pod is, such as `nginx runs`; `well`: it listens wherever it shall."""

    text: str
    well: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PodRow:
    """A pod; `answering` is None when it was not asked, `latency_s` unless it answered.

    `name` is `coredns-1`, or `kube-system/coredns-1` outside the namespace default; `ports` are `8080/TCP`. `ready` is
    its condition, which decides whether Services send anybody there; whether it answers is another question.
    `processes`: how each command that runs in it is, such as `nginx runs`; then `answering` says whether each that
    shall listen does.
    """

    name: str
    node: str
    addresses: tuple[IPAddress, ...]
    ports: tuple[str, ...]
    ready: bool = True
    terminating: bool = False
    answering: bool | None = None
    latency_s: float | None = None
    processes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointRow:
    """A pod's address and port behind a Service's port; `pod` (as in PodRow) is empty when the slice names none."""

    address: IPAddress
    port: int
    pod: str = ""
    ready: bool = True
    terminating: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PortRow:
    """One port of a Service; `node_port` is 0 without one."""

    name: str
    protocol: Protocol
    port: int
    node_port: int = 0
    endpoints: tuple[EndpointRow, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """A Service; `external` are its external and its load balancer's addresses. A headless one has no `cluster_ips`."""

    name: str
    type: str
    cluster_ips: tuple[IPAddress, ...]
    external: tuple[IPAddress, ...]
    ports: tuple[PortRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientRow:
    """A machine outside the cluster."""

    name: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabRow:
    """A lab in a list: `topology` as its user named it, `age_s` in seconds."""

    name: str
    topology: str
    age_s: float
    keeper_pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """One lab that stands: `lab` is its own name, `topology` the one it was built from, `age_s` in seconds.

    `rules`: the nodes that have a file's rules instead of kube-proxy's, and which file's.
    """

    lab: str
    topology: str
    mode: Mode
    iptables: Variant
    keeper_pid: int
    age_s: float
    nodes: tuple[NodeRow, ...] = ()
    pods: tuple[PodRow, ...] = ()
    services: tuple[ServiceRow, ...] = ()
    clients: tuple[ClientRow, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether no pod was found silent."""
        return all(pod.answering is not False for pod in self.pods)


def shown(named: ObjectMeta | ObjectReference) -> str:
    """Return an object's name for people: with its namespace when that is not `default`."""
    return named.name if named.namespace in {"", "default"} else f"{named.namespace}/{named.name}"


def status_of(
    cluster: Cluster,
    *,
    lab: str,
    keeper_pid: int,
    age_s: float,
    health: Mapping[str, float | None] | None = None,
    processes: Mapping[str, tuple[Process, ...]] | None = None,
) -> Status:
    """Return the rows of a cluster.

    `health`: by pod (`shown` of its metadata), the latency in seconds of its answer, or None if it was silent;
    a pod that is not in it was not asked. `processes`: by pod, how its commands are.
    """
    return Status(
        lab=lab,
        topology=cluster.name,
        mode=cluster.mode,
        iptables=cluster.spec.iptables,
        keeper_pid=keeper_pid,
        age_s=age_s,
        nodes=tuple(
            NodeRow(
                name=node.metadata.name,
                addresses=node_addresses(node),
                pod_cidrs=pod_cidrs(node),
                pods=sum(pod.spec.node_name == node.metadata.name for pod in cluster.pods),
            )
            for node in cluster.nodes
        ),
        pods=tuple(_pod(pod, health or {}, processes or {}) for pod in cluster.pods),
        services=service_rows(cluster),
        clients=tuple(ClientRow(name=client.name, addresses=client.addresses) for client in cluster.spec.clients),
    )


def service_rows(cluster: Cluster) -> tuple[ServiceRow, ...]:
    """Return the Services with their ports and the endpoints behind each."""
    slices: dict[tuple[str, str], list[EndpointSlice]] = {}
    for piece in cluster.slices:
        slices.setdefault(piece.service_key, []).append(piece)
    return tuple(_service(service, slices.get(service.metadata.key, [])) for service in cluster.services)


def _pod(pod: Pod, health: Mapping[str, float | None], processes: Mapping[str, tuple[Process, ...]]) -> PodRow:
    name = shown(pod.metadata)
    latency_s, ran = health.get(name), processes.get(name, ())
    answers = [*([latency_s is not None] if name in health else ()), *(one.well for one in ran)]
    return PodRow(
        name=name,
        node=pod.spec.node_name,
        addresses=pod_addresses(pod),
        ports=tuple(f"{port.container_port}/{port.protocol}" for port in pod.ports),
        ready=pod.ready,
        terminating=pod.terminating,
        answering=all(answers) if answers else None,
        latency_s=latency_s,
        processes=tuple(one.text for one in ran),
    )


def _service(service: Service, slices: list[EndpointSlice]) -> ServiceRow:
    spec = service.spec
    return ServiceRow(
        name=shown(service.metadata),
        type=spec.type,
        cluster_ips=cluster_ips(service),
        external=external_addresses(service),
        ports=tuple(_port(port, slices) for port in spec.ports),
    )


def _port(port: ServicePort, slices: list[EndpointSlice]) -> PortRow:
    return PortRow(
        name=port.name,
        protocol=port.protocol,
        port=port.port,
        node_port=port.node_port,
        endpoints=tuple(
            EndpointRow(
                address=endpoint.addresses[0],
                port=own.port,
                pod=shown(endpoint.target_ref) if endpoint.target_ref else "",
                ready=endpoint.conditions.ready is not False,
                terminating=endpoint.conditions.terminating is True,
            )
            for piece in slices
            for own in piece.ports
            if (own.name or "") == port.name and own.port
            for endpoint in piece.endpoints
        ),
    )
