"""Conntrack entries of the network namespace that the caller is in, over netlink (ctnetlink; conntrack(8) -L).

Enter the namespace by `lab.kernel.netns.inside` first. Needs CAP_NET_ADMIN in the namespace's user namespace, no root.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, TypedDict

from lab.errors import HostError, KernelError
from lab.kernel.netlink import NETLINK_NETFILTER, NLA_F_NESTED, Channel, Message, attribute, attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_HEADERS = 20  # struct nlmsghdr, struct nfgenmsg
_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_PROTOINFO = 1, 2, 3, 4
_CTA_TIMEOUT, _CTA_MARK, _CTA_COUNTERS_ORIG, _CTA_ID, _CTA_ZONE = 7, 8, 9, 12, 18
_CTA_COUNTERS_PACKETS, _CTA_COUNTERS_BYTES = 1, 2
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V4_DST, _CTA_IP_V6_SRC, _CTA_IP_V6_DST = 1, 2, 3, 4
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}  # by an address's length in bytes
_CTA_PROTOINFO_TCP, _CTA_PROTOINFO_TCP_STATE = 1, 1
_CT_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_CT_DELETE = 1 << 8 | 2  # ..., IPCTNL_MSG_CT_DELETE
_NFGENMSG = struct.Struct("=BBH")


class Entry(TypedDict):
    """One conntrack entry in primitives; `lab.parse.conntrack` makes a `Flow` of it.

    `original` and `reply`: source, destination, source port, destination port; ports are 0 where there are none.
    `protocol`: the IP protocol's number. `status`: IPS_* bits. `tcp_state`: the kernel's number, -1 unless TCP.
    `timeout_s`: seconds until the entry expires. `counted`: packets and bytes of the original direction, None unless
    net.netfilter.nf_conntrack_acct was 1 when the flow began.
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
    counted: tuple[int, int] | None


def dump() -> list[Entry]:
    """Return the entries of both families.

    Raises `HostError` if the kernel has no ctnetlink, `KernelError` if it refuses.
    """
    try:
        with Channel(protocol=NETLINK_NETFILTER) as channel:
            return _entries(channel.dump(_CT_GET, _NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)))
    except OSError as error:
        raise refusal(error) from error
    except KernelError as error:
        if isinstance(error.__cause__, OSError):
            raise refusal(error.__cause__) from error
        raise


def find(protocol: int, original: tuple[str, str, int, int]) -> Entry | None:
    """Return the entry of zone 0 that has `original` (as `Entry` has it) in one of its directions, None if none has.

    Raises what `dump` raises.
    """
    family = socket.AF_INET6 if ":" in original[0] else socket.AF_INET
    asked = Message(kind=_CT_GET, flags=0, body=_NFGENMSG.pack(family, 0, 0) + _named(protocol, original))
    try:
        with Channel(protocol=NETLINK_NETFILTER) as channel:
            answer = channel.get(asked)
    except OSError as error:
        raise refusal(error) from error
    if isinstance(answer, bytes):
        return entry(answer[_NFGENMSG.size :])
    if answer.errno == errno.ENOENT:
        return None
    raise refusal(OSError(answer.errno, str(answer)))


class Key(TypedDict):
    """What names one entry: the parts of an `Entry` that no other entry has, too."""

    protocol: int
    original: tuple[str, str, int, int]
    zone: int
    id: int


def delete(keys: Sequence[Key]) -> int:
    """Delete these entries and no others; return how many of them were still there.

    Raises `KernelError` if the kernel refuses.
    """
    with Channel(protocol=NETLINK_NETFILTER) as channel:
        refusals = channel.send([_deletion(key) for key in keys])
    bad = [refusal for refusal in refusals if refusal.errno != errno.ENOENT]
    if bad:
        raise KernelError("\n".join(f"delete the flow {keys[one.position]['original']}: {one}" for one in bad))
    return len(keys) - len(refusals)


def _deletion(key: Key) -> Message:
    """Return the request for one entry: its id makes sure that it is not one that took the tuple meanwhile."""
    family = socket.AF_INET6 if ":" in key["original"][0] else socket.AF_INET
    body = _NFGENMSG.pack(family, 0, 0) + _named(key["protocol"], key["original"])
    if key["zone"]:
        body += attribute(_CTA_ZONE, key["zone"].to_bytes(2, "big"))
    return Message(kind=_CT_DELETE, flags=0, body=body + attribute(_CTA_ID, key["id"].to_bytes(4, "big")))


