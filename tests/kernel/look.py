"""What stands in a network namespace: its links, addresses, routes and neighbours, as plain dicts.

Decoded by pyroute2, which knows the many attributes that a kernel may send.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from lab.kernel.links import IFF_PROMISC, IFF_UP
from lab.kernel.netlink import open_in

_RTM_GETLINK, _RTM_GETADDR, _RTM_GETROUTE, _RTM_GETNEIGH = 18, 22, 26, 30
_RT_TABLE_MAIN = 254
_RTN_BLACKHOLE = 6
_RTNH_F_ONLINK = 0x4
_NUD_PERMANENT = 0x80

Thing = dict[str, Any]


def links(netns: str) -> list[Thing]:
    """Return name, index, mac, mtu, up, promiscuous, master (an index, or 0) and hairpin of each link, by index."""
    found = []
    for message in _dump(netns, _RTM_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0), ifinfmsg):
        info = message.get_attr("IFLA_LINKINFO")
        port = info.get_attr("IFLA_INFO_SLAVE_DATA") if info is not None else None
        found.append(
            {
                "name": message.get_attr("IFLA_IFNAME"),
                "index": message["index"],
                "mac": message.get_attr("IFLA_ADDRESS"),
                "mtu": message.get_attr("IFLA_MTU"),
                "up": bool(message["flags"] & IFF_UP),
                "promiscuous": bool(message["flags"] & IFF_PROMISC),
                "master": message.get_attr("IFLA_MASTER") or 0,
                "hairpin": bool(port is not None and port.get_attr("IFLA_BRPORT_MODE")),
            }
        )
    return sorted(found, key=lambda link: link["index"])


def addresses(netns: str) -> list[Thing]:
    """Return index and address (an IPv4Interface or IPv6Interface) of each address."""
    return [
        {
            "index": message["index"],
            "address": ip_interface((message.get_attr("IFA_ADDRESS"), message["prefixlen"])),
        }
        for message in _dump(netns, _RTM_GETADDR, struct.pack("=BBBBi", 0, 0, 0, 0, 0), ifaddrmsg)
    ]


def routes(netns: str) -> list[Thing]:
    """Return the main table's routes: destination (a text, `default` for all), via, index (0 if none), kind, onlink."""
    head = struct.pack("=BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return [
        {
            "destination": f"{destination}/{message['dst_len']}" if destination else "default",
            "via": ip_address(via) if (via := message.get_attr("RTA_GATEWAY")) else None,
            "index": message.get_attr("RTA_OIF") or 0,
            "kind": "blackhole" if message["type"] == _RTN_BLACKHOLE else "unicast",
            "onlink": bool(message["flags"] & _RTNH_F_ONLINK),
        }
        for message in _dump(netns, _RTM_GETROUTE, head, rtmsg)
        if message.get_attr("RTA_TABLE", message["table"]) == _RT_TABLE_MAIN
        for destination in [message.get_attr("RTA_DST")]
    ]


def neighbours(netns: str) -> list[Thing]:
    """Return index, address, mac (None while unresolved) and permanent of each entry of the neighbour table."""
    head = struct.pack("=BxxxiHBB", socket.AF_UNSPEC, 0, 0, 0, 0)
    return [
        {
            "index": message["ifindex"],
            "address": ip_address(message.get_attr("NDA_DST")),
            "mac": message.get_attr("NDA_LLADDR"),
            "permanent": bool(message["state"] & _NUD_PERMANENT),
        }
        for message in _dump(netns, _RTM_GETNEIGH, head, ndmsg)
    ]


def fdb(netns: str) -> list[Thing]:
    """Return index, mac and destination of each entry that says behind which address a VXLAN device finds a MAC."""
    head = struct.pack("=BxHiII", socket.AF_BRIDGE, 0, 0, 0, 0)
    return [
        {"index": message["ifindex"], "mac": message.get_attr("NDA_LLADDR"), "destination": ip_address(destination)}
        for message in _dump(netns, _RTM_GETNEIGH, head, ndmsg)
        if (destination := message.get_attr("NDA_DST"))
    ]


def _dump(netns: str, kind: int, body: bytes, decoder: Any) -> Iterator[Any]:
    with open_in(netns) as channel:
        for raw in channel.dump(kind, body):
            message = decoder(raw)
            message.decode()
            yield message
