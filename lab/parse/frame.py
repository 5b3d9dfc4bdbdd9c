"""Bytes of a frame -> what its headers say. Nothing is raised for what makes no sense: it is called `cut short`."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

from lab import words
from lab.model.packet import Packet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.address import IPAddress

_IPV4, _VLAN, _IPV6 = 0x0800, 0x8100, 0x86DD
_ICMP, _TCP, _UDP, _ICMP6 = 1, 6, 17, 58
_NUMBERS: Mapping[int, str] = {2: "igmp", 4: "ipip", 41: "ip6ip", 47: "gre", 50: "esp", 132: "sctp"}
_EXTENSIONS = {0, 43, 60}  # IPv6 headers before the payload: hop-by-hop, routing, destination (RFC 8200)
_FRAGMENT = 44
_FLAGS = "FSRP.UEW"  # TCP's flags from the lowest bit on, as tcpdump(8) writes them
_VXLAN_PORTS = {4789, 8472}  # IANA's, and the one that Linux and flannel use
_MOST_DEEP = 3  # packets in packets; nobody sends more

# Source: IANA's registries of ICMP and ICMPv6 types and codes.
_UNREACHABLE: Mapping[int, str] = {
    0: "net unreachable",
    1: "host unreachable",
    2: "protocol unreachable",
    3: "port unreachable",
    4: "fragmentation needed",
    9: "net prohibited",
    10: "host prohibited",
    13: "prohibited",
}
_UNREACHABLE6: Mapping[int, str] = {
    0: "no route",
    1: "prohibited",
    3: "address unreachable",
    4: "port unreachable",
    6: "reject route",
}
_ICMP_KINDS: Mapping[int, str] = {0: "echo reply", 5: "redirect", 8: "echo request", 11: "time exceeded"}
_ICMP6_KINDS: Mapping[int, str] = {
    2: "packet too big",
    3: "time exceeded",
    128: "echo request",
    129: "echo reply",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbour solicitation",
    136: "neighbour advertisement",
    143: "multicast listener report",
}
_ERRORS, _ERRORS6 = {3, 5, 11, 12}, {1, 2, 3, 4}  # those that quote the packet that they are about
_UNREACHABLE_KIND, _UNREACHABLE_KIND6 = 3, 1


class _Ends(NamedTuple):
    """What an IP header tells: addresses, time to live, and IPv4's identification."""

    source: IPAddress
    destination: IPAddress
    ttl: int
    id: bytes


def frame(data: bytes, *, ethernet: bool = True, protocol: int = 0) -> Packet:
    """Return what `data` says; without an Ethernet header, `protocol` is its EtherType, as packet(7) tells it."""
    return _cut(data, ethernet, protocol, 0)


def _cut(data: bytes, ethernet: bool, protocol: int, depth: int) -> Packet:  # noqa: FBT001 - passed on
    try:
        return _ethernet(data, depth) if ethernet else _payload(protocol, data, depth)
    except (struct.error, IndexError, ValueError):  # ValueError: an address of too few bytes
        return Packet(protocol="frame", info=f"{words.count(len(data), 'byte')}, cut short")


def _ethernet(data: bytes, depth: int) -> Packet:
    (kind,) = struct.unpack_from("!H", data, 12)
    offset = 14
    if kind == _VLAN:
        (kind,) = struct.unpack_from("!H", data, 16)
        offset = 18
    return _payload(kind, data[offset:], depth)


def _payload(kind: int, data: bytes, depth: int) -> Packet:
    match kind:
        case 0x0800:
            return _ipv4(data, depth)
        case 0x86DD:
            return _ipv6(data, depth)
        case 0x0806:
            return _arp(data)
    return Packet(protocol=f"ethertype {kind:#06x}", info=words.count(len(data), "byte"))


def _arp(data: bytes) -> Packet:
    (operation,) = struct.unpack_from("!H", data, 6)
    return Packet(
        protocol="arp",
        source=IPv4Address(data[14:18]),
        destination=IPv4Address(data[24:28]),
        info={1: "request", 2: f"reply {data[8:14].hex(':')}"}.get(operation, f"operation {operation}"),
    )


def _ipv4(data: bytes, depth: int) -> Packet:
    header = (data[0] & 0x0F) * 4
    total, _, fragment = struct.unpack_from("!HHH", data, 2)
    ends = _Ends(IPv4Address(data[12:16]), IPv4Address(data[16:20]), data[8], data[4:6])
    if fragment & 0x1FFF:
        return _later_fragment(ends, (fragment & 0x1FFF) * 8)
    length = (total or len(data)) - header  # 0: more than 64 KiB at once (BIG TCP)
    return _transport(data[9], ends, data[header:], length, depth)


