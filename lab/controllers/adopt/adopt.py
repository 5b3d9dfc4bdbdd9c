"""The whole way from what kubectl printed of a cluster to a Lab document and its objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import structs

from lab.controllers.adopt import notes
from lab.controllers.adopt.choose import Choice, Part, at_most, in_namespaces, is_control_plane, nodes_in_use
from lab.controllers.adopt.living import living, own_addresses, plain_node, plain_service
from lab.controllers.adopt.ports import serve
from lab.controllers.adopt.ranges import families, ranges
from lab.controllers.pods import bridged
from lab.errors import TopologyError
from lab.model.address import family_of, host_network
from lab.model.cluster import ROUTER, external_addresses, pod_addresses
from lab.model.lab import Client, Lab, LabMeta, LabSpec, Network, RouterRoute
from lab.model.proxy_config import KubeProxyConfiguration

if TYPE_CHECKING:
    from lab.controllers.adopt.ports import Served
    from lab.controllers.adopt.ranges import Ranges
    from lab.model.kubernetes import EndpointSlice, Node, Object, Pod, Service
    from lab.parse.cluster_files import ClusterFiles

HINT = "this prints what is needed: kubectl get nodes,pods,services,endpointslices,configmap -A -o yaml"
_UNNAMED = "kubernetes"  # what kubeadm calls a cluster that was given no name
_NO_LABEL = re.compile(r"[^a-z0-9]+")
_LONGEST = 63


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A cluster's objects as a lab's, and what should be known of them, a sentence each."""

    lab: Lab
    objects: tuple[Object, ...]
    notes: tuple[str, ...]


def adopt(files: ClusterFiles, name: str, choice: Choice) -> Adopted:
    """Return the lab of a cluster; `name` is what messages call the file, and the lab if the cluster has no name.

    Raises `TopologyError` if this is not a cluster: it has no nodes, or nothing is in the namespaces that are wanted.
    """
    if not files.nodes and "Lab" in files.skipped:
        text = f"{name}: this is a topology, with a Lab document and no Node; expected a cluster's objects"
        raise TopologyError(text, hint=f"build it without --from: invoke lab.up {name}")
    if not files.nodes:
        raise TopologyError(
            f"{name}: there is no Node in here, and nodes are what everything stands on",
            hint=HINT,
        )
    found = living(files.pods, files.nodes)
    services = tuple(map(plain_service, files.services))
    whole = in_namespaces(Part(pods=tuple(found.pods), services=services, slices=files.slices), choice.only)
    part = at_most(whole, choice.limit)
    nodes = nodes_in_use(part, files.nodes)
    part = replace(part, pods=_on(part.pods, nodes), slices=tuple(_clean(part.slices, nodes, files.nodes)))
    served = serve(part.pods, nodes, part.services, part.slices)
    part = replace(part, pods=served.pods)
    settings, said = _settings(files)
    known = families(files, part)
    outside = tuple(address for one in served.outside for address in one.addresses)
    spans = ranges(files, part, known, settings.cluster_cidr, outside)
    settings = settings if files.settings else structs.replace(settings, cluster_cidr=spans.pods)
    plain = tuple(plain_node(node, known) for node in nodes)
    lab = Lab(
        metadata=LabMeta(name=_name(files.kubeadm.name, name)),
        spec=LabSpec(clients=_clients(part, plain, served), network=_network(spans, part, plain)),
    )
    remarks = notes.of(notes.Account(files=files, living=found, whole=whole, part=part, nodes=nodes, served=served))
    objects: tuple[Object, ...] = (settings, *plain, *part.pods, *part.services, *part.slices, *files.service_cidrs)
    return Adopted(lab=lab, objects=objects, notes=(*said, *remarks))


def _on(pods: Iterable[Pod], nodes: Sequence[Node]) -> tuple[Pod, ...]:
    names = {node.metadata.name for node in nodes}
    return tuple(pod for pod in pods if pod.spec.node_name in names)


