"""Nodes and clients: who there is, and their ranges and addresses."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lab.controllers.ranges import FIRST, NODE_PODS, Named, Pool, by_family, subnet
from lab.model.address import family_of
from lab.model.cluster import gateway, pod_cidrs
from lab.model.kubernetes import Node, NodeAddress, NodeSpec, NodeStatus, ObjectMeta
from lab.model.labels import HOSTNAME
from lab.parse.mistake import LAB, Path, show
from lab.parse.values import address

if TYPE_CHECKING:
    from lab.controllers.ranges import Book, LabRanges, Ranges
    from lab.model.address import Family, IPAddress, IPNetwork
    from lab.model.lab import Client, LabSpec
    from lab.parse.mistake import Mistakes

Numbered = tuple[int, Path, Node]  # a Node, the number of the object that it came from, and where its name stands
DEFAULT_NODE = "node-1"


def all_nodes(spec: LabSpec, objects: dict[int, Node], out: Mistakes) -> list[Numbered]:
    """Return the Lab document's `nodes` and then the other Node objects; a lab that names none has `node-1`.

    A name in `nodes` that has a Node object means that object.
    """
    by_name = {node.metadata.name: (number, node) for number, node in objects.items()}
    nodes: dict[str, Numbered] = {}
    for index, name in enumerate(spec.nodes):
        here: Path = ("spec", "nodes", index)
        if name in nodes:
            out.add(LAB, here, f"the node {show(name)} is here twice; expected each name once")
        elif name in by_name:
            number, node = by_name[name]
            nodes[name] = (number, ("metadata", "name"), node)
        else:
            nodes[name] = (LAB, here, Node(metadata=ObjectMeta(name=name)))
    for name, (number, node) in by_name.items():
        nodes.setdefault(name, (number, ("metadata", "name"), node))
    if not nodes:
        nodes[DEFAULT_NODE] = (LAB, ("spec",), Node(metadata=ObjectMeta(name=DEFAULT_NODE)))
    return list(nodes.values())


def give_pod_ranges(
    nodes: list[Numbered], pods: Ranges, out: Mistakes, *, anywhere: bool = False
) -> tuple[list[Numbered], list[Named]]:
    """Return the nodes with a pod range of each family: the i-th node (from 1) has the i-th /24 (IPv6: /64).

    Ranges that Node objects give are kept, and returned, and nobody else gets them. `anywhere`: there are no others.
    """
    if anywhere:
        return nodes, []
    given = [_given_ranges(node, pods, out) for node in nodes]
    said = [Named(one, NODE_PODS, node[0], path) for node, mine in zip(nodes, given, strict=True) for path, one in mine]
    taken = [named.network for named in said]
    result = []
    for index, ((number, path, node), found) in enumerate(zip(nodes, given, strict=True), 1):
        mine = by_family(network for _, network in found)
        for family, network in pods.items():
            if family not in mine:
                free = _free_subnet(network, index, taken)
                if free is None:
                    text = f"podCIDR {network} is exhausted: node {show(node.metadata.name)} gets no range"
                    out.add(LAB, ("spec", "network", "podCIDR"), f"{text}; expected a wider one", certain=False)
                else:
                    mine[family] = free
                    taken.append(free)
        ordered = tuple(mine[family] for family in pods if family in mine)
        spec = NodeSpec(pod_cidr=ordered[0] if ordered else None, pod_cidrs=ordered)
        result.append((number, path, replace(node, spec=spec)))
    return result, said


def _given_ranges(numbered: Numbered, pods: Ranges, out: Mistakes) -> list[tuple[Path, IPNetwork]]:
    number, _, node = numbered
    several = bool(node.spec.pod_cidrs)
    found: dict[str, tuple[Path, IPNetwork]] = {}
    for index, network in enumerate(pod_cidrs(node)):
        path: Path = ("spec", "podCIDRs", index) if several else ("spec", "podCIDR")
        family = family_of(network)
        if family not in pods or family in found:
            text = f"{network} is not wanted here; expected one range of each family of the Lab's podCIDR"
            out.add(number, path, text, certain=False)
        else:
            found[family] = (path, network)
    if several and node.spec.pod_cidr not in (None, node.spec.pod_cidrs[0]):
        text = f"{node.spec.pod_cidr} is not the first of podCIDRs, {node.spec.pod_cidrs[0]}; expected the same range"
        out.add(number, ("spec", "podCIDR"), text)
    return list(found.values())


def _free_subnet(network: IPNetwork, index: int, taken: list[IPNetwork]) -> IPNetwork | None:
    prefix = subnet(network, 0).prefixlen
    if network.prefixlen > prefix:
        return network if not any(network == other for other in taken) else None
    count = 1 << (prefix - network.prefixlen)
    same = [other for other in taken if other.version == network.version]
    exact = {int(other.network_address) for other in same if other.prefixlen == prefix}
    odd = [other for other in same if other.prefixlen != prefix]
    for turn in range(min(count, len(taken) + 257)):
        candidate = subnet(network, (index + turn) % count)
        if int(candidate.network_address) not in exact and not any(candidate.overlaps(other) for other in odd):
            return candidate
    return None


def claim_nodes(nodes: list[Numbered], ranges: LabRanges, book: Book) -> None:
    """Note the addresses that Node objects give, those of the router, and of each pod range its own and the gateway's.

    A range's own address is that of the node's tunnel (overlay vxlan); it is no pod's either way.
    """
    for network in (*ranges.nodes.values(), *ranges.clients.values()):
        book.owners.setdefault(gateway(network), "router")
    for number, _, node in nodes:
        name = node.metadata.name
        for network in () if ranges.pod_routes else pod_cidrs(node):
            book.owners.setdefault(gateway(network), f"the gateway of {name}'s pods")
            book.owners.setdefault(network.network_address, f"the range {network} itself")
        for index, entry in enumerate(node.status.addresses):
            path: Path = ("status", "addresses", index, "address")
            if entry.type != "InternalIP":
                continue
            wrong = address(entry.address)
            if wrong:
                book.out.add(number, path, wrong)
                continue
            within = _Within(ranges.nodes, "nodeCIDR", anywhere=ranges.anywhere)
            _claim_in(ip_address(entry.address), within, name, number, path, book)


@dataclass(frozen=True, slots=True)
class _Within:
    """Where addresses have to be: in the ranges that the Lab document calls `name`, or, with `anywhere`, nowhere."""

    ranges: Ranges
    name: str
    anywhere: bool


def _claim_in(one: IPAddress, within: _Within, who: str, at: int, path: Path, book: Book) -> None:
    network, name = within.ranges.get(family_of(one)), within.name
    if network is None or (one not in network and not within.anywhere):
        text = f"the address {one} is not in the Lab's {name} {network or ''}".rstrip()
        book.out.add(at, path, f"{text}; expected one of that range, or set spec.network.{name}", certain=False)
    else:
        book.claim(one, who, at, path)


def give_node_addresses(nodes: list[Numbered], ranges: Ranges, book: Book) -> tuple[Node, ...]:
    """Return the nodes with an InternalIP of each family, from .10 on, and their host name."""
    pools = {family: Pool(network, FIRST, book) for family, network in ranges.items()}
    return tuple(_give_node(node, pools, book.out) for _, _, node in nodes)


def _give_node(node: Node, pools: dict[Family, Pool], out: Mistakes) -> Node:
    name = node.metadata.name
    good = [entry for entry in node.status.addresses if entry.type == "InternalIP" and address(entry.address) is None]
    by_fam = {family_of(ip_address(entry.address)): entry for entry in good}
    for family, pool in pools.items():
        if family not in by_fam:
            taken = pool.take(name)
            if taken is None:
                text = f"nodeCIDR {pool.network} is exhausted: node {show(name)} gets no address"
                out.add(LAB, ("spec", "network", "nodeCIDR"), f"{text}; expected a wider range", certain=False)
            else:
                by_fam[family] = NodeAddress(type="InternalIP", address=str(taken))
    others = tuple(entry for entry in node.status.addresses if entry.type not in ("InternalIP", "Hostname"))
    hostname = NodeAddress(type="Hostname", address=name)
    addresses = (*(by_fam[family] for family in pools if family in by_fam), *others, hostname)
    labels = {HOSTNAME: name, **node.metadata.labels}
    return replace(node, metadata=replace(node.metadata, labels=labels), status=NodeStatus(addresses=addresses))


def claim_clients(clients: tuple[Client, ...], ranges: LabRanges, book: Book) -> None:
    """Note the addresses that the Lab document gives to clients."""
    within = _Within(ranges.clients, "clientCIDR", anywhere=ranges.anywhere)
    for index, client in enumerate(clients):
        for number, one in enumerate(client.addresses):
            path: Path = ("spec", "clients", index, "addresses", number)
            _claim_in(one, within, client.name, LAB, path, book)


def give_client_addresses(clients: tuple[Client, ...], ranges: Ranges, book: Book) -> tuple[Client, ...]:
    """Return the clients with an address of each family, from .10 on."""
    pools = {family: Pool(network, FIRST, book) for family, network in ranges.items()}
    result = []
    for index, client in enumerate(clients):
        mine = {family_of(one): one for one in reversed(client.addresses)}
        for family, pool in pools.items():
            taken = None if family in mine else pool.take(client.name)
            if taken is not None:
                mine[family] = taken
            elif family not in mine:
                text = f"clientCIDR {pool.network} is exhausted: this client gets no address; expected a wider range"
                book.out.add(LAB, ("spec", "clients", index), text, certain=False)
        primary = tuple(mine[family] for family in pools if family in mine)
        others = tuple(one for one in client.addresses if one not in primary)
        result.append(replace(client, addresses=primary + others))
    return tuple(result)
