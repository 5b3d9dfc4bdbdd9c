"""What of a cluster is drawn: everything of a small one, of a large one so much that it can be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from lab import words
from lab.model.address import IPAddress
from lab.model.cluster import Cluster, gateway, headless, networks, node_addresses, pod_addresses, pod_cidrs
from lab.model.interfaces import FLANNEL, GATEWAY, interfaces
from lab.model.kubernetes import Node, Pod, Service
from lab.model.status import EndpointRow, PortRow, ServiceRow, service_rows, shown
from lab.picture.topology.scene import MORE_NODES, Interface, Line, Machine, NodeBox, PodBox, Scene, ServiceBox, State

MOST_NODES, MOST_SERVICES, MOST_CLIENTS = 4, 8, 6
"""So many are drawn of each, and the others counted."""
_ROWS = 16
"""So many pods are drawn in all, but at least a few of each node."""
_FEWEST_PODS = 4
_MOST_OUTSIDE = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a pod is in the picture: its key, or that of those that are not drawn; by name, and by address."""

    by_name: dict[str, str] = field(default_factory=dict)
    by_address: dict[IPAddress, str] = field(default_factory=dict)

    def of(self, endpoint: EndpointRow) -> str:
        """Return an endpoint's place, "" if no pod of the cluster is there."""
        return self.by_name.get(endpoint.pod) or self.by_address.get(endpoint.address, "")


def scene(cluster: Cluster, *, lab: str = "") -> Scene:
    """Return what is to be drawn of a cluster; `lab` is what stands of it, if it is not called as the topology."""
    rows = service_rows(cluster)
    services, more_services = _few(list(zip(cluster.services, rows, strict=True)), MOST_SERVICES)
    nodes, more_nodes = _few(cluster.nodes, MOST_NODES)
    wanted = {end.pod for _, row in services for port in row.ports for end in port.endpoints}
    places = _Places()
    boxes = _nodes(cluster, nodes, wanted, places)
    network = cluster.spec.network
    clients, more_clients = _few(cluster.spec.clients, MOST_CLIENTS)
    return Scene(
        name=lab or cluster.name,
        subtitle=_subtitle(cluster),
        wire=network.node_cidr,
        nodes=boxes,
        services=tuple(_service(at, one, row, places) for at, (one, row) in enumerate(services)),
        router=Machine(
            name="router",
            addresses=tuple(gateway(one) for one in chain(networks(network.node_cidr), networks(network.client_cidr))),
        ),
        clients=tuple(Machine(name=one.name, addresses=one.addresses) for one in clients),
        more_nodes=more_nodes,
        more_pods=sum(place == MORE_NODES for place in places.by_name.values()),
        more_services=more_services,
        more_clients=more_clients,
    )


def _few(items: Sequence[T], most: int) -> tuple[Sequence[T], int]:
    """Return the first ones, and how many there are beside; a single one is not worth a count."""
    return (items, 0) if len(items) <= most + 1 else (items[:most], len(items) - most)


def _subtitle(cluster: Cluster) -> str:
    network = cluster.spec.network
    proxy = "nftables" if cluster.mode == "nftables" else f"iptables ({cluster.spec.iptables})"
    release = ", classic" if cluster.spec.release == "classic" else ""
    between = "VXLAN between nodes" if network.overlay == "vxlan" else "routes between nodes"
    pods = "bridge cbr0" if network.plugin == "bridge" else "a routed cable to each pod"
    return " · ".join(
        [
            words.count(len(cluster.nodes), "node"),
            words.count(len(cluster.pods), "pod"),
            words.count(len(cluster.services), "Service"),
            f"kube-proxy: {proxy}{release}",
            pods,
            between,
        ]
    )


