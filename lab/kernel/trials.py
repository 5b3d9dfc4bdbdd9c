"""What a lab asks of the kernel, each as a small trial to run in a scratch namespace (`lab.kernel.scratch`)."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from lab.errors import KernelError
from lab.kernel import command, conntrack, netlink, rules, sysctl

_RTM_NEWLINK, _IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_VXLAN_ID = 16, 3, 18, 1, 2, 1
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 2, 0x1000  # linux/if_tun.h
_SCTP = 132

_RULES = """\
*filter
:TRY - [0:0]
-A TRY -m conntrack --ctstate INVALID -j DROP
-A TRY -m mark --mark 0x4000/0x4000 -m comment --comment "a try" -j REJECT
COMMIT
*nat
:TRY - [0:0]
-A TRY -m addrtype --dst-type LOCAL -p tcp -m tcp --dport 80 -j MARK --or-mark 0x4000
-A TRY -m statistic --mode random --probability 0.5 -j RETURN
-A TRY -p tcp -m tcp -j DNAT --to-destination {address}
-A TRY -j MASQUERADE --random-fully
COMMIT
"""
"""A rule for every match and target of kube-proxy's ordinary rules."""

_AFFINITY = """\
*nat
:TRY - [0:0]
-A TRY -m recent --name TRY --rcheck --seconds 10 --reap -j RETURN
COMMIT
"""

_TRACE = """\
add table inet try
add chain inet try c { type filter hook prerouting priority -310; }
add rule inet try c meta nftrace set 1
"""

_DNAT = """\
add table ip try
add map ip try m { type inet_proto . inet_service : verdict; }
add chain ip try c { type nat hook prerouting priority dstnat; }
add rule ip try c meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 192.0.2.1 . 80 }
add rule ip try c meta l4proto . th dport vmap @m
add chain ip try p { type nat hook postrouting priority srcnat; }
add rule ip try p masquerade fully-random
add rule ip try p ct mark set 1
"""

_MATCHES = (
    "xt_comment",
    "xt_mark",
    "xt_conntrack",
    "xt_addrtype",
    "xt_statistic",
    "xt_nat",
    "xt_MASQUERADE",
    "xt_tcpudp",
)
_TRACKING = ("nf_conntrack", "nf_nat")


@dataclass(frozen=True, kw_only=True, slots=True)
class Feature:
    """Something that a kernel may lack: what needs it, the modules it comes in, and how to try it.

    `trial` returns what it saw or raises `LabError` or `OSError`. `program`: the tool that it runs, if any.
    """

    name: str
    needed_for: str
    trial: Callable[[], str]
    modules: tuple[str, ...]
    required: bool = False
    program: str = ""


def _link(kind: str, data: bytes = b"") -> str:
    info = netlink.string(_IFLA_INFO_KIND, kind) + data
    body = bytes(16) + netlink.string(_IFLA_IFNAME, f"try-{kind}")
    body += netlink.attribute(_IFLA_LINKINFO | netlink.NLA_F_NESTED, info)
    message = netlink.Message(kind=_RTM_NEWLINK, flags=netlink.NLM_F_CREATE | netlink.NLM_F_EXCL, body=body)
    with netlink.Channel() as channel:
        netlink.check(channel, [message], f"make a {kind}")
    return "made one"


def _vxlan() -> str:
    number = netlink.number(_IFLA_VXLAN_ID, 1)
    return _link("vxlan", netlink.attribute(_IFLA_INFO_DATA | netlink.NLA_F_NESTED, number))


def _accept(program: str, text: str) -> str:
    """Give `text` to a program that loads rules; what it says on a refusal is the observation."""
    argv = [program, "-f", "-"] if program == "nft" else [program]
    done = command.run(argv, stdin=text)
    if done.status:
        words = (done.stderr.strip() or f"exit {done.status}").splitlines()
        raise KernelError(f"{program}: {words[0]}")
    return "loaded rules of every kind a lab uses"


def _bridge_netfilter() -> str:
    return f"bridge-nf-call-iptables is {sysctl.read('net.bridge.bridge-nf-call-iptables')} in a new namespace"


def _conntrack() -> str:
    return f"listed the {len(conntrack.dump())} flows of a new namespace"


