"""Which flows outlive their endpoint (CleanStaleEntries, pkg/proxy/conntrack/cleanup.go).

UDP has no end: as long as a client sends from one port, conntrack keeps translating to the endpoint that it chose
first, also when that is gone. TCP notices by itself, so kube-proxy leaves it alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.model.address import IPAddress
from lab.model.flow import Flow
from lab.model.service import ServiceUnit

Socket = tuple[IPAddress, int]


def stale(flows: Iterable[Flow], units: Iterable[ServiceUnit]) -> tuple[Flow, ...]:
    """Return the flows to be deleted: UDP, to a frontend of a service port, answered by none of its endpoints.

    A frontend is ClusterIP, load balancer or external IP with the service port, or the node port at any address. Of the
    endpoints those count that are serving, whatever policies and topology say; a service port without one is skipped.
    """
    sockets: dict[Socket, frozenset[Socket]] = {}
    ports: dict[int, frozenset[Socket]] = {}
    for unit in units:
        serving = frozenset((one.address, one.port) for one in unit.endpoints if one.serving)
        if unit.protocol != "UDP" or not serving:
            continue
        for address in (unit.cluster_ip, *unit.load_balancer_ips, *unit.external_ips):
            sockets[address, unit.port] = serving
        if unit.node_port:
            ports[unit.node_port] = serving
    return tuple(flow for flow in flows if flow.protocol == "udp" and _outlived(flow, sockets, ports))


def _outlived(flow: Flow, sockets: dict[Socket, frozenset[Socket]], ports: dict[int, frozenset[Socket]]) -> bool:
    to = flow.original
    serving = sockets.get((to.dst, to.dport)) or ports.get(to.dport)
    return serving is not None and (flow.reply.src, flow.reply.sport) not in serving