def _nodes(cluster: Cluster, nodes: Sequence[Node], wanted: set[str], places: _Places) -> tuple[NodeBox, ...]:
    """Return the nodes that are drawn, and note where each pod of the cluster is."""
    on: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        on.setdefault(pod.spec.node_name, []).append(pod)
    most = max(_FEWEST_PODS, _ROWS // max(1, len(nodes)))
    boxes = tuple(_node(cluster, at, one, _choice(on, one, wanted, most), places) for at, one in enumerate(nodes))
    drawn = {one.metadata.name for one in nodes}
    for pod in cluster.pods:
        if pod.spec.node_name not in drawn:
            _note(places, pod, MORE_NODES)
    return boxes


def _choice(on: dict[str, list[Pod]], node: Node, wanted: set[str], most: int) -> tuple[list[Pod], list[Pod]]:
    """Return a node's pods that are drawn, and the others: whom a Service that is drawn leads to comes first."""
    there = on.get(node.metadata.name, [])
    first = sorted(there, key=lambda pod: shown(pod.metadata) not in wanted)
    chosen = {pod.metadata.key for pod in _few(first, most)[0]}
    return ([pod for pod in there if pod.metadata.key in chosen], [p for p in there if p.metadata.key not in chosen])


def _note(places: _Places, pod: Pod, key: str) -> None:
    places.by_name[shown(pod.metadata)] = key
    if not pod.spec.host_network:
        places.by_address.update(dict.fromkeys(pod_addresses(pod), key))


def _node(cluster: Cluster, at: int, node: Node, pods: tuple[list[Pod], list[Pod]], places: _Places) -> NodeBox:
    key = f"node-{at}"
    boxes = tuple(_pod(f"{key}-pod-{number}", pod) for number, pod in enumerate(pods[0]))
    box = NodeBox(
        key=key,
        name=node.metadata.name,
        addresses=node_addresses(node),
        ranges=tuple(map(str, pod_cidrs(node))),
        wiring=tuple(_wiring(cluster, node)),
        pods=boxes,
        more=len(pods[1]),
    )
    for pod, drawn in zip(pods[0], boxes, strict=True):
        _note(places, pod, drawn.key)
    for pod in pods[1]:
        _note(places, pod, box.more_key)
    return box


def _wiring(cluster: Cluster, node: Node) -> Iterable[Interface]:
    """Yield a node's interfaces: what its pods are behind, its tunnels, and at last eth0."""
    network = cluster.spec.network
    first, *others = interfaces(cluster, node).items()
    for name, addresses in others:
        if name == GATEWAY:
            yield Interface(name="veths", says="routed", addresses=addresses)
        elif name in FLANNEL.values():
            yield Interface(name=name, says="VXLAN", addresses=addresses)
        else:
            yield Interface(name=name, says=network.hairpin_mode, addresses=addresses, bridge=True)
    yield Interface(name=first[0], says="", addresses=first[1])


def _pod(key: str, pod: Pod) -> PodBox:
    return PodBox(
        key=key,
        name=shown(pod.metadata),
        addresses=pod_addresses(pod),
        ports=tuple(f"{port.container_port}/{port.protocol}" for port in pod.ports),
        state="terminating" if pod.terminating else "ready" if pod.ready else "not ready",
        host_network=pod.spec.host_network,
    )


def _service(at: int, service: Service, row: ServiceRow, places: _Places) -> ServiceBox:
    lines: dict[tuple[str, State], list[str]] = {}
    outside: dict[str, None] = {}
    ends: dict[tuple[str, State], set[str]] = {}
    for endpoint in (end for port in row.ports for end in port.endpoints):
        state: State = "terminating" if endpoint.terminating else "ready" if endpoint.ready else "not ready"
        socket = words.socket(endpoint.address, endpoint.port)
        if place := places.of(endpoint):
            lines.setdefault((place, state), []).append(socket)
            ends.setdefault((place, state), set()).add(endpoint.pod or str(endpoint.address))
        else:
            outside[socket + ("" if state == "ready" else f" ({state})")] = None
    few, more = _few(list(outside), _MOST_OUTSIDE)
    return ServiceBox(
        key=f"service-{at}",
        name=row.name,
        type="headless" if headless(service) else row.type,
        addresses=(*map(str, row.cluster_ips), *(f"{address} external" for address in row.external)),
        ports=tuple(_port(port) for port in row.ports),
        notes=tuple(_notes(service)),
        lines=tuple(
            Line(to=to, state=state, count=len(ends[to, state]), sockets=tuple(dict.fromkeys(sockets)))
            for (to, state), sockets in lines.items()
        ),
        outside=(*few, f"and {more} more") if more else tuple(few),
    )


def _port(port: PortRow) -> str:
    """Return `http 80/TCP → 8080, node port 30080`."""
    targets = words.several([str(number) for number in sorted({end.port for end in port.endpoints})], "or")
    name = f"{port.name} " if port.name else ""
    node_port = f", node port {port.node_port}" if port.node_port else ""
    return f"{name}{port.port}/{port.protocol}{f' → {targets}' if targets else ''}{node_port}"


def _notes(service: Service) -> Iterable[str]:
    """Yield what a Service is told that is not the default."""
    spec = service.spec
    if spec.type == "ExternalName":
        yield f"alias of {spec.external_name}"
    if spec.session_affinity == "ClientIP":
        given = spec.session_affinity_config
        yield f"session affinity, {words.seconds(given.client_ip.timeout_seconds if given else 10_800)}"
    if spec.external_traffic_policy == "Local" and spec.type in {"NodePort", "LoadBalancer"}:
        yield "external traffic: Local"
    if spec.internal_traffic_policy == "Local":
        yield "internal traffic: Local"
    if spec.traffic_distribution:
        yield f"distribution: {spec.traffic_distribution}"
    if spec.load_balancer_source_ranges:
        yield f"only from {', '.join(spec.load_balancer_source_ranges)}"
