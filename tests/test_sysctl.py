"""Sysctls are named as sysctl(8) names them, and never lead out of /proc/sys."""

from __future__ import annotations

import pytest

from lab.errors import KernelError
from lab.kernel import sysctl


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net.ipv4.conf.veth-web-1.rp_filter", "/proc/sys/net/ipv4/conf/veth-web-1/rp_filter"),
        ("net.ipv4.conf.eth0/5.rp_filter", "/proc/sys/net/ipv4/conf/eth0.5/rp_filter"),
    ],
)
def test_a_dotted_key_is_a_file_and_a_slash_stands_for_an_interface_s_dot(key: str, path: str) -> None:
    assert sysctl.path(key) == path


@pytest.mark.parametrize("key", ["", ".", "net..ipv4", "//.etc", "net./.x", "net.ipv4.", "net.//.//.etc"])
def test_a_key_that_is_no_name_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a sysctl's name"):
        sysctl.path(key)


def test_what_is_not_there_is_named_with_its_value_and_errno() -> None:
    with pytest.raises(KernelError, match=r"sysctl net\.ipv4\.no_such=1: No such file or directory \(ENOENT\)"):
        sysctl.write("net.ipv4.no_such", "1")


def test_what_no_bridge_filter_offers_is_told_with_the_module_to_load() -> None:
    with pytest.raises(KernelError) as caught:
        sysctl.read("net.bridge.no_such")
    assert "br_netfilter" in caught.value.hint


def test_reading_gives_the_value_without_its_newline() -> None:
    assert sysctl.read("net.ipv4.ip_forward") in {"0", "1"}
