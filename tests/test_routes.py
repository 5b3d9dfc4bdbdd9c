"""Routes of the Lab document: what the router sends to which node."""

from __future__ import annotations

import pytest

from lab import edits, topology
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.ops import Route
from lab.plan import plan
from lab.plan.planner import wiring

LAB = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: routes}
spec:
  nodes: [node-1, node-2]
  network:
    podCIDR: 10.244.0.0/16,fd00:10:244::/56
    serviceCIDR: 10.96.0.0/16,fd00:10:96::/112
    routes:
    - {to: 203.0.113.10/32, via: node-2}
    - {to: "2001:db8:1::/64", via: node-1}
"""


def cluster() -> Cluster:
    return topology.read(LAB, "lab.yaml").cluster


def routes(netns: str) -> set[tuple[str, str]]:
    ops = plan(cluster()).ops
    return {(str(op.destination), str(op.via)) for op in ops if isinstance(op, Route) and op.netns == netns}


def test_the_router_sends_what_is_for_a_range_to_the_node_of_the_family() -> None:
    assert {("203.0.113.10/32", "192.168.0.11"), ("2001:db8:1::/64", "fd00:192:168::a")} <= routes("router")


def test_nobody_else_knows_of_it() -> None:
    assert not {to for node in ("node-1", "node-2") for to, _ in routes(node)} & {"203.0.113.10/32", "2001:db8:1::/64"}


def test_a_node_that_is_routed_to_cannot_go() -> None:
    with pytest.raises(TopologyError, match=r"spec\.network\.routes\[0\]\.via: there is no node 'node-2'"):
        edits.delete(cluster(), "Node", "node-2")


def test_without_routes_the_router_is_wired_as_before() -> None:
    plain = topology.read(LAB.partition("    routes:")[0], "lab.yaml").cluster
    extra = set(wiring(cluster())) - set(wiring(plain))
    assert {op.netns for op in extra} == {"router"}
    assert len(extra) == 2
