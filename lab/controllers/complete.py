"""The whole way from a topology's objects to a complete cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from lab.controllers import check, endpoints, nodes, pods, services
from lab.controllers.ranges import SERVICE_CIDR, Book, LabRanges, Named, check_apart, lab_ranges
from lab.errors import TopologyError
from lab.model.cluster import Cluster, networks, pod_addresses
from lab.model.kubernetes import Deployment, EndpointSlice, Node, Object, Pod, Service, ServiceCIDR
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.status import shown
from lab.parse.mistake import LAB, Mistakes, show_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.model.lab import Lab

_Kind = TypeVar("_Kind")


def complete(lab: Lab, objects: Sequence[Object]) -> Cluster:
    """Return the complete cluster of a Lab document and its objects.

    Raises `TopologyError` with every mistake, each with the kind and the name of its object.
    """
    out = Mistakes()
    numbered = dict(enumerate(objects))
    cluster = assemble(lab, numbered, out)
    if out.kept:
        every: dict[int, Lab | Object] = {LAB: lab, **numbered}
        raise TopologyError([f"{title(every[one.at])}: {show_path(one.path)}: {one.text}" for one in out.kept])
    return cluster


def title(one: Lab | Object) -> str:
    """Return what messages call an object."""
    return one.kind if isinstance(one, KubeProxyConfiguration) else f"{one.kind} {one.metadata.name}"


def _of(kind: type[_Kind], objects: Mapping[int, object]) -> dict[int, _Kind]:
    return {number: one for number, one in objects.items() if isinstance(one, kind)}


def assemble(lab: Lab, objects: Mapping[int, Object], out: Mistakes, *, gone: Sequence[Pod] | None = None) -> Cluster:
    """Return the cluster; when `out` got mistakes, each with its object's number (-1: the Lab), it is not complete.

    `gone`: in a lab that stands, the pods that just went. Their names and addresses are not given again at once, so
    that nobody takes a new pod for an old one; and new pods go where there are few instead of in turn.
    Pods that have run to their end are nowhere, as in `ShouldPodBeInEndpoints()` of staging/src/k8s.io/endpointslice.
    """
    spec = lab.spec
    objects = {at: one for at, one in objects.items() if not (isinstance(one, Pod) and one.finished)}
    ranges = lab_ranges(spec.network, out)
    book = Book(out)
    cidrs = _of(ServiceCIDR, objects)
    numbered = nodes.all_nodes(spec, _of(Node, objects), out)
    numbered, said = nodes.give_pod_ranges(numbered, ranges.pods, out, anywhere=ranges.anywhere)
    if not ranges.anywhere:
        check_apart(_said(lab, ranges, cidrs) + said, out)
    nodes.claim_nodes(numbered, ranges, book)
    nodes.claim_clients(spec.clients, ranges, book)
    by_name = {node.metadata.name: node for _, _, node in numbered}
    found_pods = pods.all_pods(objects, out, [pod.metadata.key for pod in gone or ()])
    placed = pods.schedule(found_pods, list(by_name), out, spread=gone is not None)
    pods.claim_pods(placed, by_name, book, anywhere=ranges.pod_routes)
    found = _of(Service, objects)
    extra = None if ranges.anywhere else [net for one in cidrs.values() for net in one.spec.cidrs]
    services.claim_services(found, ranges.services, extra, book)

    complete_nodes = nodes.give_node_addresses(numbered, ranges.nodes, book)
    by_name = {node.metadata.name: node for node in complete_nodes}
    clients = nodes.give_client_addresses(spec.clients, ranges.clients, book)
    for address, owner in ((address, pod) for pod in gone or () for address in pod_addresses(pod)):
        book.owners.setdefault(address, f"pod {shown(owner.metadata)}, which is going")
    complete_pods = pods.give_pod_addresses(placed, by_name, book, anywhere=ranges.anywhere)
    found = services.give_cluster_ips(found, ranges.services, book)
    found = services.give_node_ports(found, out)
    slices = _of(EndpointSlice, objects)
    selection = endpoints.Selection(complete_pods)
    derived = endpoints.derive(found, slices.values(), selection, by_name, out)
    cluster = Cluster(
        lab=_complete_lab(lab, clients, ranges),
        nodes=complete_nodes,
        pods=complete_pods,
        services=tuple(found.values()),
        slices=(*slices.values(), *derived),
        deployments=tuple(_of(Deployment, objects).values()),
        service_cidrs=tuple(cidrs.values()),
        proxy=_proxy(objects, "" if ranges.anywhere else spec.network.pod_cidr),
    )
    check.check(cluster, objects, numbered, placed, out)
    return cluster


def _said(lab: Lab, ranges: LabRanges, cidrs: Mapping[int, ServiceCIDR]) -> list[Named]:
    named = [
        Named(network, name, LAB, ("spec", "network", name))
        for name, mine in (
            ("podCIDR", ranges.pods),
            ("serviceCIDR", ranges.services),
            ("nodeCIDR", ranges.nodes),
            ("clientCIDR", ranges.clients),
        )
        for network in mine.values()
    ]
    own = set(networks(lab.spec.network.service_cidr))
    return named + [
        Named(network, SERVICE_CIDR, number, ("spec", "cidrs", index))
        for number, one in cidrs.items()
        for index, network in enumerate(one.spec.cidrs)
        if network not in own
    ]


def _complete_lab(lab: Lab, clients: tuple[object, ...], ranges: LabRanges) -> Lab:
    network = replace(
        lab.spec.network,
        node_cidr=",".join(map(str, ranges.nodes.values())),
        client_cidr=",".join(map(str, ranges.clients.values())),
    )
    return replace(lab, spec=replace(lab.spec, clients=clients, network=network))


def _proxy(objects: Mapping[int, Object], pod_cidr: str) -> KubeProxyConfiguration:
    given = next(iter(_of(KubeProxyConfiguration, objects).values()), KubeProxyConfiguration())
    return given if given.cluster_cidr else replace(given, cluster_cidr=pod_cidr)
