"""What the headers of a packet say, and the line that is made of it."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.parse.frame import frame
from lab.report import packets

A, B = "10.244.1.3", "10.96.0.10"
A6, B6 = "fd00::3", "fd00::a"
NAMES = {ip_address(A): "client-a", ip_address(B): "svc/web", ip_address(A6): "client-a", ip_address(B6): "svc/web"}


def ethernet(kind: int, payload: bytes) -> bytes:
    return bytes(12) + struct.pack("!H", kind) + payload


def ipv4(number: int, payload: bytes, *, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, number, 0)
    return head + ip_address(A).packed + ip_address(B).packed + payload


def ipv6(number: int, payload: bytes) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(payload), number, 64)
    return head + ip_address(A6).packed + ip_address(B6).packed + payload


def tcp(flags: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHIIBBHHH", 40000, 80, 1, 2, 5 << 4, flags, 0, 0, 0) + payload


def udp(payload: bytes, port: int = 53) -> bytes:
    return struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload


ARP = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + ip_address(A).packed + bytes(6) + ip_address(B).packed
WAY = f"client-a {A}:40000 -> svc/web {B}:80"
ICMP_PORT = bytes([3, 3, 0, 0]) + bytes(4) + ipv4(6, tcp(2))
VXLAN = bytes([8, 0, 0, 0, 0, 0, 1, 0]) + ethernet(0x0800, ipv4(6, tcp(2)))
SOLICITS = bytes([135, 0, 0, 0]) + bytes(4) + ip_address("fd00::1").packed


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (ethernet(0x0800, ipv4(6, tcp(0x02))), f"{WAY} tcp [S]"),
        (ethernet(0x0800, ipv4(6, tcp(0x12))), f"{WAY} tcp [S.]"),
        (ethernet(0x0800, ipv4(6, tcp(0x18, b"12345"))), f"{WAY} tcp [P.] 5 bytes"),
        (ethernet(0x0800, ipv4(6, tcp(0x14))), f"{WAY} tcp [R.]"),
        (ethernet(0x0800, ipv4(6, tcp(0x02)) + bytes(6)), f"{WAY} tcp [S]"),  # filled up to Ethernet's least
        (ethernet(0x8100, b"\0\x05\x08\0" + ipv4(6, tcp(0x02))), f"{WAY} tcp [S]"),
        (ethernet(0x0800, ipv4(17, udp(b"abc"))), f"client-a {A}:40000 -> svc/web {B}:53 udp 3 bytes"),
        (ethernet(0x0800, ipv4(17, b"", fragment=185)), f"client-a {A} -> svc/web {B} ip fragment at 1480"),
        (ethernet(0x0800, ipv4(1, ICMP_PORT)), f"client-a {A} -> svc/web {B} icmp port unreachable ({WAY} tcp [S])"),
        (ethernet(0x0800, ipv4(1, bytes([8, 0]))), f"client-a {A} -> svc/web {B} icmp echo request"),
        (
            ethernet(0x0800, ipv4(17, udp(VXLAN, 8472))),
            f"client-a {A}:40000 -> svc/web {B}:8472 vxlan vni 1 ({WAY} tcp [S])",
        ),
        (ethernet(0x0800, ipv4(132, b"abcd")), f"client-a {A} -> svc/web {B} sctp 4 bytes"),
        (ethernet(0x0806, ARP), f"client-a {A} -> svc/web {B} arp request"),
        (ethernet(0x86DD, ipv6(6, tcp(0x02))), f"client-a [{A6}]:40000 -> svc/web [{B6}]:80 tcp [S]"),
        (
            ethernet(0x86DD, ipv6(0, bytes([6, 0, 0, 0, 0, 0, 0, 0]) + tcp(0x02))),
            f"client-a [{A6}]:40000 -> svc/web [{B6}]:80 tcp [S]",
        ),
        (
            ethernet(0x86DD, ipv6(58, SOLICITS)),
            f"client-a {A6} -> svc/web {B6} icmp6 neighbour solicitation of fd00::1",
        ),
        (ethernet(0x88CC, b"abc"), "ethertype 0x88cc 3 bytes"),
        (ethernet(0x0800, b"\x45"), "frame 15 bytes, cut short"),
        (ethernet(0x0800, ipv4(132, b"a")), f"client-a {A} -> svc/web {B} sctp 1 byte"),
        (ethernet(0x0800, ipv4(17, udp(b"a"))), f"client-a {A}:40000 -> svc/web {B}:53 udp 1 byte"),
        (ethernet(0x88CC, b"a"), "ethertype 0x88cc 1 byte"),
        (b"a", "frame 1 byte, cut short"),
        (b"", "frame 0 bytes, cut short"),
    ],
)
def test_a_packet_is_told_in_a_few_words(data: bytes, text: str) -> None:
    assert packets.text(frame(data), NAMES) == text


def test_without_an_ethernet_header_the_kernel_says_what_it_is() -> None:
    assert packets.text(frame(ipv4(6, tcp(2)), ethernet=False, protocol=0x0800), NAMES) == f"{WAY} tcp [S]"


@given(st.binary(max_size=200), st.sampled_from([b"", ethernet(0x0800, ipv4(1, ICMP_PORT)), ethernet(0x86DD, b"")]))
def test_no_bytes_are_too_strange(raw: bytes, begin: bytes) -> None:
    assert packets.text(frame(begin + raw), {})
    assert packets.text(frame(raw), {})


def test_a_line_has_time_place_direction_and_mark() -> None:
    line = packets.line(
        frame(ethernet(0x0800, ipv4(6, tcp(2)))),
        NAMES,
        time_ns=1_795_000_000_123_456_789,
        interface="node-1/cbr0",
        direction="in",
        mark=0x4000,
        width=13,
    )
    assert line == f"11:06:40.123456 node-1/cbr0   in  {WAY} tcp [S] mark 0x4000"
