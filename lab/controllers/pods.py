"""Pods: those of Deployments beside the given ones, their nodes and their addresses."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lab.controllers.deployments import reconcile
from lab.controllers.ranges import FIRST_POD, Pool
from lab.model.address import family_of
from lab.model.cluster import gateway, node_addresses, pod_addresses, pod_cidrs
from lab.model.kubernetes import Deployment, Pod, PodIP
from lab.model.status import shown
from lab.parse.mistake import did_you_mean, listed, show

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lab.controllers.deployments import Key
    from lab.controllers.ranges import Book
    from lab.model.address import IPAddress
    from lab.model.kubernetes import Node
    from lab.parse.mistake import Mistakes, Path


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod, the object that it came from, where that object's pod spec stands, and whether the object is a Pod."""

    at: int
    spec: Path
    pod: Pod
    given: bool


def all_pods(objects: Mapping[int, object], out: Mistakes, reserved: Collection[Key] = ()) -> list[Placed]:
    """Return the pods in the order of the file: the given ones, and those that Deployments lack.

    Pods that are too many for their Deployment are left out; `reserved` names are not given to new ones.
    """
    replicas = reconcile(objects, reserved)
    placed = []
    for at, one in objects.items():
        if isinstance(one, Pod) and at not in replicas.surplus:
            placed.append(Placed(at, ("spec",), one, given=True))
        elif isinstance(one, Deployment):
            _check_selector(at, one, out)
            placed += [Placed(at, ("spec", "template", "spec"), pod, given=False) for pod in replicas.missing[at]]
    return placed


def _check_selector(at: int, deployment: Deployment, out: Mistakes) -> None:
    labels = deployment.spec.template.metadata.labels
    for key, value in deployment.spec.selector.match_labels.items():
        if labels.get(key) != value:
            text = f"the template's labels have no {key}: {show(value)}; expected the selector to match its own pods"
            out.add(at, ("spec", "selector", "matchLabels", key), text, certain=False)


def schedule(placed: list[Placed], names: list[str], out: Mistakes, *, spread: bool = False) -> list[Placed]:
    """Return the pods with a node each: the one they name, or the next one in turn.

    `spread`: instead of in turn, on the node with the fewest pods like it, then with the fewest pods.
    """
    choose = _Spread(placed, names) if spread else _Turn(names)
    known = frozenset(names)
    result = []
    reported = set()
    for one in placed:
        wanted = one.pod.spec.node_name
        if wanted and wanted not in known and one.at not in reported:
            reported.add(one.at)
            text = f"there is no node {show(wanted)}; expected {listed(names)}{did_you_mean(wanted, names)}"
            out.add(one.at, (*one.spec, "nodeName"), text, certain=False)
        node = wanted if wanted in known else choose(one)
        pod = one.pod if node == wanted else replace(one.pod, spec=replace(one.pod.spec, node_name=node))
        result.append(Placed(one.at, one.spec, pod, one.given))
    return result


class _Turn:
    """Chooses one node after the other."""

    def __init__(self, names: list[str]) -> None:
        self._names = cycle(names)

    def __call__(self, _: Placed) -> str:
        return next(self._names)


class _Spread:
    """Chooses the node with the fewest pods that look alike (by their labels), then with the fewest pods."""

    def __init__(self, placed: list[Placed], names: list[str]) -> None:
        self._names = names
        self._alike: Counter[tuple[object, str]] = Counter()
        self._all: Counter[str] = Counter()
        for one in placed:
            if one.pod.spec.node_name:
                self._count(one, one.pod.spec.node_name)

    def __call__(self, one: Placed) -> str:
        kin = _kin(one)
        node = min(self._names, key=lambda name: (self._alike[kin, name], self._all[name]))
        self._count(one, node)
        return node

    def _count(self, one: Placed, node: str) -> None:
        self._alike[_kin(one), node] += 1
        self._all[node] += 1


def _kin(one: Placed) -> object:
    return one.pod.metadata.namespace, frozenset(one.pod.metadata.labels.items())


