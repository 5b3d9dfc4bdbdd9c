"""What a network namespace's links, addresses and routing are, asked of rtnetlink, and what its counters have counted.

For the namespace that this thread is in. Source: rtnetlink(7), linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from lab.kernel.netlink import Channel, Message, Refusal, attribute, attributes, number

_RTM_GETLINK, _RTM_GETADDR, _RTM_GETROUTE, _RTM_GETNEIGH = 18, 22, 26, 30
_HEADER_BYTES = 16  # struct nlmsghdr
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change mask
_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg; the second is the prefix length, the eighth the type
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, index, state, flags, type
_IFLA_ADDRESS, _IFNAME, _MTU, _LINK_TO, _MASTER, _PROTINFO, _LINKINFO, _INFO_KIND = 1, 3, 4, 5, 10, 12, 18, 1
_NDA_DST, _NDA_LLADDR = 1, 2
_BRPORT_MODE = 4
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_DST, _SRC, _IIF, _OIF, _GATEWAY, _PREFSRC, _MARK, _VIA = 1, 2, 3, 4, 5, 7, 16, 18

# RTN_*, as ip-route(8) calls them
_TYPES = (
    "unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit", "throw",
    "nat",
)  # fmt: skip

_REFUSING = ("blackhole", "unreachable", "prohibit")

# NUD_*, as ip-neighbour(8) calls them
_STATES = {
    0x01: "INCOMPLETE", 0x02: "REACHABLE", 0x04: "STALE", 0x08: "DELAY", 0x10: "PROBE", 0x20: "FAILED", 0x40: "NOARP",
    0x80: "PERMANENT",
}  # fmt: skip

_FILES = ("snmp", "snmp6", "netstat")


class LinkFacts(NamedTuple):
    """An interface; `number`: its index; `hairpin`: None where it is no port of a bridge; `addresses` are packed.

    `up`: whether it is, and has a carrier (IFF_RUNNING, netdevice(7)); `enabled`: whether it was set up (IFF_UP).
    `peer`: the index of a veth's other end, in that one's namespace; 0: not known. `mac` is packed.
    """

    number: int
    name: str
    kind: str
    master: str
    hairpin: bool | None
    addresses: tuple[bytes, ...]
    mtu: int
    up: bool
    enabled: bool
    peer: int
    mac: bytes


class NeighbourFacts(NamedTuple):
    """An entry of the neighbour table; address and MAC are packed, `state` is in ip-neighbour(8)'s words."""

    interface: str
    address: bytes
    mac: bytes
    state: str


class RouteFacts(NamedTuple):
    """A route; `kind` is its type in ip-route(8)'s words, or the name of the errno that was the answer."""

    kind: str
    oif: str = ""
    gateway: bytes = b""
    source: bytes = b""


