"""What only the whole lab shows: names that are taken, ports that clash, things that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.controllers import expect, routes
from lab.controllers.pods import bridged
from lab.model.cluster import ROUTER
from lab.model.kubernetes import EndpointSlice, Pod, Service
from lab.model.lab import Network
from lab.model.labels import SERVICE_NAME
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.status import shown
from lab.parse import api_rules
from lab.parse.mistake import LAB, did_you_mean, listed, show
from lab.proxy.classic import NO_NFTABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from lab.controllers.nodes import Numbered
    from lab.controllers.pods import Placed
    from lab.model.cluster import Cluster
    from lab.model.kubernetes import ContainerPort, Object
    from lab.parse.mistake import Mistakes, Path


def check(
    cluster: Cluster, objects: Mapping[int, Object], nodes: list[Numbered], placed: list[Placed], out: Mistakes
) -> None:
    """Report what is wrong with a lab as a whole; the objects' own shapes are right already."""
    if cluster.spec.release == "classic" and cluster.mode == "nftables":
        out.add(LAB, ("spec", "release"), NO_NFTABLES)
    if wrong := no_bridge(cluster.spec.network):
        out.add(LAB, ("spec", "network", "hairpinMode"), wrong)
    if wrong := no_tunnel(cluster.spec.network):
        out.add(LAB, ("spec", "network", "overlay"), f"{wrong}; expected overlay none")
    routes.check(cluster, out)
    _objects(objects, out)
    _machines(cluster, nodes, placed, out)
    _pod_ports(placed, out)
    keys = {service.metadata.key for service in cluster.services}
    for at, one in objects.items():
        if isinstance(one, Service):
            api_rules.service(one, at, out)
        elif isinstance(one, EndpointSlice):
            api_rules.endpoint_slice(one, at, out)
            _slice(at, one, cluster, keys, out)
    expect.check(cluster, out)


def no_bridge(network: Network) -> str:
    """Return what is wrong with a hairpinMode where there is no bridge to set it on ("" if nothing)."""
    if network.plugin != "ptp" or network.hairpin_mode == Network().hairpin_mode:
        return ""
    text = f"with plugin ptp there is no bridge that {show(network.hairpin_mode)} could mean"
    return f"{text}: a packet turns at the node by being routed; expected no hairpinMode, or plugin bridge"


def no_tunnel(network: Network) -> str:
    """Return what is wrong with an overlay where nodes have no pod ranges that it could lead to ("" if nothing)."""
    if network.overlay == "none" or not network.pod_routes:
        return ""
    text = f"overlay {network.overlay} joins the nodes' pod ranges"
    return f"{text}, and with addresses anywhere and plugin ptp there are none"


def no_place(cluster: Cluster) -> str:
    """Return which pods have no place on their node's bridge, where addresses may lie anywhere ("" if all have)."""
    network = cluster.spec.network
    if not network.anywhere or network.plugin != "bridge" or bridged(cluster.pods, cluster.nodes):
        return ""
    return "with plugin bridge a node's pods are in its pod range, and those of this cluster are elsewhere"


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


def _slice(at: int, one: EndpointSlice, cluster: Cluster, keys: Collection[tuple[str, str]], out: Mistakes) -> None:
    nodes = [node.metadata.name for node in cluster.nodes]
    for index, endpoint in enumerate(one.endpoints):
        if endpoint.node_name and endpoint.node_name not in nodes:
            near = did_you_mean(endpoint.node_name, nodes)
            text = f"there is no node {show(endpoint.node_name)}; expected {listed(nodes)}{near}"
            out.add(at, ("endpoints", index, "nodeName"), text, certain=False)
    name = one.metadata.labels.get(SERVICE_NAME)
    space = one.metadata.namespace
    if name is not None and (space, name) not in keys:
        services = [service.metadata.name for service in cluster.services if service.metadata.namespace == space]
        text = f"there is no Service {show(name)}; expected {listed(services)}{did_you_mean(name, services)}"
        out.add(at, ("metadata", "labels", SERVICE_NAME), text, certain=False)
