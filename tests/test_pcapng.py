"""The blocks of a pcapng file, read by a reader that knows the specification and not the writer."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from lab.report import pcapng

from .captured import read

NOW = 1_795_000_000_123_456_789


def test_a_section_says_who_wrote_it_and_of_which_lab() -> None:
    assert read(pcapng.section("Hairpin 1", "lab a")).section == {4: b"Hairpin 1", 1: b"lab a"}


def test_names_of_both_families_are_kept() -> None:
    known = {ip_address("10.96.0.10"): "svc/web", ip_address("fd00::a"): "node-1/cbr0"}
    found = read(pcapng.section("a", "") + pcapng.names(known)).names
    assert found == {address.packed: name for address, name in known.items()}


def test_an_interface_has_its_name_nanoseconds_and_the_filter() -> None:
    block = pcapng.interface("web-1/eth0", link_type=pcapng.ETHERNET, snaplen=9, wanted="tcp port 80")
    ((link_type, snaplen, told),) = read(pcapng.section("a", "") + block).interfaces
    assert (link_type, snaplen) == (1, 9)
    assert told == {2: b"web-1/eth0", 9: b"\x09", 11: b"\0tcp port 80"}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 1500])
def test_a_packet_keeps_time_bytes_direction_and_comment_whatever_its_size(size: int) -> None:
    data = bytes(range(256)) * 6
    head = pcapng.section("a", "")
    for name in ("web-1/lo", "web-1/eth0"):
        head += pcapng.interface(name, link_type=pcapng.ETHERNET, snaplen=2000)
    block = pcapng.packet(1, NOW, data[:size], length=1600, direction="out", kind=4, comment="mark 0x4000")
    (packet,) = read(head + block).packets
    assert (packet.interface, packet.time_ns, packet.data, packet.length) == ("web-1/eth0", NOW, data[:size], 1600)
    assert (packet.direction, packet.comment) == ("out", "mark 0x4000")


@pytest.mark.parametrize(("kind", "reception"), [(0, 1), (1, 3), (2, 2), (3, 4), (4, 0), (6, 0)])
def test_the_flags_tell_whom_a_frame_was_for(kind: int, reception: int) -> None:
    block = pcapng.packet(0, NOW, b"", length=0, direction="in", kind=kind)
    (flags,) = struct.unpack_from("<I", block, 32)
    assert flags == 1 | reception << 2


def test_statistics_tell_what_was_lost_only_where_it_is_known() -> None:
    head = pcapng.section("a", "")
    known = read(head + pcapng.statistics(3, NOW, packets=5, dropped=2, comment="2 lost")).statistics[3]
    assert known == {1: b"2 lost", 5: struct.pack("<Q", 2), 8: struct.pack("<Q", 5)}
    assert 5 not in read(head + pcapng.statistics(3, NOW, packets=5)).statistics[3]