def links() -> list[LinkFacts]:
    """Return the interfaces of this namespace, in the order of their indices."""
    with Channel() as channel:
        told, state = {}, {}
        for raw in channel.dump(_RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, _, index, flags, _ = _LINK.unpack_from(raw, _HEADER_BYTES)
            told[index] = dict(attributes(raw[_HEADER_BYTES + _LINK.size :]))
            state[index] = flags
        hairpins = {}
        for raw in channel.dump(_RTM_GETLINK, _LINK.pack(socket.AF_BRIDGE, 0, 0, 0, 0)):
            parts = dict(attributes(raw[_HEADER_BYTES + _LINK.size :]))
            port = dict(attributes(parts.get(_PROTINFO, b"")))
            if _BRPORT_MODE in port:
                hairpins[_LINK.unpack_from(raw, _HEADER_BYTES)[2]] = port[_BRPORT_MODE] != b"\0"
        addresses: dict[int, list[bytes]] = {}
        for raw in channel.dump(_RTM_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            parts = dict(attributes(raw[_HEADER_BYTES + _ADDRESS.size :]))
            index = _ADDRESS.unpack_from(raw, _HEADER_BYTES)[4]
            addresses.setdefault(index, []).append(parts.get(_IFA_LOCAL) or parts[_IFA_ADDRESS])
    names = {index: _text(parts[_IFNAME]) for index, parts in told.items()}
    return [
        LinkFacts(
            number=index,
            name=names[index],
            kind=_text(dict(attributes(parts.get(_LINKINFO, b""))).get(_INFO_KIND, b"")),
            master=names.get(_u32(parts.get(_MASTER)), ""),
            hairpin=hairpins.get(index),
            addresses=tuple(addresses.get(index, ())),
            mtu=_u32(parts.get(_MTU)),
            up=bool(state[index] & _IFF_RUNNING),
            enabled=bool(state[index] & _IFF_UP),
            peer=_u32(parts.get(_LINK_TO)),
            mac=parts.get(_IFLA_ADDRESS, b""),
        )
        for index, parts in sorted(told.items())
    ]


def route(destination: bytes, source: bytes, iif: str, mark: int) -> RouteFacts:
    """Ask as `ip route get DESTINATION from SOURCE iif IIF mark MARK` does; addresses are packed, "" and 0 not said."""
    family = socket.AF_INET if len(destination) == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4's bytes
    bits = 8 * len(destination)
    body = _ROUTE.pack(family, bits, bits if source else 0, 0, 0, 0, 0, 0, 0) + attribute(_DST, destination)
    if source:
        body += attribute(_SRC, source)
    if iif:
        try:
            body += number(_IIF, socket.if_nametoindex(iif))
        except OSError:
            return RouteFacts(kind="ENODEV")
    if mark:
        body += number(_MARK, mark)
    with Channel() as channel:
        answer = channel.get(Message(kind=_RTM_GETROUTE, flags=0, body=body))
    if isinstance(answer, Refusal):
        return RouteFacts(kind=errno.errorcode.get(answer.errno, str(answer.errno)))
    parts = dict(attributes(answer[_ROUTE.size :]))
    kind = _ROUTE.unpack_from(answer)[7]
    oif = ""
    with suppress(OSError):
        oif = socket.if_indextoname(_u32(parts.get(_OIF)))
    via = parts.get(_VIA, b"")[2:]  # struct rtvia: a gateway of the other family
    return RouteFacts(
        kind=_TYPES[kind] if kind < len(_TYPES) else str(kind),
        oif=oif,
        gateway=parts.get(_GATEWAY, via),
        source=parts.get(_PREFSRC, b""),
    )


def refusing(destination: bytes) -> str:
    """Return the route that refuses `destination`, as ip-route(8) lists it: `blackhole default`; "" if none does.

    Of several that hold it the most specific one; which table is asked, rules decide (ip-rule(8)), is not looked at.
    """
    family = socket.AF_INET if len(destination) == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4's bytes
    wanted, width = int.from_bytes(destination, "big"), 8 * len(destination)
    best, text = -1, ""
    with Channel() as channel:
        for raw in channel.dump(_RTM_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, bits, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(raw, _HEADER_BYTES)
            name = _TYPES[kind] if kind < len(_TYPES) else ""
            if name not in _REFUSING or bits <= best:
                continue
            prefix = dict(attributes(raw[_HEADER_BYTES + _ROUTE.size :])).get(_DST, bytes(len(destination)))
            if int.from_bytes(prefix, "big") >> (width - bits) == wanted >> (width - bits):
                where = (
                    f"{socket.inet_ntop(family, prefix)}{'' if bits == width else f'/{bits}'}" if bits else "default"
                )
                best, text = bits, f"{name} {where}"
    return text


def neighbours() -> list[NeighbourFacts]:
    """Return the neighbour table of this namespace: who has which address on its links, as far as it was asked."""
    names = dict(socket.if_nameindex())
    found = []
    with Channel() as channel:
        for raw in channel.dump(_RTM_GETNEIGH, _NEIGHBOUR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            family, index, state, _, _ = _NEIGHBOUR.unpack_from(raw, _HEADER_BYTES)
            parts = dict(attributes(raw[_HEADER_BYTES + _NEIGHBOUR.size :]))
            if family in (socket.AF_INET, socket.AF_INET6) and state in _STATES and _NDA_DST in parts:
                mac = parts.get(_NDA_LLADDR, b"")
                found.append(NeighbourFacts(names.get(index, ""), parts[_NDA_DST], mac, _STATES[state]))
    return found


def counters() -> dict[str, int]:
    """Return what /proc/net counts: `Ip.OutNoRoutes`, `Ip6.InNoRoutes`, `TcpExt.IPReversePathFilter`...

    Beside snmp, snmp6 and netstat conntrack's statistics, of all processors together: `conntrack.drop`. What is not
    there is left out.
    """
    found: dict[str, int] = {}
    for name in _FILES:
        with suppress(OSError), open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
            found.update(_six(file.read()) if name == "snmp6" else _in_pairs(file.read()))
    with suppress(OSError), open("/proc/thread-self/net/stat/nf_conntrack", encoding="ascii") as file:
        head, *rows = (line.split() for line in file)
        sums = (sum(int(row[column], 16) for row in rows) for column in range(len(head)))
        found.update(zip((f"conntrack.{word}" for word in head), sums, strict=True))
    return found


def _in_pairs(text: str) -> Iterator[tuple[str, int]]:
    """Yield the counters of a file in which a line of names stands above a line of numbers."""
    lines = text.splitlines()
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        group, _, words = names.partition(":")
        for word, value in zip(words.split(), numbers.partition(":")[2].split(), strict=True):
            yield f"{group}.{word}", int(value)


def _six(text: str) -> Iterator[tuple[str, int]]:
    for line in text.splitlines():
        word, value = line.split()
        group, mark, rest = word.partition("6")
        yield f"{group}{mark}.{rest}", int(value)


def _u32(raw: bytes | None) -> int:
    return int.from_bytes(raw, sys.byteorder) if raw else 0


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")
