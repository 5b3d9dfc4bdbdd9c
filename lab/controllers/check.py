"""What only the whole lab shows: names that are taken, ports that clash, things that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.controllers import expect
from lab.controllers.services import FAMILY_OF
from lab.model.address import family_of
from lab.model.cluster import ROUTER, headless
from lab.model.kubernetes import HIGHEST_PORT, EndpointSlice, KubeProxyConfiguration, Pod, Service
from lab.model.labels import SERVICE_NAME
from lab.model.status import shown
from lab.parse.mistake import LAB, did_you_mean, listed, show
from lab.proxy.classic import NO_NFTABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.controllers.nodes import Numbered
    from lab.controllers.pods import Placed
    from lab.model.cluster import Cluster
    from lab.model.kubernetes import ContainerPort, Object, ServicePort
    from lab.parse.mistake import Mistakes, Path


def check(
    cluster: Cluster, objects: Mapping[int, Object], nodes: list[Numbered], placed: list[Placed], out: Mistakes
) -> None:
    """Report what is wrong with a lab as a whole; the objects' own shapes are right already."""
    if cluster.spec.release == "classic" and cluster.mode == "nftables":
        out.add(LAB, ("spec", "release"), NO_NFTABLES)
    _objects(objects, out)
    _machines(cluster, nodes, placed, out)
    _pod_ports(placed, out)
    for at, one in objects.items():
        if isinstance(one, Service):
            _service(at, one, out)
        elif isinstance(one, EndpointSlice):
            _slice(at, one, cluster, out)
    expect.check(cluster, out)


def _objects(objects: Mapping[int, Object], out: Mistakes) -> None:
    """One object of each kind, namespace and name; pods are compared with those of Deployments, in `_machines`."""
    seen: set[tuple[str, str, str]] = set()
    for at, one in objects.items():
        if isinstance(one, (KubeProxyConfiguration, Pod)):
            continue
        key = (one.kind, one.metadata.namespace, one.metadata.name)
        if key in seen:
            where = "" if one.metadata.namespace == "default" else f" in the namespace {one.metadata.namespace}"
            text = f"there is a {one.kind} {show(one.metadata.name)}{where} already; expected a name that is free"
            out.add(at, ("metadata", "name"), text)
        seen.add(key)


_NAME: Path = ("metadata", "name")


def _machines(cluster: Cluster, nodes: list[Numbered], placed: list[Placed], out: Mistakes) -> None:
    """Each node, client and pod has a name of its own; that of its network namespace, but for host-network pods."""
    owners: dict[str, str] = {}

    def claim(name: str, who: str, at: int, path: Path) -> None:
        if name in owners:
            out.add(at, path, f"the name {show(name)} is taken: {owners[name]} has it; expected one that is free")
        owners.setdefault(name, who)

    claim(ROUTER, "the router", LAB, ())
    for at, path, node in nodes:
        claim(node.metadata.name, f"node {node.metadata.name}", at, path)
    for index, client in enumerate(cluster.spec.clients):
        claim(client.name, f"client {client.name}", LAB, ("spec", "clients", index, "name"))
    for one in placed:
        meta = one.pod.metadata
        name = meta.name if meta.namespace == "default" else f"{meta.namespace}_{meta.name}"
        claim(name, f"pod {shown(meta)}", one.at, _NAME)


def _pod_ports(placed: list[Placed], out: Mistakes) -> None:
    """A port is bound once in a pod, and once on a node by all its host-network pods."""
    on_nodes: dict[tuple[str, int, str], str] = {}
    seen: set[tuple[int, Path]] = set()  # a Deployment's mistake is one, however many replicas it has
    for one in placed:
        name, node = one.pod.metadata.name, one.pod.spec.node_name
        mine = on_nodes if one.pod.spec.host_network else {}
        names: set[str] = set()
        for path, port in _ports(one):
            owner = mine.setdefault((node, port.container_port, port.protocol), f"{name} {path}")
            if owner != f"{name} {path}" and (one.at, path) not in seen:
                seen.add((one.at, path))
                where = f"on {node} by the host-network pod {owner.split()[0]}" if mine is on_nodes else "by this pod"
                text = f"the port {port.container_port}/{port.protocol} is taken {where}; expected one that is free"
                out.add(one.at, (*path, "containerPort"), text, certain=False)
            if port.name and port.name in names and (one.at, (*path, "name")) not in seen:
                seen.add((one.at, (*path, "name")))
                out.add(one.at, (*path, "name"), f"the port name {show(port.name)} is here twice; expected it once")
            names.add(port.name)


