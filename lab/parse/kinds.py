"""The kinds of objects as kubectl takes them, and finding one of a lab's objects by kind and name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import TopologyError
from lab.model.kubernetes import Deployment, EndpointSlice, Node, Pod, Service, ServiceCIDR
from lab.model.status import shown
from lab.parse.mistake import did_you_mean, listed, show
from lab.parse.place import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.cluster import Cluster

_WORDS = {
    "Node": "node nodes no",
    "Pod": "pod pods po",
    "Deployment": "deployment deployments deploy",
    "Service": "service services svc",
    "EndpointSlice": "endpointslice endpointslices",
    "ServiceCIDR": "servicecidr servicecidrs",
}
Named = Node | Pod | Deployment | Service | EndpointSlice | ServiceCIDR
KINDS = {word: kind for kind, several in _WORDS.items() for word in several.split()}


def kind_of(text: str) -> str:
    """Return the kind that a word of kubectl's means (`svc`, `Deployment`, `deployments.apps`).

    Raises `TopologyError` with the nearest word.
    """
    refuse(text, "a kind")
    word = text.lower().partition(".")[0]
    if word not in KINDS:
        first = [several.split()[0] for several in _WORDS.values()]
        near = did_you_mean(word, KINDS)
        raise TopologyError(f"{show(text)} is no kind of object that can be deleted; expected {listed(first)}{near}")
    return KINDS[word]


def find(cluster: Cluster, kind: str, text: str) -> Named:
    """Return the object of a kind that `text` names: `NAME`, `NAMESPACE/NAME`, or either after `KIND/`.

    Of several in different namespaces the one in `default` is meant. Raises `TopologyError` with the nearest name.
    """
    refuse(text, "a name")
    every = _every(cluster, kind)
    first, slash, rest = text.partition("/")
    if slash and KINDS.get(first.lower()) == kind:
        text = rest
    space, slash, name = text.rpartition("/")
    found = [one for one in every if one.metadata.name == name and (not slash or one.metadata.namespace == space)]
    inside = [one for one in found if one.metadata.namespace == "default"] or found
    if len(inside) == 1:
        return inside[0]
    if inside:
        raise TopologyError(f"{show(text)} means several; expected {listed(shown(one.metadata) for one in inside)}")
    names = [shown(one.metadata) for one in every]
    raise TopologyError(f"there is no {kind} {show(text)}; expected {listed(names)}{did_you_mean(text, names)}")


def _every(cluster: Cluster, kind: str) -> Sequence[Named]:
    every: dict[str, Sequence[Named]] = {
        "Node": cluster.nodes,
        "Pod": cluster.pods,
        "Deployment": cluster.deployments,
        "Service": cluster.services,
        "EndpointSlice": cluster.slices,
        "ServiceCIDR": cluster.service_cidrs,
    }
    return every[kind]
