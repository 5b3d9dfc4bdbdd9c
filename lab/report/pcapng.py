"""Packets as a pcapng file, which Wireshark and tcpdump open: blocks of bytes, one function for each kind.

Source: draft-ietf-opsawg-pcapng, "PCAP Now Generic (pcapng) Capture File Format"; tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.address import IPAddress

ETHERNET, RAW = 1, 101
"""Link types: frames with an Ethernet header, and IP packets without any."""

Direction = Literal["in", "out"]

_SECTION, _INTERFACE, _NAMES, _STATISTICS, _PACKET = 0x0A0D_0D0A, 1, 4, 5, 6
_BYTE_ORDER = 0x1A2B_3C4D
_END, _COMMENT = 0, 1  # options that every block may have
_SHB_USERAPPL = 4
_IF_NAME, _IF_TSRESOL, _IF_FILTER = 2, 9, 11
_EPB_FLAGS = 2
_ISB_IFDROP, _ISB_USRDELIV = 5, 8
_NANOSECONDS = 9  # the timestamps' unit: 10 to the power of minus this
_IPV4_NAMES, _IPV6_NAMES = 1, 2
_DIRECTIONS: Mapping[Direction, int] = {"in": 1, "out": 2}
# packet(7)'s sll_pkttype: to us, to all, to many, to somebody else, from us -> bits 2 to 4 of epb_flags.
_RECEPTION = (1, 3, 2, 4, 0)
_MOST_OF_A_TEXT = 65_000  # bytes: an option's length has two


def section(application: str, comment: str) -> bytes:
    """Return the Section Header Block, with which a file begins."""
    options = _text(_SHB_USERAPPL, application) + _text(_COMMENT, comment)
    return _block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _ended(options))


def names(known: Mapping[IPAddress, str]) -> bytes:
    """Return a Name Resolution Block: what Wireshark shows instead of addresses."""
    records = b"".join(
        _option(_IPV4_NAMES if address.version == 4 else _IPV6_NAMES, address.packed + name.encode() + b"\0")  # noqa: PLR2004 - IPv4
        for address, name in known.items()
    )
    return _block(_NAMES, records + struct.pack("<HH", 0, 0))


def interface(name: str, *, link_type: int, snaplen: int, wanted: str = "") -> bytes:
    """Return an Interface Description Block; `wanted` is the filter. A file's interfaces are numbered from 0 on."""
    options = (
        _text(_IF_NAME, name)
        + _option(_IF_TSRESOL, bytes([_NANOSECONDS]))
        + (_option(_IF_FILTER, b"\0" + wanted.encode()[:_MOST_OF_A_TEXT]) if wanted else b"")
    )
    return _block(_INTERFACE, struct.pack("<HHI", link_type, 0, snaplen) + _ended(options))


def packet(
    number: int, time_ns: int, data: bytes, *, length: int, direction: Direction, kind: int, comment: str = ""
) -> bytes:
    """Return an Enhanced Packet Block: `data` of a packet of `length` bytes at the interface `number`.

    `kind` is packet(7)'s sll_pkttype: whom the frame was addressed to.
    """
    reception = _RECEPTION[kind] if 0 <= kind < len(_RECEPTION) else 0
    options = _option(_EPB_FLAGS, struct.pack("<I", _DIRECTIONS[direction] | reception << 2)) + _text(_COMMENT, comment)
    head = struct.pack("<IIIII", number, time_ns >> 32, time_ns & 0xFFFF_FFFF, len(data), length)
    return _block(_PACKET, head + _padded(data) + _ended(options))


def statistics(number: int, time_ns: int, *, packets: int, dropped: int | None = None, comment: str = "") -> bytes:
    """Return an Interface Statistics Block: how many packets of an interface there are, and how many were lost.

    `dropped` None: nobody knows.
    """
    options = (
        _text(_COMMENT, comment)
        + (b"" if dropped is None else _option(_ISB_IFDROP, struct.pack("<Q", dropped)))
        + _option(_ISB_USRDELIV, struct.pack("<Q", packets))
    )
    return _block(_STATISTICS, struct.pack("<III", number, time_ns >> 32, time_ns & 0xFFFF_FFFF) + _ended(options))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return b"".join((struct.pack("<I", kind), length, body, length))


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _text(code: int, text: str) -> bytes:
    return _option(code, text.encode()[:_MOST_OF_A_TEXT]) if text else b""


def _ended(options: bytes) -> bytes:
    return options + struct.pack("<HH", _END, 0)


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 4)
