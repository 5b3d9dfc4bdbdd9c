"""Op -> the rtnetlink message that does it; a veth pair, which needs an open namespace, is `build`'s own."""

from __future__ import annotations

from typing import assert_never

from lab.kernel import links
from lab.kernel.netlink import Message
from lab.model.ops import Address, Bridge, Fdb, Neighbour, Route, Vxlan


def message(op: Bridge | Vxlan | Address | Route | Neighbour | Fdb) -> Message:
    """Return the message for an op that takes one."""
    match op:
        case Bridge():
            return links.bridge(_end(op), promiscuous=op.promiscuous, mtu=op.mtu)
        case Vxlan():
            return links.vxlan(_end(op), vni=op.vni, port=op.port, local=op.local, lower=op.lower, mtu=op.mtu)
        case Address():
            return links.address(op.index, op.address, prefix_route=op.prefix_route)
        case Route():
            return links.route(op.destination, via=op.via, index=op.index, onlink=op.onlink)
        case Neighbour():
            return links.neighbour(op.index, op.address, op.mac)
        case Fdb():
            return links.fdb(op.index, op.mac, op.destination)
        case _:
            assert_never(op)


def _end(op: Bridge | Vxlan) -> links.End:
    return links.End(name=op.name, index=op.index, mac=op.mac)
