"""Which of a cluster's objects there is anything to build of, and in which form."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from lab.model.address import IPAddress, IPNetwork, family_of
from lab.model.cluster import ROUTER, pod_addresses, pod_cidrs
from lab.model.kubernetes import NodeAddress, NodeStatus, PodIP
from lab.model.labels import TOPOLOGY_HINTS, TOPOLOGY_MODE
from lab.parse.sloppy import address_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.model.address import Family
    from lab.model.kubernetes import Node, ObjectMeta, Pod, Service

_Kind = TypeVar("_Kind", IPAddress, IPNetwork)
_KEPT_NOTES = (TOPOLOGY_HINTS, TOPOLOGY_MODE)
FINISHED = "has run to its end"
WAITING = "is on no node yet"
HOMELESS = "is on a node that is not in the file"
NO_ADDRESS = "has no address yet"
SAME_ADDRESS = "has the address of another one"
SAME_NAME = "has the name of a node"


@dataclass(slots=True)
class Living:
    """The pods that run, and, for each reason, how many do not."""

    pods: list[Pod] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def living(pods: Iterable[Pod], nodes: Sequence[Node]) -> Living:
    """Return the pods that are somewhere on `nodes`; of two that say they have one address, the ready one."""
    found = Living()
    names = {node.metadata.name for node in nodes}
    taken = {address for node in nodes for address in own_addresses(node).values()}
    ordered = sorted(pods, key=lambda pod: (pod.terminating, not pod.ready))  # stable: as in the file otherwise
    keep: list[Pod] = []
    for pod in ordered:
        reason = _missing(pod, names, taken)
        if reason:
            found.others[reason] += 1
            continue
        if not pod.spec.host_network:
            taken.update(pod_addresses(pod))
        keep.append(pod)
    kept = {pod.metadata.key for pod in keep}
    found.pods = [plain(pod) for pod in pods if pod.metadata.key in kept]
    return found


def _missing(pod: Pod, nodes: set[str], taken: set[IPAddress]) -> str:
    """Return why there is nothing to build of a pod ("" if there is)."""
    own = not pod.spec.host_network
    named = pod.metadata.namespace == "default" and pod.metadata.name in (*nodes, ROUTER)
    reasons = (
        (pod.finished, FINISHED),
        (not pod.spec.node_name, WAITING),
        (pod.spec.node_name not in nodes, HOMELESS),
        (named, SAME_NAME),
        (own and not pod_addresses(pod), NO_ADDRESS),
        (own and taken.intersection(pod_addresses(pod)), SAME_ADDRESS),
    )
    return next((reason for holds, reason in reasons if holds), "")


def plain(pod: Pod) -> Pod:
    """Return a pod without what nobody looks at, some of which is long, and with one address of each family."""
    ips = tuple(PodIP(ip=address) for address in _first(pod_addresses(pod)).values())
    status = replace(pod.status, pod_ip=ips[0].ip if ips else None, pod_ips=ips)
    return replace(pod, metadata=plain_meta(pod.metadata), status=status)


def plain_meta(meta: ObjectMeta) -> ObjectMeta:
    """Return metadata with those annotations alone that mean something here."""
    return replace(meta, annotations={key: meta.annotations[key] for key in _KEPT_NOTES if key in meta.annotations})


def own_addresses(node: Node) -> dict[Family, IPAddress]:
    """Return the node's address of each family, as kube-proxy takes it: the first InternalIP, else an ExternalIP.

    Source: GetNodeHostIPs in pkg/util/node/node.go.
    """
    found: dict[Family, IPAddress] = {}
    for kind in ("InternalIP", "ExternalIP"):
        for entry in node.status.addresses:
            if entry.type == kind:
                address = address_of(entry.address)
                found.setdefault(family_of(address), address)
    return found


def plain_node(node: Node, families: Iterable[Family]) -> Node:
    """Return a node with its own addresses, as InternalIPs, and its pod ranges, of `families`."""
    mine, known = own_addresses(node), set(families)
    addresses = tuple(
        NodeAddress(type="InternalIP", address=str(address)) for family, address in mine.items() if family in known
    )
    ranges = tuple(network for family, network in _first(pod_cidrs(node)).items() if family in known)
    spec = replace(node.spec, pod_cidr=ranges[0] if ranges else None, pod_cidrs=ranges)
    return replace(node, metadata=plain_meta(node.metadata), spec=spec, status=NodeStatus(addresses=addresses))


def plain_service(service: Service) -> Service:
    """Return a Service with its ClusterIPs in the one form that they have."""
    spec = service.spec
    ips = tuple(_plain_ip(text) for text in spec.cluster_ips)
    new = replace(spec, cluster_ip=_plain_ip(spec.cluster_ip), cluster_ips=ips)
    return replace(service, metadata=plain_meta(service.metadata), spec=new)


def _plain_ip(text: str) -> str:
    return text if text in ("", "None") else str(address_of(text))


def _first(things: Iterable[_Kind]) -> dict[Family, _Kind]:
    """Return the first address or range of each family."""
    found: dict[Family, _Kind] = {}
    for one in things:
        found.setdefault(family_of(one), one)
    return found