def _ports(one: Placed) -> Iterator[tuple[Path, ContainerPort]]:
    for number, container in enumerate(one.pod.spec.containers):
        for index, port in enumerate(container.ports):
            yield (*one.spec, "containers", number, "ports", index), port


def _service(at: int, service: Service, out: Mistakes) -> None:
    spec = service.spec
    if spec.type == "ExternalName":
        if not spec.external_name:
            out.add(at, ("spec",), "the field externalName is missing; expected a name: the type is ExternalName")
        return
    if not spec.ports and not headless(service):
        out.add(at, ("spec",), "the field ports is missing; expected at least one port", certain=False)
    if headless(service) and spec.type != "ClusterIP":
        text = f"a headless Service (clusterIP None) cannot be of type {spec.type}; expected type ClusterIP"
        out.add(at, ("spec", "type"), text)
    names: dict[str, int] = {}
    numbers: dict[tuple[int, str], int] = {}
    for index, port in enumerate(spec.ports):
        _service_port(at, index, port, names, numbers, several=len(spec.ports) > 1, out=out)


def _service_port(
    at: int,
    index: int,
    port: ServicePort,
    names: dict[str, int],
    numbers: dict[tuple[int, str], int],
    *,
    several: bool,
    out: Mistakes,
) -> None:
    path: Path = ("spec", "ports", index)
    if several and not port.name:
        out.add(at, path, "the field name is missing; expected a name for each port where there are several")
    if port.name and port.name in names:
        text = f"the port name {show(port.name)} is here twice; expected each once"
        out.add(at, (*path, "name"), text)
    names[port.name] = index
    if (port.port, port.protocol) in numbers:
        text = f"the port {port.port}/{port.protocol} is here twice, as ports[{numbers[port.port, port.protocol]}]"
        out.add(at, (*path, "port"), f"{text} already; expected each once")
    numbers.setdefault((port.port, port.protocol), index)
    target = port.target_port
    if isinstance(target, int) and not 1 <= target <= HIGHEST_PORT:
        text = f"{target} is out of range; expected a whole number from 1 to {HIGHEST_PORT}, or a port's name"
        out.add(at, (*path, "targetPort"), text)


def _slice(at: int, one: EndpointSlice, cluster: Cluster, out: Mistakes) -> None:
    nodes = [node.metadata.name for node in cluster.nodes]
    for index, endpoint in enumerate(one.endpoints):
        path: Path = ("endpoints", index)
        if not endpoint.addresses:
            out.add(at, (*path, "addresses"), "an empty list; expected an address")
        for number, address in enumerate(endpoint.addresses):
            if FAMILY_OF.get(one.address_type) not in (family_of(address), None):
                text = f"{address} is no {one.address_type} address, as addressType says; expected one slice per family"
                out.add(at, (*path, "addresses", number), text)
        if endpoint.node_name and endpoint.node_name not in nodes:
            near = did_you_mean(endpoint.node_name, nodes)
            text = f"there is no node {show(endpoint.node_name)}; expected {listed(nodes)}{near}"
            out.add(at, (*path, "nodeName"), text, certain=False)
    name = one.metadata.labels.get(SERVICE_NAME)
    space = one.metadata.namespace
    services = [service.metadata.name for service in cluster.services if service.metadata.namespace == space]
    if name is not None and name not in services:
        text = f"there is no Service {show(name)}; expected {listed(services)}{did_you_mean(name, services)}"
        out.add(at, ("metadata", "labels", SERVICE_NAME), text, certain=False)