def _ipv6(data: bytes, depth: int) -> Packet:
    length, following = struct.unpack_from("!HB", data, 4)
    ends = _Ends(IPv6Address(data[8:24]), IPv6Address(data[24:40]), data[7], b"")
    offset = 40
    length = length or len(data) - offset
    while following in _EXTENSIONS or following == _FRAGMENT:
        if following == _FRAGMENT:
            (place,) = struct.unpack_from("!H", data, offset + 2)
            if place & 0xFFF8:
                return _later_fragment(ends, place & 0xFFF8)
        size = 8 if following == _FRAGMENT else (data[offset + 1] + 1) * 8
        following = data[offset]
        offset, length = offset + size, length - size
    return _transport(following, ends, data[offset:], length, depth)


def _later_fragment(ends: _Ends, place: int) -> Packet:
    return _packet("ip", ends, info=f"fragment at {place}", identity=ends.id)


def _transport(number: int, ends: _Ends, data: bytes, length: int, depth: int) -> Packet:
    """Return a packet of the IP protocol `number`; `length`: the bytes that it had, of which `data` may have less."""
    if number == _TCP:
        ports = struct.unpack_from("!HH", data)
        header, flags = (data[12] >> 4) * 4, data[13]
        words = "".join(letter for bit, letter in enumerate(_FLAGS) if flags >> bit & 1)
        info = f"[{words or 'none'}]{_carried(length - header)}"
        return _packet("tcp", ends, ports, info, data[4:12] + data[13:14])  # sequence, acknowledged, flags
    if number == _UDP:
        ports = struct.unpack_from("!HH", data)
        # Its length, and as much of what is carried as a trace event tells; Ethernet may have filled it up.
        identity = ends.id + data[4:6] + data[8 : min(20, length)]
        if ports[1] in _VXLAN_PORTS and depth < _MOST_DEEP:
            vni = int.from_bytes(data[12:15])
            inner = _cut(data[16:], True, 0, depth + 1)  # noqa: FBT003 - an Ethernet frame
            return _packet("vxlan", ends, ports, f"vni {vni}", identity, inner)
        return _packet("udp", ends, ports, _carried(length - 8).strip(), identity)
    if number in (_ICMP, _ICMP6):
        return _icmp(number == _ICMP6, ends, data, depth)
    return _packet(_NUMBERS.get(number, f"protocol {number}"), ends, info=_carried(length).strip(), identity=ends.id)


def _carried(number: int) -> str:
    return f" {words.count(number, 'byte')}" if number > 0 else ""


def _packet(
    protocol: str,
    ends: _Ends,
    ports: tuple[int, ...] = (0, 0),
    info: str = "",
    identity: bytes = b"",
    inner: Packet | None = None,
) -> Packet:
    return Packet(
        protocol=protocol,
        source=ends.source,
        destination=ends.destination,
        source_port=ports[0],
        destination_port=ports[1],
        info=info,
        inner=inner,
        ttl=ends.ttl,
        identity=identity,
    )


def _icmp(six: bool, ends: _Ends, data: bytes, depth: int) -> Packet:  # noqa: FBT001 - passed on
    kind, code = data[0], data[1]
    kinds, errors, unreachable, codes = (
        (_ICMP6_KINDS, _ERRORS6, _UNREACHABLE_KIND6, _UNREACHABLE6)
        if six
        else (_ICMP_KINDS, _ERRORS, _UNREACHABLE_KIND, _UNREACHABLE)
    )
    info = codes.get(code, f"unreachable, code {code}") if kind == unreachable else kinds.get(kind, f"type {kind}")
    if info.startswith("neighbour"):
        info = f"{info} of {ip_address(data[8:24])}"
    inner, identity = None, data[4:8]  # of an echo: which one
    if kind in errors and depth < _MOST_DEEP:
        inner = _cut(data[8:], False, _IPV6 if six else _IPV4, depth + 1)  # noqa: FBT003 - an IP packet
        identity = data[8:16]  # what NAT leaves alone of the header that is quoted: its addresses are behind
    return _packet("icmp6" if six else "icmp", ends, info=info, identity=data[:2] + identity, inner=inner)