def claim_pods(placed: list[Placed], nodes: Mapping[str, Node], book: Book, *, anywhere: bool = False) -> None:
    """Note the addresses that Pod objects give; each must lie in its node's range, unless they may be `anywhere`."""
    for one in placed:
        if not one.given or one.pod.spec.host_network:
            continue
        ranges = pod_cidrs(nodes[one.pod.spec.node_name])
        several = bool(one.pod.status.pod_ips)
        for index, address in enumerate(pod_addresses(one.pod)):
            path: Path = ("status", "podIPs", index, "ip") if several else ("status", "podIP")
            if anywhere or any(address in network for network in ranges):
                book.claim(address, f"pod {shown(one.pod.metadata)}", one.at, path)
            else:
                where = f"one of {listed(map(str, ranges))}" if ranges else "the node to have one, or plugin ptp"
                text = f"the address {address} is not in the pod range of {one.pod.spec.node_name}"
                book.out.add(one.at, path, f"{text}; expected {where}", certain=False)


@dataclass(slots=True)
class _Pools:
    """The pools of each node, made when its first pod needs them, and what ran out already."""

    nodes: Mapping[str, Node]
    book: Book
    pools: dict[str, list[Pool]] = field(default_factory=dict)
    dry: set[int] = field(default_factory=set)

    def of(self, node: str) -> list[Pool]:
        if node not in self.pools:
            self.pools[node] = [Pool(network, FIRST_POD, self.book) for network in pod_cidrs(self.nodes[node])]
        return self.pools[node]


def give_pod_addresses(
    placed: list[Placed], nodes: Mapping[str, Node], book: Book, *, anywhere: bool = False
) -> tuple[Pod, ...]:
    """Return the pods with an address of each family, from .2 on; a host-network pod has its node's.

    `anywhere`: a pod that has an address gets no other; one that has none gets one if its node has a pod range.
    """
    pools = _Pools(nodes, book)
    return tuple(_give_pod(one, pools, anywhere=anywhere) for one in placed)


def _give_pod(one: Placed, pools: _Pools, *, anywhere: bool) -> Pod:
    pod, name = one.pod, one.pod.spec.node_name
    if pod.spec.host_network:
        return _with(pod, node_addresses(pools.nodes[name]))
    given = pod_addresses(pod)
    if given and anywhere:
        return _with(pod, given)
    if anywhere and not pools.of(name):
        text = f"nobody gives pod {shown(pod.metadata)} an address: its node {name} has no pod range"
        pools.book.out.add(one.at, one.spec, f"{text}; expected status.podIP to say one", certain=False)
    mine = {family_of(address): address for address in reversed(given)}
    for pool in pools.of(name):
        family = family_of(pool.network)
        if family in mine:
            continue
        taken = pool.take(f"pod {shown(pod.metadata)}")
        if taken is not None:
            mine[family] = taken
        elif id(pool) not in pools.dry:
            pools.dry.add(id(pool))
            text = f"the pod range {pool.network} of {name} is exhausted at pod {shown(pod.metadata)}"
            pools.book.out.add(one.at, one.spec, f"{text}; expected fewer pods or more nodes", certain=False)
    return _with(pod, [mine[family] for family in map(family_of, pod_cidrs(pools.nodes[name])) if family in mine])


def _with(pod: Pod, addresses: Iterable[IPAddress]) -> Pod:
    ips = tuple(PodIP(ip=address) for address in addresses)
    return replace(pod, status=replace(pod.status, pod_ip=ips[0].ip if ips else None, pod_ips=ips))


def bridged(pods: Iterable[Pod], nodes: Iterable[Node]) -> bool:
    """Return whether every pod is where a bridge has its pods: in its node's own range, and not at its .0 or .1."""
    given = {node.metadata.name: pod_cidrs(node) for node in nodes}
    every = [network for mine in given.values() for network in mine]
    if len(set(every)) < len(every):
        return False
    edges = {edge for network in every for edge in (network.network_address, gateway(network))}
    return all(
        address not in edges and any(address in network for network in given[pod.spec.node_name])
        for pod in pods
        if not pod.spec.host_network
        for address in pod_addresses(pod)
    )
