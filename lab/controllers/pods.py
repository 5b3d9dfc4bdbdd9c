"""Pods: those of Deployments beside the given ones, their nodes and their addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lab.controllers.ranges import FIRST_POD, Pool
from lab.model.address import family_of
from lab.model.cluster import node_addresses, pod_addresses, pod_cidrs
from lab.model.kubernetes import Deployment, ObjectMeta, Pod, PodIP, PodStatus
from lab.parse.mistake import did_you_mean, listed, show

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


def all_pods(objects: Mapping[int, object], out: Mistakes) -> list[Placed]:
    """Return Pods, and the pods NAME-1, NAME-2, ... of Deployments, in the order of the file."""
    placed = []
    for at, one in objects.items():
        if isinstance(one, Pod):
            placed.append(Placed(at, ("spec",), one, given=True))
        elif isinstance(one, Deployment):
            placed.extend(_replicas(at, one, out))
    return placed


def _replicas(at: int, deployment: Deployment, out: Mistakes) -> Iterable[Placed]:
    template = deployment.spec.template
    labels = template.metadata.labels
    for key, value in deployment.spec.selector.match_labels.items():
        if labels.get(key) != value:
            text = f"the template's labels have no {key}: {show(value)}; expected the selector to match its own pods"
            out.add(at, ("spec", "selector", "matchLabels", key), text, certain=False)
    for index in range(1, deployment.spec.replicas + 1):
        meta = ObjectMeta(
            name=f"{deployment.metadata.name}-{index}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations=template.metadata.annotations,
        )
        yield Placed(at, ("spec", "template", "spec"), Pod(metadata=meta, spec=template.spec), given=False)


def schedule(placed: list[Placed], names: list[str], out: Mistakes) -> list[Placed]:
    """Return the pods with a node each: the one they name, or the next one in turn."""
    known = frozenset(names)
    turn = cycle(names)
    result = []
    reported = set()
    for one in placed:
        wanted = one.pod.spec.node_name
        if wanted and wanted not in known and one.at not in reported:
            reported.add(one.at)
            text = f"there is no node {show(wanted)}; expected {listed(names)}{did_you_mean(wanted, names)}"
            out.add(one.at, (*one.spec, "nodeName"), text, certain=False)
        node = wanted if wanted in known else next(turn)
        pod = one.pod if node == wanted else replace(one.pod, spec=replace(one.pod.spec, node_name=node))
        result.append(Placed(one.at, one.spec, pod, one.given))
    return result


def claim_pods(placed: list[Placed], nodes: Mapping[str, Node], book: Book) -> None:
    """Note the addresses that Pod objects give; each must lie in its node's range."""
    for one in placed:
        if not one.given or one.pod.spec.host_network:
            continue
        ranges = pod_cidrs(nodes[one.pod.spec.node_name])
        several = bool(one.pod.status.pod_ips)
        for index, address in enumerate(pod_addresses(one.pod)):
            path: Path = ("status", "podIPs", index, "ip") if several else ("status", "podIP")
            if any(address in network for network in ranges):
                book.claim(address, _who(one.pod), one.at, path)
            else:
                where = listed(map(str, ranges))
                text = f"the address {address} is not in the pod range of {one.pod.spec.node_name}"
                book.out.add(one.at, path, f"{text}; expected one of {where}", certain=False)


def _who(pod: Pod) -> str:
    meta = pod.metadata
    return f"pod {meta.name}" if meta.namespace == "default" else f"pod {meta.namespace}/{meta.name}"


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


def give_pod_addresses(placed: list[Placed], nodes: Mapping[str, Node], book: Book) -> tuple[Pod, ...]:
    """Return the pods with an address of each family, from .2 on; a host-network pod has its node's."""
    pools = _Pools(nodes, book)
    return tuple(_give_pod(one, pools) for one in placed)


def _give_pod(one: Placed, pools: _Pools) -> Pod:
    pod, name = one.pod, one.pod.spec.node_name
    if pod.spec.host_network:
        return _with(pod, node_addresses(pools.nodes[name]))
    given = pod_addresses(pod)
    mine = {family_of(address): address for address in reversed(given)}
    for pool in pools.of(name):
        family = family_of(pool.network)
        if family in mine:
            continue
        taken = pool.take(_who(pod))
        if taken is not None:
            mine[family] = taken
        elif id(pool) not in pools.dry:
            pools.dry.add(id(pool))
            text = f"the pod range {pool.network} of {name} is exhausted at {_who(pod)}"
            pools.book.out.add(one.at, one.spec, f"{text}; expected fewer pods or more nodes", certain=False)
    return _with(pod, [mine[family] for family in map(family_of, pod_cidrs(pools.nodes[name])) if family in mine])


def _with(pod: Pod, addresses: Iterable[IPAddress]) -> Pod:
    ips = tuple(PodIP(ip=address) for address in addresses)
    return replace(pod, status=PodStatus(pod_ip=ips[0].ip if ips else None, pod_ips=ips))
