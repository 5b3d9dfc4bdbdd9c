"""A reader of pcapng files, written for the tests from the format's specification and not from our writer."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Captured:
    """What a file holds: of each interface and packet the options by their code."""

    section: dict[int, bytes] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)
    interfaces: list[tuple[int, int, dict[int, bytes]]] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    statistics: dict[int, dict[int, bytes]] = field(default_factory=dict)


@dataclass
class Packet:
    interface: str
    time_ns: int
    data: bytes
    length: int
    direction: str
    comment: str


def options(raw: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        code, size = struct.unpack_from("<HH", raw, at)
        if code == 0:
            assert (size, at + 4) == (0, len(raw)), "options end with the block"
            return found
        found[code] = raw[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
    return found


def read(raw: bytes | Path) -> Captured:
    """Return what is in a file; whatever is not as the specification has it fails."""
    rest = raw.read_bytes() if isinstance(raw, Path) else raw
    result = Captured()
    first = True
    while rest:
        kind, size = struct.unpack_from("<II", rest)
        assert size % 4 == 0
        assert len(rest) >= size, "the last block is cut"
        assert struct.unpack_from("<I", rest, size - 4) == (size,), "a block says its length at both ends"
        _take(result, kind, rest[8 : size - 4], first=first)
        rest, first = rest[size:], False
    return result


def _take(result: Captured, kind: int, body: bytes, *, first: bool) -> None:
    assert first == (kind == 0x0A0D0D0A), "a section's header, and only that, is at the begin"
    if kind == 0x0A0D0D0A:
        assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        result.section = options(body[16:])
    elif kind == 1:
        link_type, reserved, snaplen = struct.unpack_from("<HHI", body)
        assert reserved == 0
        result.interfaces.append((link_type, snaplen, options(body[8:])))
    elif kind == 4:
        _names(result, body)
    elif kind == 5:
        result.statistics[struct.unpack_from("<I", body)[0]] = options(body[12:])
    elif kind == 6:
        number, high, low, kept, length = struct.unpack_from("<IIIII", body)
        told = options(body[20 + kept + -kept % 4 :])
        _, _, interface = result.interfaces[number]
        assert interface[9] == bytes([9]), "nanoseconds"
        (flags,) = struct.unpack("<I", told[2])
        result.packets.append(
            Packet(
                interface=interface[2].decode(),
                time_ns=high << 32 | low,
                data=body[20 : 20 + kept],
                length=length,
                direction={1: "in", 2: "out"}[flags & 3],
                comment=told.get(1, b"").decode(),
            )
        )
    else:
        raise AssertionError(f"an unknown block: {kind:#x}")


def _names(result: Captured, body: bytes) -> None:
    at = 0
    while (record := struct.unpack_from("<HH", body, at)) != (0, 0):
        kind, size = record
        value = body[at + 4 : at + 4 + size]
        address, name = (value[:4], value[4:]) if kind == 1 else (value[:16], value[16:])
        assert name.endswith(b"\0")
        result.names[address] = name[:-1].decode()
        at += 4 + size + -size % 4
