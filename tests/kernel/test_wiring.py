"""However pods and nodes are wired, they come and go while the lab stands, and what was cut off is put right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lab import catalogue, edits
from lab.model.cluster import Cluster
from lab.model.ops import Namespace
from lab.plan import difference, mending, plan
from lab.standing.build import build

from .built import planned, stands
from .conftest import Invoke
from .living import NODE_3, who
from .printed import ok

Inside = Callable[..., Any]
Lab = Callable[..., Invoke]

WIRINGS = {
    "ptp": ("--plugin", "ptp"),
    "vxlan": ("--overlay", "vxlan"),
    "both": ("--plugin", "ptp", "--overlay", "vxlan", "--mode", "nftables"),
}
TABLES = "ip -json route; ip -json neighbour show nud permanent; bridge -json fdb; ip -json address"


def tables(invoke: Invoke) -> list[list[str]]:
    """Return all that node-1 was told of others, and of its own interfaces, in no particular order."""
    found = []
    for line in ok(invoke("lab.exec", "node-1", TABLES)).splitlines():
        told = [entry for entry in json.loads(line) if entry.get("state") != ""]  # a bridge learns by itself
        found.append(sorted(json.dumps(entry, sort_keys=True) for entry in told))
    return found


@pytest.mark.parametrize("options", WIRINGS.values(), ids=WIRINGS)
def test_a_node_with_its_pods_comes_and_goes_and_leaves_nothing(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("clusterip", *options)
    before = tables(invoke)
    ok(invoke("lab.apply", "-", stdin=NODE_3))
    ok(invoke("lab.scale", "web", "4"))  # one more on node-3, and one on another
    assert who(invoke) == {"web-1", "web-2", "web-3", "web-4"}
    assert who(invoke, source="node-3") == {"web-1", "web-2", "web-3", "web-4"}
    assert tables(invoke) != before
    ok(invoke("lab.scale", "web", "2"))
    ok(invoke("lab.delete", "node", "node-3"))
    assert who(invoke) == {"web-1", "web-2"}
    assert tables(invoke) == before


def grown(cluster: Cluster) -> Cluster:
    """Return the cluster with a node and pods more."""
    return edits.scale(edits.apply(cluster, NODE_3, "test"), "web", 4)


@pytest.mark.parametrize("done", [0.0, 0.3, 0.7, 1.0])
def test_a_change_that_was_cut_off_anywhere_is_undone(inside: Inside, done: float) -> None:
    old = catalogue.choose("clusterip", plugin="ptp", overlay="vxlan").cluster
    new = grown(old)
    wanted = plan(old).ops
    change = [op for op in difference(old, new).before if not hasattr(op, "text")]

    def cut_off() -> dict[str, set[Any]]:
        for ops in (wanted, change[: int(len(change) * done)]):
            build(ops, serve=lambda _: None, close=lambda _: None)
        build(mending(old, new), serve=lambda _: None, mend=True)
        return stands([op for op in wanted if isinstance(op, Namespace)])

    seen, said = inside(cut_off), planned(wanted)
    assert {link for link in seen["links"] if link[2] >= 100} == said["links"]
    assert (seen["neighbours"], seen["fdb"]) == (said["neighbours"], said["fdb"])
    assert said["routes"] <= seen["routes"]
    assert not [route for route in seen["routes"] if route[1].startswith("10.244.3.")]