def _named(protocol: int, original: tuple[str, str, int, int]) -> bytes:
    """Return the attribute that names an entry by its original direction."""
    source, destination, sport, dport = original
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    kinds = (_CTA_IP_V6_SRC, _CTA_IP_V6_DST) if ":" in source else (_CTA_IP_V4_SRC, _CTA_IP_V4_DST)
    addresses = b"".join(
        attribute(kind, socket.inet_pton(family, text)) for kind, text in zip(kinds, (source, destination), strict=True)
    )
    layer4 = (
        attribute(_CTA_PROTO_NUM, bytes([protocol]))
        + attribute(_CTA_PROTO_SRC_PORT, sport.to_bytes(2, "big"))
        + attribute(_CTA_PROTO_DST_PORT, dport.to_bytes(2, "big"))
    )
    return _nested(_CTA_TUPLE_ORIG, _nested(_CTA_TUPLE_IP, addresses) + _nested(_CTA_TUPLE_PROTO, layer4))


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, value)


def refusal(error: OSError) -> HostError | KernelError:
    """Return what the user can do about the kernel's no."""
    code = error.errno or 0
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


def _entries(messages: Iterable[bytes]) -> list[Entry]:
    """Return an entry per message, once each: a dump that crosses a growing hash table can name one twice."""
    entries = (entry(message[_HEADERS:]) for message in messages)
    return list({(one["id"], one["original"]): one for one in entries}.values())


def _attributes(raw: bytes) -> dict[int, bytes]:
    """Return the values of netlink attributes by type."""
    return dict(attributes(raw))


def _number(raw: bytes | None, absent: int = 0) -> int:
    """Return an attribute's number: ctnetlink's are all big endian."""
    return absent if raw is None else int.from_bytes(raw, "big")


def entry(raw: bytes) -> Entry:
    """Return the entry of one message's attributes, which stand behind its struct nfgenmsg."""
    parts = _attributes(raw)
    protocol, original = _tuple(parts[_CTA_TUPLE_ORIG])
    tcp = _attributes(parts.get(_CTA_PROTOINFO, b"")).get(_CTA_PROTOINFO_TCP, b"")
    return Entry(
        protocol=protocol,
        original=original,
        reply=_tuple(parts[_CTA_TUPLE_REPLY])[1],
        mark=_number(parts.get(_CTA_MARK)),
        zone=_number(parts.get(_CTA_ZONE)),
        status=_number(parts.get(_CTA_STATUS)),
        tcp_state=_number(_attributes(tcp).get(_CTA_PROTOINFO_TCP_STATE), -1),
        timeout_s=_number(parts.get(_CTA_TIMEOUT)),
        id=_number(parts.get(_CTA_ID)),
        counted=_counted(parts.get(_CTA_COUNTERS_ORIG)),
    )


def _counted(raw: bytes | None) -> tuple[int, int] | None:
    if raw is None:
        return None
    parts = _attributes(raw)
    return _number(parts.get(_CTA_COUNTERS_PACKETS)), _number(parts.get(_CTA_COUNTERS_BYTES))


def _tuple(raw: bytes) -> tuple[int, tuple[str, str, int, int]]:
    """Return the protocol's number, and the addresses and ports, of a CTA_TUPLE_*."""
    parts = _attributes(raw)
    addresses = _attributes(parts[_CTA_TUPLE_IP])
    source, destination = (
        (addresses[_CTA_IP_V4_SRC], addresses[_CTA_IP_V4_DST])
        if _CTA_IP_V4_SRC in addresses
        else (addresses[_CTA_IP_V6_SRC], addresses[_CTA_IP_V6_DST])
    )
    layer4 = _attributes(parts[_CTA_TUPLE_PROTO])
    return _number(layer4[_CTA_PROTO_NUM]), (
        _text(source),
        _text(destination),
        _number(layer4.get(_CTA_PROTO_SRC_PORT)),
        _number(layer4.get(_CTA_PROTO_DST_PORT)),
    )


def _text(address: bytes) -> str:
    """Return an address as text."""
    return socket.inet_ntop(_FAMILIES[len(address)], address)
