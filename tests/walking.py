"""Packets through the rules of one Service on one node, and what is said of their ways."""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_address, ip_network
from typing import Any

from lab.model import kubernetes as k8s
from lab.model.lab import Mode, Release
from lab.model.netfilter import Table
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.walk import Explanation
from lab.parse import saved_rules
from lab.parse.asked import packet_of
from lab.parse.cluster_files import ClusterFiles
from lab.proxy.explain import Asked, of_objects, of_rules

POD, NODE, ELSEWHERE = "10.244.1.77", "192.168.0.10", "198.51.100.9"
HERE, THERE = "10.244.1.2:8080", "10.244.2.2:8080"
ALL = {HERE, THERE}
MODES: tuple[Mode, ...] = ("iptables", "nftables")
CLUSTER_IP, EXTERNAL, VIP, NODE_PORT = "10.96.0.10:80", "203.0.113.7:80", "203.0.113.11:80", f"{NODE}:30080"
OUTSIDE = (EXTERNAL, VIP, NODE_PORT)
SET = "-m set --match-set bad src"


def a_node(number: int) -> k8s.Node:
    return k8s.Node(
        metadata=k8s.ObjectMeta(name=f"node-{number}"),
        spec=k8s.NodeSpec(pod_cidrs=(ip_network(f"10.244.{number}.0/24"),)),
        status=k8s.NodeStatus(addresses=(k8s.NodeAddress(type="InternalIP", address=f"192.168.0.{9 + number}"),)),
    )


BOTH = (("10.244.1.2", "node-1"), ("10.244.2.2", "node-2"))


def objects(endpoints: tuple[tuple[str, str], ...] = BOTH, **spec: Any) -> ClusterFiles:
    fields: dict[str, Any] = {
        "type": "LoadBalancer",
        "cluster_ip": "10.96.0.10",
        "external_ips": (ip_address("203.0.113.7"),),
        "ports": (k8s.ServicePort(name="http", port=80, node_port=30080),),
        **spec,
    }
    ingress = k8s.LoadBalancerStatus(ingress=(k8s.LoadBalancerIngress(ip=ip_address("203.0.113.11")),))
    service = k8s.Service(
        metadata=k8s.ObjectMeta(name="web"),
        spec=k8s.ServiceSpec(**fields),
        status=k8s.ServiceStatus(load_balancer=ingress),
    )
    one = k8s.EndpointSlice(
        address_type="IPv4",
        metadata=k8s.ObjectMeta(name="web-1", labels={"kubernetes.io/service-name": "web"}),
        endpoints=tuple(
            k8s.SliceEndpoint(addresses=(ip_address(address),), node_name=node) for address, node in endpoints
        ),
        ports=(k8s.EndpointPort(name="http", port=8080),),
    )
    return ClusterFiles(nodes=(a_node(1), a_node(2)), services=(service,), slices=(one,))


def settings(**fields: Any) -> KubeProxyConfiguration:
    return KubeProxyConfiguration(**{"hostname_override": "node-1", "cluster_cidr": "10.244.0.0/16", **fields})


def told(
    source: str,
    to: str,
    mode: Mode,
    found: ClusterFiles | None = None,
    protocol: str = "tcp",
    release: Release = "1.36",
    **fields: Any,
) -> Explanation:
    packet = packet_of(source, to, protocol)
    return of_objects(found or objects(), settings(**fields), packet, mode=mode, release=release)


def ends(found: Explanation) -> dict[str, Fraction]:
    """Return what may become of the packet: its endpoint, or `drop`, `reject`, `unknown`, with the share of each."""
    assert {way.assumed for way in found.ways} == {()}
    (total,) = cases(found).values()
    return total


def cases(found: Explanation) -> dict[str, dict[str, Fraction]]:
    """Return what may become of the packet for each answer to what is not known."""
    totals: dict[str, dict[str, Fraction]] = {}
    for way in found.ways:
        fate = way.fate
        name = f"{fate.destination}:{fate.port}" if fate.kind == "accept" else fate.kind
        total = totals.setdefault(" and ".join(one.text for one in way.assumed), {})
        total[name] = total.get(name, Fraction(0)) + way.share
    return totals


def masqueraded(found: Explanation) -> bool:
    """Return whether the source is changed; it is the same for every endpoint."""
    (one,) = {bool(way.fate.masquerade) for way in found.ways}
    return one


def saved(*rules: str, table: str = "filter") -> tuple[Table, ...]:
    chains = sorted({rule.split()[1] for rule in rules} - {"FORWARD", "INPUT", "PREROUTING"})
    lines = [f"*{table}", *(f":{name} - [0:0]" for name in chains), *rules, "COMMIT", ""]
    return saved_rules.read("\n".join(lines), "saved.txt")[0]


def through(*rules: str, table: str = "filter", source: str = ELSEWHERE, **options: Any) -> Explanation:
    return of_rules(saved(*rules, table=table), packet_of(source, CLUSTER_IP, "tcp"), Asked(**options))