def _clean(slices: Iterable[EndpointSlice], nodes: Sequence[Node], every: Sequence[Node]) -> Iterator[EndpointSlice]:
    """Yield slices whose endpoints are on no node that is not there: that is as if no node was said.

    An endpoint at the own address of a node that is left out, such as one of an agent's on each of many, goes with it.
    """
    names = {node.metadata.name for node in nodes}
    left_out = (node for node in every if node.metadata.name not in names)
    gone = {address for node in left_out for address in own_addresses(node).values()}
    for one in slices:
        kept = tuple(
            endpoint if endpoint.node_name in names else structs.replace(endpoint, node_name=None)
            for endpoint in one.endpoints
            if not gone.intersection(endpoint.addresses[:1])
        )
        yield structs.replace(one, endpoints=kept)


def _settings(files: ClusterFiles) -> tuple[KubeProxyConfiguration, tuple[str, ...]]:
    """Return kube-proxy's configuration, and what is to be said of it."""
    if not files.settings:
        text = (
            "there is no ConfigMap of kube-proxy in here: its defaults count, and the pods' range for its clusterCIDR"
        )
        return KubeProxyConfiguration(), (text,)
    first, *others = files.settings
    said = [*files.unknown]
    if any(other != first for other in others):
        said.append(f"there are {len(files.settings)} configurations of kube-proxy in here: the first one counts")
    if first.hostname_override:
        first = structs.replace(first, hostname_override="")
    return first, tuple(said)


def _name(cluster: str, file: str) -> str:
    """Return what the lab is called: as the cluster, if somebody gave it a name, or as the file."""
    return label("" if cluster == _UNNAMED else cluster) or label(file) or label(cluster) or "cluster"


def label(text: str) -> str:
    """Return a file's name without folders and endings, or any name, as a lab may be called; "" if nothing is left.

    What comes from standard input has no name.
    """
    stem = text.rpartition("/")[2].partition(".")[0] if text != "standard input" else ""
    return _NO_LABEL.sub("-", stem.lower()).strip("-")[:_LONGEST].rstrip("-")


def _clients(part: Part, nodes: Sequence[Node], served: Served) -> tuple[Client, ...]:
    """Return a client outside, and the machines that endpoints outside are."""
    taken = {node.metadata.name for node in nodes} | {ROUTER}
    taken |= {pod.metadata.name for pod in part.pods if pod.metadata.namespace == "default"}
    names = ("client", "outside", *(f"client-{number}" for number in range(2, len(taken) + 3)))
    return (Client(name=next(name for name in names if name not in taken)), *served.outside)


def _network(spans: Ranges, part: Part, nodes: Sequence[Node]) -> Network:
    return Network(
        pod_cidr=spans.pods,
        service_cidr=spans.services,
        node_cidr=spans.nodes,
        client_cidr=spans.clients,
        plugin="bridge" if bridged(part.pods, nodes) else "ptp",
        addresses="anywhere",
        routes=tuple(_routes(part, nodes)),
    )


def _routes(part: Part, nodes: Sequence[Node]) -> Iterator[RouterRoute]:
    """Yield where the router sends what is for load balancers' addresses and external IPs: to a node that serves it."""
    own = {node.metadata.name: own_addresses(node) for node in nodes}
    known = {address for mine in own.values() for address in mine.values()}
    known |= {address for pod in part.pods for address in pod_addresses(pod)}
    workers = [node.metadata.name for node in nodes if not is_control_plane(node)]
    for service in part.services:
        local = _local(service, part.slices) if service.spec.external_traffic_policy == "Local" else []
        for address in external_addresses(service):
            able = [name for name in (*local, *workers, *own) if family_of(address) in own.get(name, {})]
            if address not in known and able:
                known.add(address)
                yield RouterRoute(to=host_network(address), via=able[0])


def _local(service: Service, slices: Iterable[EndpointSlice]) -> list[str]:
    """Return the nodes that have a ready endpoint of a Service."""
    mine = (one for one in slices if one.service_key == service.metadata.key)
    ready = (endpoint for one in mine for endpoint in one.endpoints if endpoint.conditions.ready is not False)
    return [endpoint.node_name for endpoint in ready if endpoint.node_name]