def _nfacct() -> str:
    rules.add_counters("", ["try"])
    return "made a counter"


def _nf_log() -> str:
    sysctl.write("net.netfilter.nf_log.2", "nfnetlink_log")
    return "chosen as IPv4's logger in a new namespace"


def _ipv6() -> str:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as unbound:
        unbound.bind(("::1", 0))
    return "bound a socket to ::1"


def _sctp() -> str:
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, _SCTP).close()
    return "opened a socket"


def _tun() -> str:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("=16sH22x", b"try-tap", _IFF_TAP | _IFF_NO_PI))
    finally:
        os.close(fd)
    return "made a tap"


FEATURES = (
    Feature(name="veth", required=True, needed_for="every link", modules=("veth",), trial=lambda: _link("veth")),
    Feature(
        name="bridge",
        required=True,
        needed_for="the wire between nodes; plugin: bridge",
        modules=("bridge",),
        trial=lambda: _link("bridge"),
    ),
    Feature(
        name="br_netfilter",
        required=True,
        needed_for="Services between pods of one node (plugin: bridge)",
        modules=(),  # reading a sysctl loads nothing, so this is always tried
        trial=_bridge_netfilter,
    ),
    Feature(
        name="iptables over nf_tables",
        required=True,
        needed_for="mode: iptables (iptables: nft)",
        modules=("nf_tables", "nft_compat", "nft_chain_nat", "ipt_REJECT", *_MATCHES, *_TRACKING),
        program="iptables-nft-restore",
        trial=lambda: _accept("iptables-nft-restore", _RULES.format(address="192.0.2.1:80")),
    ),
    Feature(
        name="conntrack over netlink",
        required=True,
        needed_for="lab.conntrack, lab.check",
        modules=("nf_conntrack_netlink",),
        trial=_conntrack,
    ),
    Feature(
        name="iptables, legacy",
        needed_for="iptables: legacy",
        modules=("ip_tables", "iptable_filter", "iptable_nat", "ipt_REJECT", *_MATCHES, *_TRACKING),
        program="iptables-legacy-restore",
        trial=lambda: _accept("iptables-legacy-restore", _RULES.format(address="192.0.2.1:80")),
    ),
    Feature(
        name="ip6tables over nf_tables",
        needed_for="dual-stack labs",
        modules=("ipv6", "nf_tables", "nft_compat", "nft_chain_nat", "ip6t_REJECT", *_MATCHES, *_TRACKING),
        program="ip6tables-nft-restore",
        trial=lambda: _accept("ip6tables-nft-restore", _RULES.format(address="[2001:db8::1]:80")),
    ),
    Feature(
        name="nftables",
        needed_for="mode: nftables",
        modules=("nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_ct", "nft_numgen", *_TRACKING),
        program="nft",
        trial=lambda: _accept("nft", _DNAT),
    ),
    Feature(
        name="xt_recent",
        needed_for="sessionAffinity: ClientIP in mode: iptables",
        modules=("nf_tables", "nft_compat", "nft_chain_nat", "xt_recent", "nf_nat"),
        program="iptables-nft-restore",
        trial=lambda: _accept("iptables-nft-restore", _AFFINITY),
    ),
    Feature(
        name="nfacct",
        needed_for="kube-proxy's packet counters in mode: iptables",
        modules=("nfnetlink_acct",),
        trial=_nfacct,
    ),
    Feature(
        name="packet tracing, nftables",
        needed_for="following a packet (nft, iptables: nft)",
        modules=("nf_tables",),
        program="nft",
        trial=lambda: _accept("nft", _TRACE),
    ),
    Feature(
        name="packet tracing, legacy",
        needed_for="following a packet (iptables: legacy)",
        modules=("nfnetlink_log",),
        trial=_nf_log,
    ),
    Feature(name="IPv6", needed_for="dual-stack labs", modules=("ipv6",), trial=_ipv6),
    Feature(name="VXLAN", needed_for="overlay: vxlan", modules=("vxlan",), trial=_vxlan),
    Feature(name="TUN/TAP", needed_for="labs with devices of your own", modules=("tun",), trial=_tun),
    Feature(
        name="SCTP sockets",
        needed_for="answering on SCTP ports (their rules do without)",
        modules=("sctp",),
        trial=_sctp,
    ),
)
