"""A plan inside a capsule: what was planned, and what stands when it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from lab import topology
from lab.model.ops import Address, Bridge, Fdb, Namespace, Neighbour, Op, Route, Veth, Vxlan
from lab.plan import plan
from lab.standing.build import build
from tests.kernel import look

Inside = Callable[..., Any]
T = TypeVar("T")
LAB = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {{name: test}}
spec:
  nodes: [node-1, node-2]
  clients: [{{name: client}}]
  network: {network}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-1, labels: {{app: web}}}}
spec: {{nodeName: node-1, containers: [{{ports: [{{containerPort: 80}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-2, labels: {{app: web}}}}
spec: {{nodeName: node-2, containers: [{{ports: [{{containerPort: 80}}]}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client-a}}
spec: {{nodeName: node-1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"""
DUAL = (
    "{podCIDR: '10.244.0.0/16,fd00:10:244::/56', serviceCIDR: '10.96.0.0/16,fd00:10:96::/112',"
    " nodeCIDR: '192.168.0.0/24,fd00:192:168::/64', clientCIDR: '198.51.100.0/24,2001:db8:1::/64'}"
)
EMPTY = "{}"
VXLAN = "{overlay: vxlan}"
PTP = "{plugin: ptp}"
DUAL_VXLAN = DUAL.replace("}", ", overlay: vxlan}")
DUAL_PTP = DUAL.replace("}", ", plugin: ptp}")
ALL = DUAL.replace("}", ", plugin: ptp, overlay: vxlan}")
SIX = "{podCIDR: 'fd00:10:244::/56', serviceCIDR: 'fd00:10:96::/112', overlay: vxlan}"


def ops(network: str = EMPTY) -> tuple[Op, ...]:
    return plan(topology.read(LAB.format(network=network), "lab.yaml").cluster).ops


def of(kind: type[T], found: Iterable[Op]) -> list[T]:
    return [op for op in found if isinstance(op, kind)]


def made(wanted: Sequence[Op], look_at: Callable[[], T]) -> T:
    """Build in this capsule and return what `look_at` sees."""
    build(wanted, serve=lambda _: None)
    return look_at()


def machines(wanted: Iterable[Op]) -> list[str]:
    return ["", *(op.netns for op in of(Namespace, wanted))]


def stands(wanted: Sequence[Op]) -> dict[str, set[Any]]:
    """Return what the kernel has, in the words of the plan."""
    seen: dict[str, set[Any]] = {"links": set(), "addresses": set(), "routes": set(), "neighbours": set(), "fdb": set()}
    for name in machines(wanted):
        for link in look.links(name):
            keys = ("name", "index", "mac", "master", "hairpin", "mtu", "up")
            seen["links"].add((name, *(link[key] for key in keys)))
        seen["addresses"] |= {(name, entry["index"], entry["address"]) for entry in look.addresses(name)}
        for entry in look.routes(name):
            index = entry["index"] * (entry["kind"] != "blackhole")  # IPv6 has its blackholes on lo
            seen["routes"].add((name, entry["destination"], entry["via"], index, entry["kind"], entry["onlink"]))
        seen["fdb"] |= {(name, entry["index"], entry["mac"], entry["destination"]) for entry in look.fdb(name)}
        seen["neighbours"] |= {
            (name, entry["index"], entry["address"], entry["mac"])
            for entry in look.neighbours(name)
            if entry["permanent"]
        }
    return seen


def planned(wanted: Iterable[Op]) -> dict[str, set[Any]]:
    """Return what the plan says, in the same words."""
    said: dict[str, set[Any]] = {"links": set(), "addresses": set(), "routes": set(), "neighbours": set(), "fdb": set()}
    for op in wanted:
        match op:
            case Bridge():
                said["links"].add((op.netns, op.name, op.index, op.mac, 0, False, op.mtu or 1500, True))
            case Vxlan():
                said["links"].add((op.netns, op.name, op.index, op.mac, 0, False, op.mtu, True))
            case Veth():
                mtu = op.mtu or 1500
                said["links"].add((op.netns, op.name, op.index, op.mac, op.master, op.hairpin, mtu, True))
                said["links"].add((op.peer_netns, op.peer_name, op.peer_index, op.peer_mac, 0, False, mtu, True))
            case Address():
                said["addresses"].add((op.netns, op.index, op.address))
            case Route():
                destination = str(op.destination) if op.destination.prefixlen else "default"
                said["routes"].add((op.netns, destination, op.via, op.index, op.kind, op.onlink))
            case Neighbour():
                said["neighbours"].add((op.netns, op.index, op.address, op.mac))
            case Fdb():
                said["fdb"].add((op.netns, op.index, op.mac, op.destination))
            case _:
                pass
    return said
