"""Conntrack entries of the network namespace that the caller is in, over netlink (ctnetlink; conntrack(8) -L).

Enter the namespace by `lab.kernel.netns.inside` first. Needs CAP_NET_ADMIN in the namespace's user namespace, no root.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Any, TypedDict

from lab.errors import HostError, KernelError

if TYPE_CHECKING:
    from collections.abc import Iterable

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_HEADERS = 20  # struct nlmsghdr, struct nfgenmsg
_NLATTR = struct.Struct("=HH")
_NLA_TYPE_MASK = 0x3FFF
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_PROTOINFO = 1, 2, 3, 4
_CTA_TIMEOUT, _CTA_MARK, _CTA_ID, _CTA_ZONE = 7, 8, 12, 18
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V4_DST, _CTA_IP_V6_SRC, _CTA_IP_V6_DST = 1, 2, 3, 4
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}  # by an address's length in bytes
_CTA_PROTOINFO_TCP, _CTA_PROTOINFO_TCP_STATE = 1, 1


class Entry(TypedDict):
    """One conntrack entry in primitives; `lab.parse.conntrack` makes a `Flow` of it.

    `original` and `reply`: source, destination, source port, destination port; ports are 0 where there are none.
    `protocol`: the IP protocol's number. `status`: IPS_* bits. `tcp_state`: the kernel's number, -1 unless TCP.
    `timeout_s`: seconds until the entry expires.
    """

    protocol: int
    original: tuple[str, str, int, int]
    reply: tuple[str, str, int, int]
    mark: int
    zone: int
    status: int
    tcp_state: int
    timeout_s: int
    id: int


def dump(
    *, protocol: int = 0, source: str = "", source_port: int = 0, destination: str = "", destination_port: int = 0
) -> list[Entry]:
    """Return the entries of both families, or those whose original tuple has what is given (the kernel filters them).

    The kernel's filter (CTA_FILTER, since 5.8) is for one family and one protocol: ports want `protocol`, a number,
    and anything wants an address; `ValueError` else.
    Raises `HostError` if the kernel has no ctnetlink, `KernelError` if it refuses.
    """
    from pyroute2.netlink.exceptions import NetlinkError  # noqa: PLC0415 - 0.1 s, wanted by few commands
    from pyroute2.netlink.nfnetlink import nfctsocket  # noqa: PLC0415 - as above

    wanted: Any = None
    family = socket.AF_UNSPEC
    if source or destination:
        family = socket.AF_INET6 if ":" in (source or destination) else socket.AF_INET
        wanted = nfctsocket.NFCTAttrTuple(
            family=family,
            proto=protocol or None,
            saddr=source or None,
            daddr=destination or None,
            sport=source_port or None,
            dport=destination_port or None,
        )
    if (protocol and wanted is None) or ((source_port or destination_port) and not (protocol and wanted is not None)):
        raise ValueError("a port is looked for with its protocol, a protocol with an address")
    try:
        with nfctsocket.NFCTSocket(nfgen_family=family) as ctnetlink:
            return _entries(ctnetlink.dump(tuple_orig=wanted))
    except (NetlinkError, OSError) as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> HostError | KernelError:
    """Return what the user can do about a NetlinkError (its `code` is the errno) or an OSError."""
    code = getattr(error, "code", None) or getattr(error, "errno", None) or 0
    name = errno.errorcode.get(code, str(code))
    if code == errno.EPERM:
        return KernelError(
            "conntrack over netlink: EPERM: reading flows needs CAP_NET_ADMIN over this network namespace",
            hint="read them from inside the lab",
        )
    if code in {errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP}:
        return HostError(
            f"conntrack over netlink: the kernel answers {name}: it has no nf_conntrack_netlink",
            hint="modprobe nf_conntrack_netlink (as root; the module shows conntrack entries and changes none)",
        )
    return KernelError(f"conntrack over netlink: {name}: {error}")


def _entries(messages: Iterable[Any]) -> list[Entry]:
    """Return an entry per message, once each: a dump that crosses a growing hash table can name one twice.

    Read from the raw bytes it takes 0.07 ms an entry; through pyroute2's attributes it was 0.22 ms.
    """
    entries: dict[tuple[int, tuple[str, str, int, int]], Entry] = {}
    for message in messages:
        start = message.offset
        raw = bytes(message.data[start + _HEADERS : start + message["header"]["length"]])
        entry = _entry(raw)
        entries[entry["id"], entry["original"]] = entry
    return list(entries.values())


def _attributes(raw: bytes) -> dict[int, bytes]:
    """Return the payloads of netlink attributes (struct nlattr: length, type, padding to 4 bytes) by type."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(raw):
        length, kind = _NLATTR.unpack_from(raw, offset)
        if length < _NLATTR.size:
            break
        found[kind & _NLA_TYPE_MASK] = raw[offset + 4 : offset + length]
        offset += length + 3 & ~3
    return found


def _number(raw: bytes | None, absent: int = 0) -> int:
    """Return an attribute's number: ctnetlink's are all big endian."""
    return absent if raw is None else int.from_bytes(raw, "big")


def _entry(raw: bytes) -> Entry:
    """Return the entry of one message's attributes."""
    attributes = _attributes(raw)
    protocol, original = _tuple(attributes[_CTA_TUPLE_ORIG])
    tcp = _attributes(attributes.get(_CTA_PROTOINFO, b"")).get(_CTA_PROTOINFO_TCP, b"")
    return Entry(
        protocol=protocol,
        original=original,
        reply=_tuple(attributes[_CTA_TUPLE_REPLY])[1],
        mark=_number(attributes.get(_CTA_MARK)),
        zone=_number(attributes.get(_CTA_ZONE)),
        status=_number(attributes.get(_CTA_STATUS)),
        tcp_state=_number(_attributes(tcp).get(_CTA_PROTOINFO_TCP_STATE), -1),
        timeout_s=_number(attributes.get(_CTA_TIMEOUT)),
        id=_number(attributes.get(_CTA_ID)),
    )


def _tuple(raw: bytes) -> tuple[int, tuple[str, str, int, int]]:
    """Return the protocol's number, and the addresses and ports, of a CTA_TUPLE_*."""
    attributes = _attributes(raw)
    addresses = _attributes(attributes[_CTA_TUPLE_IP])
    source, destination = (
        (addresses[_CTA_IP_V4_SRC], addresses[_CTA_IP_V4_DST])
        if _CTA_IP_V4_SRC in addresses
        else (addresses[_CTA_IP_V6_SRC], addresses[_CTA_IP_V6_DST])
    )
    layer4 = _attributes(attributes[_CTA_TUPLE_PROTO])
    return _number(layer4[_CTA_PROTO_NUM]), (
        _text(source),
        _text(destination),
        _number(layer4.get(_CTA_PROTO_SRC_PORT)),
        _number(layer4.get(_CTA_PROTO_DST_PORT)),
    )


def _text(address: bytes) -> str:
    """Return an address as text."""
    return socket.inet_ntop(_FAMILIES[len(address)], address)
