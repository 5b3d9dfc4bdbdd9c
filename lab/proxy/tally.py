"""How many packets went which way in nftables mode: conntrack's answer, for kube-proxy's nftables rules do not count.

A flow's original destination is the element that led to a Service, where its replies come from is the endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from lab.model.address import IPAddress
from lab.model.flow import Flow
from lab.model.netfilter import Container, Table

ADDRESSES, NODE_PORTS = "service-ips", "service-nodeports"
"""kube-proxy's maps: from address, protocol and port; and from protocol and port, at whatever address of the node."""

Counted = tuple[int, int]
"""Packets and bytes."""

Counts = Counted | tuple[int | None, int | None]
UNCOUNTED: Counts = (None, None)

Socket = tuple[IPAddress, int]

K = TypeVar("K")


@dataclass(slots=True)
class Tally:
    """Packets and bytes by map and key (as nft prints it), and by the endpoint that was chosen."""

    elements: dict[tuple[str, str], Counted] = field(default_factory=dict)
    endpoints: dict[Socket, Counted] = field(default_factory=dict)

    def of_element(self, container: str, key: str) -> Counts:
        """Return what came by an element; nothing is known of one that leads to no endpoint."""
        return self.elements.get((container, key), (0, 0)) if container in (ADDRESSES, NODE_PORTS) else UNCOUNTED

    def of_endpoints(self, sockets: Iterable[Socket]) -> Counted:
        """Return what went to any of these endpoints."""
        every = [self.endpoints.get(socket, (0, 0)) for socket in sockets]
        return sum(packets for packets, _ in every), sum(octets for _, octets in every)


def tally(table: Table, flows: Sequence[Flow], chains: frozenset[str] | None) -> Tally | None:
    """Return what the `flows` of a node say of its table; of endpoints only what came to one of the `chains`.

    None if none of the flows is counted. What conntrack has forgotten (a flow minutes after its end) is not in it.
    """
    if flows and all(flow.counted is None for flow in flows):
        return None
    found = Tally()
    addresses, ports = (dict(_targets(table, name)) for name in (ADDRESSES, NODE_PORTS))
    for flow in flows:
        way = flow.original
        by_address, by_port = f"{way.dst} . {flow.protocol} . {way.dport}", f"{flow.protocol} . {way.dport}"
        name, key, target = (
            (ADDRESSES, by_address, addresses[by_address])
            if by_address in addresses
            else (NODE_PORTS, by_port, ports.get(by_port, ""))
        )
        if target:
            _add(found.elements, (name, key), flow.counted)
        if target and chains and target in chains:
            _add(found.endpoints, (flow.reply.src, flow.reply.sport), flow.counted)
    return found


def _targets(table: Table, name: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of a map, as nft prints them, and the chains that they lead to."""
    container = table.containers.get(name, Container(name=name))
    return ((" . ".join(map(str, key)), verdict.target) for key, verdict in container.exact.items() if verdict)


def _add(counts: dict[K, Counted], key: K, counted: Counted | None) -> None:
    packets, octets = counts.get(key, (0, 0))
    more = counted or (0, 0)
    counts[key] = packets + more[0], octets + more[1]
