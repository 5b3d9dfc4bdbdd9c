"""A node's own interfaces and the addresses that they have, as the lab's network is wired.

flannel's names: the device of VNI 1 is `flannel.1`, its IPv6 twin `flannel-v6.1` (pkg/backend/vxlan/vxlan.go).
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.model.address import Family, IPAddress, IPNetwork, family_of
from lab.model.cluster import CBR, ETH, Cluster, gateway, node_addresses, pod_cidrs
from lab.model.kubernetes import Node

GATEWAY = "gateway"
"""What stands for the node's ends of its pods' cables (plugin ptp): all of them have the one address."""
FLANNEL: Mapping[Family, str] = {"ipv4": "flannel.1", "ipv6": "flannel-v6.1"}
"""A node's tunnel to the other nodes' pods (overlay vxlan)."""


def tunnel_address(pods: IPNetwork) -> IPAddress:
    """Return the address of a node's flannel device: its pod range's own, .0, which no pod has."""
    return pods.network_address


def interfaces(cluster: Cluster, node: Node) -> dict[str, tuple[IPAddress, ...]]:
    """Return the addresses of each of a node's interfaces: those of eth0 first, then what its pods are behind."""
    network, ranges = cluster.spec.network, pod_cidrs(node)
    found = {ETH: node_addresses(node)}
    if not network.pod_routes:
        found[CBR if network.plugin == "bridge" else GATEWAY] = tuple(map(gateway, ranges))
    if network.overlay == "vxlan":
        found.update({FLANNEL[family_of(pods)]: (tunnel_address(pods),) for pods in ranges})
    return found
