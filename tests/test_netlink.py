"""Netlink messages are those that pyroute2 would send, and refusals are told as the kernel tells them."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.nfnetlink import nfgen_msg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from lab.errors import KernelError
from lab.kernel import links, netlink, rules
from lab.kernel.links import End
from lab.kernel.netlink import Message

NEAR = End(name="veth-web-1", index=1000, mac="06:05:73:a1:60:d4")
NAMES = st.from_regex(r"[a-z0-9-]{1,15}", fullmatch=True)
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: ":".join(f"{byte:02x}" for byte in raw))
INDEXES = st.integers(min_value=1, max_value=2**31 - 1)
ENDS = st.builds(End, name=NAMES, index=INDEXES, mac=MACS)


def packed(message: Any, attributes: list[tuple[str, Any]], **head: int) -> bytes:
    """Encode with pyroute2 and return what follows the netlink header."""
    message["attrs"] = attributes
    for key, value in head.items():
        message[key] = value
    message.encode()
    return bytes(message.data[16:])


def named(end: End, mtu: int = 0) -> list[tuple[str, Any]]:
    return [("IFLA_IFNAME", end.name), ("IFLA_ADDRESS", end.mac), *([("IFLA_MTU", mtu)] if mtu else [])]


@given(
    near=ENDS,
    far=ENDS,
    fd=st.integers(min_value=0, max_value=2**20),
    master=st.one_of(st.just(0), INDEXES),
    mtu=st.sampled_from([0, 1450]),
)
def test_a_veth_pair_is_packed_as_pyroute2_packs_it(near: End, far: End, fd: int, master: int, mtu: int) -> None:
    peer = {"index": far.index, "attrs": [*named(far, mtu), ("IFLA_NET_NS_FD", fd)]}
    info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]})]}
    attributes = [*named(near, mtu), *([("IFLA_MASTER", master)] if master else []), ("IFLA_LINKINFO", info)]
    theirs = packed(ifinfmsg(), attributes, index=near.index, flags=1, change=1)
    assert links.veth(near, far, far_netns=fd, master=master, mtu=mtu).body == theirs


@pytest.mark.parametrize("local", ["192.168.0.10", "fd00:192:168::a"])
def test_a_vxlan_device_is_packed_as_pyroute2_packs_it(local: str) -> None:
    data = {
        "attrs": [
            ("IFLA_VXLAN_ID", 1),
            ("IFLA_VXLAN_LINK", 100),
            ("IFLA_VXLAN_LOCAL6" if ":" in local else "IFLA_VXLAN_LOCAL", local),
            ("IFLA_VXLAN_LEARNING", 0),
            ("IFLA_VXLAN_PORT", 8472),
        ]
    }
    info = {"attrs": [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", data)]}
    attributes = [*named(NEAR, 1450), ("IFLA_LINKINFO", info)]
    theirs = packed(ifinfmsg(), attributes, index=NEAR.index, flags=1, change=1)
    assert links.vxlan(NEAR, vni=1, port=8472, local=ip_address(local), lower=100, mtu=1450).body == theirs


@given(address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), mac=MACS, index=INDEXES)
def test_an_fdb_entry_is_packed_as_pyroute2_packs_it(address: IPv4Address | IPv6Address, mac: str, index: int) -> None:
    theirs = packed(
        ndmsg(),
        [("NDA_DST", str(address)), ("NDA_LLADDR", mac)],
        family=socket.AF_BRIDGE,
        ifindex=index,
        state=0x80,
        flags=2,
    )
    message = links.fdb(index, mac, address)
    assert message.body == links.undo(message).body == theirs
    assert links.undo(message).kind == 29


@pytest.mark.parametrize("promiscuous", [False, True])
def test_a_bridge_is_packed_as_pyroute2_packs_it(*, promiscuous: bool) -> None:
    data = {"attrs": [("IFLA_BR_MCAST_SNOOPING", 0)]}
    info = {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", data)]}
    flags = 0x101 if promiscuous else 1
    theirs = packed(ifinfmsg(), [*named(NEAR), ("IFLA_LINKINFO", info)], index=NEAR.index, flags=flags, change=flags)
    assert links.bridge(NEAR, promiscuous=promiscuous).body == theirs


@pytest.mark.parametrize("on", [False, True])
def test_the_hairpin_flag_is_packed_as_pyroute2_packs_it(*, on: bool) -> None:
    info = {"attrs": [("IFLA_BRPORT_MODE", int(on))]}
    theirs = packed(ifinfmsg(), [("IFLA_PROTINFO", info)], family=socket.AF_BRIDGE, index=7)
    flagged = theirs[:18] + b"\x0c\x80" + theirs[20:]  # the kernel wants NLA_F_NESTED here, or ignores the mode
    assert links.hairpin(7, on=on).body == flagged


@given(address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), bits=st.integers(0, 32), index=INDEXES)
def test_an_address_is_packed_as_pyroute2_packs_it(address: IPv4Address | IPv6Address, bits: int, index: int) -> None:
    six = address.version == 6
    interface = (IPv6Interface if six else IPv4Interface)((address, bits))
    theirs = packed(
        ifaddrmsg(),
        [("IFA_LOCAL", str(address)), ("IFA_ADDRESS", str(address))],
        family=socket.AF_INET6 if six else socket.AF_INET,
        prefixlen=bits,
        flags=2 if six else 0,
        index=index,
    )
    assert links.address(index, interface).body == theirs
    flags = struct.pack("=HHI", 8, 8, 0x202 if six else 0x200)  # IFA_FLAGS
    assert links.address(index, interface, prefix_route=False).body == theirs + flags


ROUTES = [
    ("10.244.2.0/24", "192.168.0.3", 100, 1, 0),
    ("0.0.0.0/0", "10.244.1.1", 100, 1, 0),
    ("10.0.0.0/8", None, 100, 1, 253),
    ("0.0.0.0/0", None, 0, 6, 0),
    ("fd00:10:244::/64", "fd00::3", 100, 1, 0),
    ("fd00::/64", None, 100, 1, 0),
    ("::/0", None, 0, 6, 0),
]


@pytest.mark.parametrize(("destination", "via", "index", "kind", "scope"), ROUTES)
def test_a_route_is_packed_as_pyroute2_packs_it(
    destination: str, via: str | None, index: int, kind: int, scope: int
) -> None:
    network = ip_network(destination)
    attributes: list[tuple[str, Any]] = []
    if network.prefixlen:
        attributes.append(("RTA_DST", str(network.network_address)))
    if via:
        attributes.append(("RTA_GATEWAY", via))
    if index:
        attributes.append(("RTA_OIF", index))
    for onlink in (False, True):
        theirs = packed(
            rtmsg(),
            attributes,
            family=socket.AF_INET if network.version == 4 else socket.AF_INET6,
            dst_len=network.prefixlen,
            table=254,
            proto=3,
            scope=scope,
            type=kind,
            flags=4 if onlink else 0,
        )
        gateway = ip_address(via) if via else None
        assert links.route(network, via=gateway, index=index, onlink=onlink).body == theirs


@given(address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), mac=MACS, index=INDEXES)
def test_a_neighbour_is_packed_as_pyroute2_packs_it(address: IPv4Address | IPv6Address, mac: str, index: int) -> None:
    theirs = packed(
        ndmsg(),
        [("NDA_DST", str(address)), ("NDA_LLADDR", mac)],
        family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
        ifindex=index,
        state=0x80,
    )
    assert links.neighbour(index, address, mac).body == theirs


def test_an_nfacct_counter_is_a_message_of_nfnetlink() -> None:
    message = nfgen_msg()
    theirs = packed(message, [], nfgen_family=0, version=0, res_id=0)
    name = struct.pack("=HH", 4 + 16, 1) + b"hairpin_counter\0"
    assert rules._counter("hairpin_counter").body == theirs + name
    assert rules._counter("hairpin_counter").kind == 0x700


def test_batches_hold_every_message_once_and_none_is_too_large() -> None:
    messages = [Message(kind=16, flags=0, body=b"\0" * (number % 300 * 4)) for number in range(1000)]
    batches = list(netlink._batches(messages))
    assert [message for _, batch in batches for message in batch] == messages
    assert all(batch[0] is messages[start] for start, batch in batches)
    assert all(sum(16 + len(message.body) for message in batch) <= netlink.BATCH_BYTES for _, batch in batches)
    assert len(batches) > 1


def test_a_refusal_reads_as_the_kernel_says_it() -> None:
    refusal = netlink.Refusal(position=0, errno=17, words="")
    assert str(refusal) == "File exists (EEXIST)"
    assert str(netlink.Refusal(position=0, errno=101, words="Nexthop has invalid gateway")) == (
        "Network is unreachable (ENETUNREACH): Nexthop has invalid gateway"
    )


def test_the_kernel_s_own_words_are_found_behind_the_refused_message() -> None:
    words = netlink.string(1, "Device or resource busy")
    capped = struct.pack("=i", -16) + b"\0" * 16 + words
    whole = struct.pack("=iIHHII", -16, 24, 16, 0, 1, 0) + b"\0" * 8 + words
    assert netlink._verdict(0x300, capped) == (16, "Device or resource busy")
    assert netlink._verdict(0x200, whole) == (16, "Device or resource busy")
    assert netlink._verdict(0, struct.pack("=i", 0) + b"\0" * 16) == (0, "")


def test_attributes_stop_where_a_length_makes_no_sense() -> None:
    assert list(netlink.attributes(netlink.string(3, "eth0") + b"\1\0\0\0")) == [(3, b"eth0\0")]


def test_what_the_kernel_refuses_is_named_with_its_place() -> None:
    with netlink.Channel("web-1") as channel, pytest.raises(KernelError, match=r"in web-1: route: .* \(E[A-Z]+\)"):
        netlink.check(channel, [links.up(2**31 - 1)], "route")
