"""Which part of a cluster a lab is made of: some namespaces, and so many pods that it is up in seconds."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lab.errors import TopologyError
from lab.model.cluster import pod_addresses
from lab.model.labels import CONTROL_PLANE
from lab.parse.mistake import did_you_mean, listed, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.model.address import IPAddress
    from lab.model.kubernetes import EndpointSlice, Node, Pod, Service

LIMIT = 200
"""How many pods with a network of their own a lab gets unless it is told otherwise."""

FEW_NODES = 20
"""How many nodes a lab always gets; of more it has those that it needs."""

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What a user wants of a cluster: `only` these namespaces (none: all), at most `limit` pods (0: all)."""

    only: tuple[str, ...] = ()
    limit: int = LIMIT


def choice_of(only: Sequence[str], limit: int | None, *, from_: bool) -> Choice | None:
    """Return what is wanted of a real cluster (`from_`); None for a topology, of which everything is.

    Raises `TopologyError` for a choice from a topology, or a limit below 0.
    """
    if not from_:
        if only or limit is not None:
            raise TopologyError("--only and --limit choose from a cluster's objects; expected --from FILE beside them")
        return None
    most = LIMIT if limit is None else limit
    if most < 0:
        raise TopologyError(f"--limit {most}: expected how many pods at most, or 0 for all of them")
    return Choice(only=tuple(only), limit=most)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What a lab is made of: pods, Services and their slices; a slice of no Service is not among them."""

    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    slices: tuple[EndpointSlice, ...]


def in_namespaces(whole: Part, only: Sequence[str]) -> Part:
    """Return what is in the namespaces `only`, or, if there are none, all.

    Raises `TopologyError` for a namespace in which there is neither a pod nor a Service, with the nearest name.
    """
    spaces = {pod.metadata.namespace for pod in whole.pods}
    known = sorted(spaces.union(service.metadata.namespace for service in whole.services))
    for name in only:
        if name not in known:
            near = did_you_mean(name, known)
            raise TopologyError(
                f"--only {show(name)}: there is nothing in this namespace; expected {listed(known)}{near}"
            )
    names = set(only or known)
    services = tuple(one for one in whole.services if one.metadata.namespace in names)
    keys = {one.metadata.key for one in services}
    return Part(
        pods=tuple(one for one in whole.pods if one.metadata.namespace in names),
        services=services,
        slices=tuple(one for one in whole.slices if one.service_key in keys),
    )


def at_most(whole: Part, limit: int) -> Part:
    """Return at most `limit` pods with a network of their own (0: all), and what Services have left of endpoints.

    Every Service gets one pod before any gets a second, on the node that has the fewest; pods of no Service come last.
    Endpoints of pods that are left out go, and so do Services that had endpoints and have none any more.
    """
    own = [pod for pod in whole.pods if not pod.spec.host_network]
    if not limit or len(own) <= limit:
        return whole
    chosen = _chosen(own, whole.slices, limit)
    gone = {address for pod in own if pod.metadata.key not in chosen for address in pod_addresses(pod)}
    slices = tuple(_without(one, gone) for one in whole.slices)
    had, have = _served(whole.slices), _served(slices)
    services = tuple(one for one in whole.services if one.metadata.key in have or one.metadata.key not in had)
    keys = {one.metadata.key for one in services}
    return Part(
        pods=tuple(pod for pod in whole.pods if pod.spec.host_network or pod.metadata.key in chosen),
        services=services,
        slices=tuple(one for one in slices if one.service_key in keys),
    )


def _without(one: EndpointSlice, gone: set[IPAddress]) -> EndpointSlice:
    left = tuple(endpoint for endpoint in one.endpoints if not gone.intersection(endpoint.addresses[:1]))
    return one if len(left) == len(one.endpoints) else replace(one, endpoints=left)


def _served(slices: Iterable[EndpointSlice]) -> set[Key]:
    return {one.service_key for one in slices if one.endpoints}


def _chosen(pods: Sequence[Pod], slices: Iterable[EndpointSlice], limit: int) -> set[Key]:
    """Return the keys of `limit` of the pods."""
    owners = {address: pod for pod in pods for address in pod_addresses(pod)}
    behind: dict[Key, dict[Key, Pod]] = {}
    for one in slices:
        for endpoint in one.endpoints:
            pod = owners.get(endpoint.addresses[0]) if endpoint.addresses else None
            if pod is not None:
                behind.setdefault(one.service_key, {})[pod.metadata.key] = pod
    chosen: dict[Key, Pod] = {}
    crowd: Counter[str] = Counter()
    queues = deque(list(one.values()) for one in behind.values())
    while queues and len(chosen) < limit:
        waiting = queues.popleft()
        _take_one(waiting, chosen, crowd)
        if waiting:
            queues.append(waiting)
    rest: dict[str, deque[Pod]] = {}
    for pod in pods:
        if pod.metadata.key not in chosen:
            rest.setdefault(pod.spec.node_name, deque()).append(pod)
    while rest and len(chosen) < limit:
        node = min(rest, key=lambda name: crowd[name])
        pod = rest[node].popleft()
        chosen[pod.metadata.key] = pod
        crowd[node] += 1
        if not rest[node]:
            del rest[node]
    return set(chosen)


def _take_one(waiting: list[Pod], chosen: dict[Key, Pod], crowd: Counter[str]) -> None:
    """Move a pod from `waiting` to `chosen`: a ready one, on the node with the fewest; none if one of them is chosen.

    One that another Service has brought along counts for this one, too.
    """
    there = next((pod for pod in waiting if pod.metadata.key in chosen), None)
    pod = there or min(waiting, key=lambda pod: (not pod.ready, crowd[pod.spec.node_name]))
    waiting.remove(pod)
    if there is None:
        chosen[pod.metadata.key] = pod
        crowd[pod.spec.node_name] += 1


def nodes_in_use(part: Part, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return all nodes if they are few; else those that a pod of the part is on, and the control plane's."""
    if len(nodes) <= FEW_NODES:
        return tuple(nodes)
    used = {pod.spec.node_name for pod in part.pods if not pod.spec.host_network}
    return tuple(node for node in nodes if node.metadata.name in used or is_control_plane(node))


def is_control_plane(node: Node) -> bool:
    """Return whether a node is one of the control plane's, by the label that kubeadm gives it."""
    return any(name in node.metadata.labels for name in CONTROL_PLANE)
