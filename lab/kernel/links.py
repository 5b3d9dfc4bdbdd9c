"""Links, addresses, routes and neighbours as rtnetlink messages: what `ip link|address|route|neighbour add` send.

Every interface has its index from the start, so none is ever looked up. Source: linux/if_link.h, linux/if_addr.h,
linux/rtnetlink.h, linux/neighbour.h and, for the bridge port, net/bridge/br_netlink.c; for the VXLAN device, whose
forwarding database (FDB) is kept as neighbours of the family AF_BRIDGE, drivers/net/vxlan/vxlan_core.c.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from lab.kernel.netlink import NLA_F_NESTED, NLM_F_CREATE, NLM_F_EXCL, Message, attribute, number, string

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_SETLINK = 19
RTM_NEWADDR = 20
RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_NEWNEIGH = 28
RTM_DELNEIGH = 29

IFF_UP = 0x1
IFF_PROMISC = 0x100

LOOPBACK = 1
"""The index of `lo` in every network namespace."""

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_PROTINFO = 1, 3, 4, 10, 12
_IFLA_LINKINFO, _IFLA_NET_NS_FD = 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_BR_MCAST_SNOOPING = 23
_IFLA_BRPORT_MODE = 4  # hairpin
_IFLA_VXLAN_ID, _IFLA_VXLAN_LINK, _IFLA_VXLAN_LOCAL, _IFLA_VXLAN_LEARNING = 1, 3, 4, 7
_IFLA_VXLAN_PORT, _IFLA_VXLAN_LOCAL6 = 15, 17
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_IFA_F_NODAD, _IFA_F_NOPREFIXROUTE = 0x2, 0x200
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_RT_TABLE_MAIN, _RTPROT_BOOT = 254, 3  # boot: what ip-route(8) says when told nothing
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
_RTN_UNICAST, _RTN_BLACKHOLE = 1, 6
_RTNH_F_ONLINK = 0x4
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_PERMANENT = 0x80
_NTF_SELF = 0x2  # the device's own table, not that of a bridge above it

_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change mask
_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix length, flags, scope, index
# struct rtmsg: family, lengths of dst and src, tos, table, origin, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, index, state, flags, type

_NEW = NLM_F_CREATE | NLM_F_EXCL


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """One end of a veth pair: its name, its index, and its MAC such as `0a:58:0a:f4:01:02`."""

    name: str
    index: int
    mac: str


def up(index: int) -> Message:
    """`ip link set INDEX up`."""
    return Message(kind=RTM_NEWLINK, flags=0, body=_LINK.pack(0, 0, index, IFF_UP, IFF_UP))


def bridge(end: End, *, promiscuous: bool = False, mtu: int = 0) -> Message:
    """`ip link add NAME index INDEX address MAC up type bridge mcast_snooping 0`: a bridge that says nothing itself."""
    flags = IFF_UP | (IFF_PROMISC if promiscuous else 0)
    quiet = attribute(_IFLA_BR_MCAST_SNOOPING, b"\0")
    body = _LINK.pack(0, 0, end.index, flags, flags) + _named(end, mtu) + _of_kind("bridge", quiet)
    return Message(kind=RTM_NEWLINK, flags=_NEW, body=body)


def vxlan(end: End, *, vni: int, port: int, local: IPv4Address | IPv6Address, lower: int, mtu: int) -> Message:
    """`ip link add NAME ... mtu MTU up type vxlan id VNI local LOCAL dev LOWER dstport PORT nolearning`.

    What is not said of the outer UDP packet's checksum is the kernel's choice: there is one.
    """
    data = number(_IFLA_VXLAN_ID, vni) + number(_IFLA_VXLAN_LINK, lower)
    data += attribute(_IFLA_VXLAN_LOCAL if isinstance(local, IPv4Address) else _IFLA_VXLAN_LOCAL6, local.packed)
    data += attribute(_IFLA_VXLAN_LEARNING, b"\0") + attribute(_IFLA_VXLAN_PORT, port.to_bytes(2))
    body = _LINK.pack(0, 0, end.index, IFF_UP, IFF_UP) + _named(end, mtu) + _of_kind("vxlan", data)
    return Message(kind=RTM_NEWLINK, flags=_NEW, body=body)


def veth(near: End, far: End, *, far_netns: int, master: int = 0, mtu: int = 0) -> Message:
    """`ip link add NEAR ... master MASTER up type veth peer name FAR ... netns FAR_NETNS` (an open file of it).

    The far end stays down: the kernel refuses (ENOTCONN) to bring a peer up while its pair is being made.
    """
    peer = _LINK.pack(0, 0, far.index, 0, 0) + _named(far, mtu) + number(_IFLA_NET_NS_FD, far_netns)
    body = _LINK.pack(0, 0, near.index, IFF_UP, IFF_UP) + _named(near, mtu)
    if master:
        body += number(_IFLA_MASTER, master)
    return Message(kind=RTM_NEWLINK, flags=_NEW, body=body + _of_kind("veth", attribute(_VETH_INFO_PEER, peer)))


def hairpin(index: int, *, on: bool) -> Message:
    """`bridge link set dev INDEX hairpin on`: the bridge may send a frame back out of the port it came in by."""
    # The kernel reads this one as a nest only if it is flagged so; in the others it never asks (br_setlink()).
    mode = attribute(_IFLA_BRPORT_MODE, b"\1" if on else b"\0")
    body = _LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0) + attribute(_IFLA_PROTINFO | NLA_F_NESTED, mode)
    return Message(kind=RTM_SETLINK, flags=0, body=body)


def address(index: int, interface: IPv4Interface | IPv6Interface, *, prefix_route: bool = True) -> Message:
    """`ip address add INTERFACE dev INDEX` (and `noprefixroute`); an IPv6 address is usable at once (nodad)."""
    packed = interface.packed
    six = isinstance(interface, IPv6Interface)
    family, flags = (socket.AF_INET6, _IFA_F_NODAD) if six else (socket.AF_INET, 0)
    body = _ADDRESS.pack(family, _prefix(interface), flags, _RT_SCOPE_UNIVERSE, index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    if not prefix_route:  # a flag above those that the header has room for
        body += number(_IFA_FLAGS, flags | _IFA_F_NOPREFIXROUTE)
    return Message(kind=RTM_NEWADDR, flags=_NEW, body=body)


def route(
    destination: IPv4Network | IPv6Network,
    *,
    via: IPv4Address | IPv6Address | None = None,
    index: int = 0,
    onlink: bool = False,
) -> Message:
    """`ip route add DESTINATION via VIA dev INDEX`; without `via` on the link itself, without `index` a blackhole.

    `onlink`: do not ask whether `via` is an address of that link.
    """
    family = socket.AF_INET if isinstance(destination, IPv4Network) else socket.AF_INET6
    kind = _RTN_UNICAST if index else _RTN_BLACKHOLE
    on_link = index and via is None and family == socket.AF_INET  # IPv6 knows no scopes of routes
    scope = _RT_SCOPE_LINK if on_link else _RT_SCOPE_UNIVERSE
    flags = _RTNH_F_ONLINK if onlink else 0
    body = _ROUTE.pack(family, destination.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, kind, flags)
    if destination.prefixlen:
        body += attribute(_RTA_DST, destination.network_address.packed)
    if via is not None:
        body += attribute(_RTA_GATEWAY, via.packed)
    if index:
        body += number(_RTA_OIF, index)
    return Message(kind=RTM_NEWROUTE, flags=_NEW, body=body)


def neighbour(index: int, ip: IPv4Address | IPv6Address, mac: str) -> Message:
    """`ip neighbour add IP dev INDEX lladdr MAC nud permanent`."""
    family = socket.AF_INET if isinstance(ip, IPv4Address) else socket.AF_INET6
    body = (
        _NEIGHBOUR.pack(family, index, _NUD_PERMANENT, 0, 0)
        + attribute(_NDA_DST, ip.packed)
        + attribute(_NDA_LLADDR, _mac(mac))
    )
    return Message(kind=RTM_NEWNEIGH, flags=_NEW, body=body)


def fdb(index: int, mac: str, destination: IPv4Address | IPv6Address) -> Message:
    """`bridge fdb add MAC dev INDEX dst DESTINATION self permanent`."""
    body = (
        _NEIGHBOUR.pack(socket.AF_BRIDGE, index, _NUD_PERMANENT, _NTF_SELF, 0)
        + attribute(_NDA_DST, destination.packed)
        + attribute(_NDA_LLADDR, _mac(mac))
    )
    return Message(kind=RTM_NEWNEIGH, flags=_NEW, body=body)


def delete_link(index: int) -> Message:
    """`ip link delete INDEX`: of a veth pair both ends go, at once."""
    return Message(kind=RTM_DELLINK, flags=0, body=_LINK.pack(0, 0, index, 0, 0))


def undo(message: Message) -> Message:
    """Return what deletes the route, the neighbour or the FDB entry that `message` adds."""
    return Message(
        kind={RTM_NEWROUTE: RTM_DELROUTE, RTM_NEWNEIGH: RTM_DELNEIGH}[message.kind], flags=0, body=message.body
    )


def _named(end: End, mtu: int) -> bytes:
    name = string(_IFLA_IFNAME, end.name) + attribute(_IFLA_ADDRESS, _mac(end.mac))
    return name + number(_IFLA_MTU, mtu) if mtu else name


def _of_kind(kind: str, data: bytes) -> bytes:
    """Return the attribute that says what kind of link to make, and that kind's own attributes."""
    return attribute(_IFLA_LINKINFO, string(_IFLA_INFO_KIND, kind) + attribute(_IFLA_INFO_DATA, data))


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _prefix(interface: IPv4Interface | IPv6Interface) -> int:
    return interface.network.prefixlen
