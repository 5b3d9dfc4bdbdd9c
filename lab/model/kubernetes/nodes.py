"""v1 Node, and what it is made of."""

from __future__ import annotations

from typing import Literal

from lab.model.address import IPNetwork
from lab.model.kubernetes.common import ObjectMeta
from lab.model.part import Part


class NodeAddress(Part, frozen=True, kw_only=True):
    """One address of a Node: `address` is an IP for InternalIP and ExternalIP, a name for Hostname."""

    type: str
    address: str


class NodeSpec(Part, frozen=True, kw_only=True):
    """The Node's pod ranges, one per family."""

    pod_cidr: IPNetwork | None = None
    pod_cidrs: tuple[IPNetwork, ...] = ()


class NodeStatus(Part, frozen=True, kw_only=True):
    """The Node's addresses."""

    addresses: tuple[NodeAddress, ...] = ()


class Node(Part, frozen=True, kw_only=True):
    """v1 Node."""

    api_version: Literal["v1"] = "v1"
    kind: Literal["Node"] = "Node"
    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
