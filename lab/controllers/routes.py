"""Routes that the Lab document gives to the router: each to a node that there is, and none that it has anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.model.address import family_of
from lab.model.cluster import networks, node_addresses, pod_cidrs
from lab.parse.mistake import LAB, did_you_mean, listed, show

if TYPE_CHECKING:
    from lab.model.cluster import Cluster
    from lab.parse.mistake import Mistakes, Path


def check(cluster: Cluster, out: Mistakes) -> None:
    """Report routes to nodes that are not there, or have no address of the family, and two routes to one range."""
    network = cluster.spec.network
    nodes = {node.metadata.name: node for node in cluster.nodes}
    known = {one: f"to {name}'s pods" for name, node in nodes.items() for one in pod_cidrs(node)}
    for name, text in (("nodeCIDR", network.node_cidr), ("clientCIDR", network.client_cidr)):
        known |= dict.fromkeys(networks(text), f"to {name}")
    for index, route in enumerate(network.routes):
        path: Path = ("spec", "network", "routes", index)
        node = nodes.get(route.via)
        if node is None:
            text = f"there is no node {show(route.via)}; expected {listed(nodes)}{did_you_mean(route.via, nodes)}"
            out.add(LAB, (*path, "via"), text, certain=False)
        elif family_of(route.to) not in map(family_of, node_addresses(node)):
            out.add(LAB, (*path, "to"), f"{route.to}: {route.via} has no address of this family; expected another node")
        if route.to in known:
            out.add(LAB, (*path, "to"), f"the router has a route {known[route.to]} {route.to}; expected another range")
        known[route.to] = "to"
