"""Cluster -> ops: routes to each node's pods by way of the node's address, as in a cloud's routed pod network."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.address import IPNetwork, all_of, family_of, host_network
from lab.model.cluster import ETH, ROUTER, Cluster, networks, node_addresses, pod_addresses, pod_cidrs
from lab.model.kubernetes import Node
from lab.model.ops import Route
from lab.plan.segments import ETH_INDEX


def between(cluster: Cluster) -> Iterator[Route]:
    """Yield the routes of every node to the pods of all others (overlay none)."""
    for node in cluster.nodes:
        yield from _to_pods(cluster, node.metadata.name)


def of_router(cluster: Cluster) -> Iterator[Route]:
    """Yield the router's: to all pods, whatever the way between nodes is, so that pods and clients reach each other.

    And those that the Lab document gives it, as a router has them by BGP, or a cloud for its load balancers' addresses.
    It drops what is for nobody in silence: an address that nothing serves times out, as on the Internet.
    """
    yield from _to_pods(cluster, ROUTER)
    for one in cluster.spec.network.routes:
        node = next(node for node in cluster.nodes if node.metadata.name == one.via)
        yield from _by_way_of(ROUTER, one.to, node)
    for wire in networks(cluster.spec.network.node_cidr):
        yield Route(netns=ROUTER, destination=all_of(wire), kind="blackhole")


def _to_pods(cluster: Cluster, netns: str) -> Iterator[Route]:
    if cluster.spec.network.pod_routes:
        yield from _to_each_pod(cluster, netns)
        return
    for node in cluster.nodes:
        if node.metadata.name == netns:
            continue
        for pods in pod_cidrs(node):
            yield from _by_way_of(netns, pods, node)


def _to_each_pod(cluster: Cluster, netns: str) -> Iterator[Route]:
    nodes = {node.metadata.name: node for node in cluster.nodes}
    for pod in cluster.pods:
        if pod.spec.node_name != netns and not pod.spec.host_network:
            for address in pod_addresses(pod):
                yield from _by_way_of(netns, host_network(address), nodes[pod.spec.node_name])


def _by_way_of(netns: str, destination: IPNetwork, node: Node) -> Iterator[Route]:
    """Yield the route to the first of a node's addresses of the destination's family; none if it has none."""
    via = next((one for one in node_addresses(node) if family_of(one) == family_of(destination)), None)
    if via:
        yield Route(netns=netns, destination=destination, via=via, link=ETH, index=ETH_INDEX)
