"""What people do to the objects of a lab that stands, as functions from one cluster to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast, get_args

from msgspec.structs import replace

from lab.controllers.amend import Edit, Key, amend, changed, key_of
from lab.controllers.complete import title
from lab.controllers.endpoints import CONTROLLER
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.kubernetes import Deployment, EndpointSlice, Node, Pod, PodCondition
from lab.model.lab import Condition
from lab.model.labels import MANAGED_BY
from lab.model.status import shown
from lab.parse import kinds
from lab.parse.mistake import LAB, Mistakes, did_you_mean, listed, show
from lab.parse.topology import objects, refusal

MOST_REPLICAS = 100_000


def apply(cluster: Cluster, text: str, source: str, *, note: Callable[[str], object] = str) -> Cluster:
    """Return `cluster` with the objects of `text` created or changed; `source` is what messages call the text.

    `note` is told what of it was not read.

    Raises `TopologyError` with every mistake, as `FILE:LINE:COLUMN: path.to.field: what is wrong`; those of objects
    that stand already have no line, but the object's name.
    """
    found = objects(text, source)
    if not found.origins and not found.spots:
        raise TopologyError(f"{source}: there is nothing in here; expected Kubernetes objects")
    for sentence in found.notes:
        note(sentence)
    whole = Mistakes()
    done = amend(cluster, Edit(lab=found.lab, objects=found.objects), whole)
    found.judge(whole)
    if found.broken:
        standing = {at: title(one) for at, one in done.objects.items()}
        raise refusal(found, source, standing={LAB: f"Lab {cluster.name}", **standing})
    return done.cluster


def delete(cluster: Cluster, kind: str, name: str) -> Cluster:
    """Return `cluster` without an object, and without what is its own: pods of a Deployment, slices of a Service."""
    return changed(cluster, Edit(gone=frozenset({_deletable(cluster, kind, name)})))


def _deletable(cluster: Cluster, kind: str, text: str) -> Key:
    """Return the key of the object to delete; what would be made again at once is refused, and so is the last node."""
    one = kinds.find(cluster, kind, text)
    if isinstance(one, Node) and len(cluster.nodes) == 1:
        raise TopologyError(
            f"node {shown(one.metadata)} is the only one, and a lab has at least one",
            hint="to end the lab: invoke lab.down",
        )
    if isinstance(one, EndpointSlice) and one.metadata.labels.get(MANAGED_BY) == CONTROLLER:
        selected = any(
            service.metadata.key == one.service_key and service.spec.selector for service in cluster.services
        )
        if selected:
            raise TopologyError(
                f"EndpointSlice {shown(one.metadata)} follows from its Service's selector: it would be back at once",
                hint="take its pods out instead: invoke lab.condition POD unready",
            )
    return key_of(one)


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
