"""What people do to the objects of a lab that stands, as functions from one cluster to the next."""

from __future__ import annotations

from typing import Literal, cast, get_args

from msgspec.structs import replace

from lab.controllers.amend import Edit, changed
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.kubernetes import Deployment, Pod, PodCondition
from lab.parse import edit, kinds
from lab.parse.mistake import did_you_mean, listed, show

Condition = Literal["ready", "unready", "terminating"]
MOST_REPLICAS = 100_000


def apply(cluster: Cluster, text: str, source: str) -> Cluster:
    """Return `cluster` with the objects of a file created or changed; see `lab.parse.edit.applied`."""
    return edit.applied(cluster, text, source)


def delete(cluster: Cluster, kind: str, name: str) -> Cluster:
    """Return `cluster` without an object, and without what is its own: pods of a Deployment, slices of a Service."""
    return changed(cluster, Edit(gone=frozenset({kinds.deletable(cluster, kind, name)})))


def scale(cluster: Cluster, name: str, replicas: int) -> Cluster:
    """Return `cluster` with so many pods of a Deployment."""
    if not 0 <= replicas <= MOST_REPLICAS:
        raise TopologyError(f"{replicas} replicas: expected 0 to {MOST_REPLICAS}")
    found = cast("Deployment", kinds.find(cluster, "Deployment", name))
    return changed(cluster, Edit(objects={0: replace(found, spec=replace(found.spec, replicas=replicas))}))


def condition(cluster: Cluster, name: str, word: str, *, now: str) -> Cluster:
    """Return `cluster` with a pod that is `ready`, `unready`, or `terminating` since `now` (as RFC 3339 has it).

    A terminating pod goes on serving unless it is unready as well; `ready` takes both back, which no cluster can.
    """
    known = get_args(Condition)
    if word not in known:
        raise TopologyError(f"{show(word)} is no condition; expected {listed(known)}{did_you_mean(word, known)}")
    pod = cast("Pod", kinds.find(cluster, "Pod", name))
    stamp = {"ready": "", "unready": pod.metadata.deletion_timestamp, "terminating": now}[word]
    ready = {"ready": True, "unready": False, "terminating": pod.ready}[word]
    others = tuple(one for one in pod.status.conditions if one.type != "Ready")
    own = PodCondition(type="Ready", status="True" if ready else "False")
    changed_pod = replace(
        pod,
        metadata=replace(pod.metadata, deletion_timestamp=stamp),
        status=replace(pod.status, conditions=(*others, own)),
    )
    return changed(cluster, Edit(objects={0: changed_pod}, exact=True))
