"""Deployments: which pods are theirs, which are missing, and which are too many.

A pod is a Deployment's when its labels match the selector and its name begins with the Deployment's, as the names do
that a ReplicaSet makes. A terminating pod still counts, as under podReplacementPolicy TerminationComplete (KEP-3973):
whoever marks one in a lab wants to see what becomes of its traffic, and no replacement.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.model.kubernetes import Deployment, ObjectMeta, Pod

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from lab.model.cluster import Cluster

Key = tuple[str, str]  # Kubernetes namespace and name


@dataclass(slots=True)
class Replicas:
    """What a Deployment's controller would do: `missing` pods by the Deployment's number, `surplus` pods' numbers."""

    missing: dict[int, list[Pod]] = field(default_factory=dict)
    surplus: set[int] = field(default_factory=set)


def reconcile(objects: Mapping[int, object], reserved: Collection[Key] = ()) -> Replicas:
    """Return which pods the Deployments among `objects` lack, under the next free names, and which are too many.

    The highest NAME-i go first; pods that are called otherwise were there before Hairpin, and stay longest. Names in
    `reserved` are not given again.
    """
    pods = {at: one for at, one in objects.items() if isinstance(one, Pod)}
    deployments = {at: one for at, one in objects.items() if isinstance(one, Deployment)}
    mine = owned(deployments, pods)
    taken = {pod.metadata.key for pod in pods.values()} | set(reserved)
    result = Replicas()
    for at, one in deployments.items():
        ranked = sorted(mine[at], key=lambda number: _number(one, pods[number]))
        result.surplus.update(ranked[one.spec.replicas :])
        names = _free_names(one, taken)
        result.missing[at] = [_replica(one, next(names)) for _ in range(one.spec.replicas - len(ranked))]
    return result


def pods_of(cluster: Cluster, deployment: Deployment) -> tuple[Pod, ...]:
    """Return a Deployment's pods, in the cluster's order."""
    pods = dict(enumerate(cluster.pods))
    mine = owned(dict(enumerate(cluster.deployments)), pods)
    return tuple(pods[number] for number in mine[cluster.deployments.index(deployment)])


def owned(deployments: Mapping[int, Deployment], pods: Mapping[int, Pod]) -> dict[int, list[int]]:
    """Return the numbers of each Deployment's pods, in order; a pod that fits two is that of the longer name."""
    spaces: dict[str, list[tuple[int, Deployment]]] = defaultdict(list)
    for at, one in deployments.items():
        spaces[one.metadata.namespace].append((at, one))
    found: dict[int, list[int]] = {at: [] for at in deployments}
    for number, pod in pods.items():
        fitting = [(at, one) for at, one in spaces[pod.metadata.namespace] if _fits(one, pod)]
        if fitting:
            found[max(fitting, key=lambda pair: len(pair[1].metadata.name))[0]].append(number)
    return found


def _fits(deployment: Deployment, pod: Pod) -> bool:
    if not pod.metadata.name.startswith(f"{deployment.metadata.name}-"):
        return False
    wanted = deployment.spec.selector.match_labels or deployment.spec.template.metadata.labels
    if not wanted:
        return _number(deployment, pod) > 0
    return all(pod.metadata.labels.get(key) == value for key, value in wanted.items())


def _number(deployment: Deployment, pod: Pod) -> int:
    """Return the i of a pod called NAME-i, or 0."""
    rest = pod.metadata.name.removeprefix(f"{deployment.metadata.name}-")
    return int(rest) if rest.isdecimal() and not rest.startswith("0") else 0


def _free_names(deployment: Deployment, taken: set[Key]) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        key = (deployment.metadata.namespace, f"{deployment.metadata.name}-{number}")
        if key not in taken:
            taken.add(key)
            yield key[1]


def _replica(deployment: Deployment, name: str) -> Pod:
    template = deployment.spec.template
    meta = ObjectMeta(
        name=name,
        namespace=deployment.metadata.namespace,
        labels=template.metadata.labels,
        annotations=template.metadata.annotations,
    )
    return Pod(metadata=meta, spec=template.spec)
