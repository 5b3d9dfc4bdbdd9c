"""Addresses, ranges and durations are read as forgivingly as kube-proxy reads them, and no more."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from lab.errors import TopologyError
from lab.parse.sloppy import address, cidr, parse_address, parse_duration, parse_network, source_range


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("010.096.000.010", "10.96.0.10"),
        ("10.96.0.10", "10.96.0.10"),
        ("100.0.20.0", "100.0.20.0"),
        ("fd00::01", "fd00::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
    ],
)
def test_leading_zeros_mean_nothing(text: str, meant: str) -> None:
    assert parse_address(text) == ip_address(meant)


def test_a_range_may_have_spaces_around_it_and_bits_below_its_prefix() -> None:
    assert parse_network(" 010.1.2.3/8\n") == ip_network("10.0.0.0/8")
    assert parse_network("fd00::1/64") == ip_network("fd00::/64")
    assert parse_network("::ffff:10.1.2.3/104") == ip_network("10.0.0.0/8")
    assert parse_network("::/0") == ip_network("::/0")


@pytest.mark.parametrize("text", ["", "web", "10.0.0.1/8", "10.0.0.256", "10.0.0.1\n-j ACCEPT", "fe80::1%eth0"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(TopologyError, match="address"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1", "10.0.0.0/255.0.0.0", "10.0.0.0/33", "fe80::%eth0/64", "10.0.0.0/8 x"]
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(TopologyError, match="range"):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h0m0s", 86_400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("0s", 0),
        ("0", 0),
        ("500ms", 0.5),
        (".5s", 0.5),
        ("+1m", 60),
    ],
)
def test_a_duration_is_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "1d", "-1s", "1h ", ".s", "1h30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(TopologyError, match="duration"):
        parse_duration(text)


def test_a_source_range_alone_may_have_spaces_around_it_and_an_address_is_no_range() -> None:
    assert source_range(" 10.0.0.1/8 ") is None
    assert "spaces" in str(cidr(" 10.0.0.1/8 "))
    assert str(cidr("10.0.0.1")).endswith("or 10.0.0.1/32 for this address alone")
    assert str(source_range(" fd00::1")).endswith("or fd00::1/128 for this address alone")
    assert "alone" not in str(cidr("10.0.0"))
    assert address("010.0.0.1") is None
