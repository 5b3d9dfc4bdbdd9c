"""A node between two namespaces: one holds all pods' addresses, the other one all the rest of the world."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from lab.kernel import command, conntrack, netns, rules, sysctl
from lab.model.address import Family
from lab.model.walk import Protocol

Fate = tuple[str, str, int, bool]
"""What is compared: accept, drop or reject; the address and port that it was sent to; whether it was masqueraded."""
DEADLINE_S = 5.0
PROTOCOLS: dict[Protocol, tuple[int, int]] = {"tcp": (socket.SOCK_STREAM, 6), "udp": (socket.SOCK_DGRAM, 17)}


@dataclass(frozen=True, slots=True)
class Try:
    """Connections to make: from the namespace `netns` (each from the next of `sources`) to an address and port."""

    netns: str
    sources: tuple[str, ...]
    destination: str
    port: int
    protocol: Protocol


SCRIPT = """\
link add eth0 netns node address 0a:00:00:00:00:01 type veth peer name eth0 netns outside address 0a:00:00:00:00:02
link add cbr0 netns node address 0a:00:00:00:00:03 type veth peer name eth0 netns pods address 0a:00:00:00:00:04
"""
LINES = {
    "node": """\
link set lo up
link set eth0 up
link set cbr0 up
address add {node}/{length} dev eth0 {nodad}
address add {gateway}/{length} dev cbr0 {nodad}
neigh add {router} dev eth0 lladdr 0a:00:00:00:00:02
neigh add {endpoint} dev cbr0 lladdr 0a:00:00:00:00:04
neigh add {stranger} dev cbr0 lladdr 0a:00:00:00:00:04
route add {pods} via {router}
route add default via {router}
""",
    "outside": """\
link set lo up
link set eth0 up
address add {router}/{length} dev eth0 {nodad}
neigh add {node} dev eth0 lladdr 0a:00:00:00:00:01
route add default via {node}
""",
    "pods": """\
link set lo up
link set eth0 up
address add {pod}/{length} dev eth0 {nodad}
neigh add {gateway} dev eth0 lladdr 0a:00:00:00:00:03
route add local {first} dev lo
route add local {others} dev lo
route add default via {gateway}
""",
}
WORDS: dict[Family, dict[str, str]] = {
    "ipv4": {
        "node": "192.168.0.10", "router": "192.168.0.1", "gateway": "10.244.1.1", "pod": "10.244.1.254",
        "endpoint": "10.244.1.2", "stranger": "10.244.1.99", "first": "10.244.1.2/31", "others": "10.244.1.64/26",
        "pods": "10.244.0.0/16", "length": "24", "nodad": "",
    },
    "ipv6": {
        "node": "fd00:c0a8::10", "router": "fd00:c0a8::1", "gateway": "fd00:10:244:1::1",
        "pod": "fd00:10:244:1::fffe", "endpoint": "fd00:10:244:1::2", "stranger": "fd00:10:244:1::63",
        "first": "fd00:10:244:1::2/127", "others": "fd00:10:244:1::40/122", "pods": "fd00:10:244::/48",
        "length": "64", "nodad": "nodad",
    },
}  # fmt: skip
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.route_localnet": "1",
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv6.icmp.ratelimit": "0",
    "net.ipv4.ip_nonlocal_bind": "1",
    "net.ipv6.ip_nonlocal_bind": "1",
}
BURSTS = ("net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst")
# A reset would end the conntrack entry that we want to read: nobody sends one.
QUIET = """\
table inet quiet {
	chain output {
		type filter hook output priority -400; policy accept;
		tcp flags & rst == rst drop
	}
}
"""


def build(family: Family, tool: rules.Tool, text: str, counters: Sequence[str]) -> None:
    """Make the three namespaces and load the rules into the node."""
    for name in LINES:
        with netns.inside(""):
            netns.create(name)
        with netns.inside(name):
            for key, value in SYSCTLS.items():
                sysctl.write(key, value)
            for key in filter(sysctl.exists, BURSTS):  # a namespace's own since Linux 6.13
                sysctl.write(key, "100000")
    command.check(("ip", "-batch", "-"), netns="", stdin=SCRIPT)
    flag = "-4" if family == "ipv4" else "-6"
    for name, lines in LINES.items():
        command.check(("ip", flag, "-batch", "-"), netns=name, stdin=lines.format(**WORDS[family]))
        command.check(("nft", "-f", "-"), netns=name, stdin=QUIET)
    with netns.inside("outside"):  # the other nodes' pods are out there, too
        lines = "".join(f"route add local {network} dev lo\n" for network in OUTSIDE[family])
        command.check(("ip", flag, "-batch", "-"), stdin=lines)
    rules.add_counters("node", counters)
    rules.restore([rules.Load(netns="node", tool=tool, family=family, text=text)])


OUTSIDE: dict[Family, tuple[str, ...]] = {
    "ipv4": ("198.51.100.0/26", "192.0.2.0/24", "8.8.8.0/24", "10.244.2.0/24"),
    "ipv6": ("2001:db8:1::/64", "fd00:10:244:2::/64"),
}
Sent = tuple[int, socket.socket, tuple[int, str, str, int, int]]


def send(tries: Sequence[Try], stack: ExitStack) -> list[Sent]:
    """Begin every connection; return each with the number of its try and what conntrack knows it by."""
    sent = []
    for name in LINES:
        with netns.inside(name):
            for number, one in enumerate(tries):
                for source in one.sources if one.netns == name else ():
                    kind, protocol = PROTOCOLS[one.protocol]
                    family = socket.AF_INET6 if ":" in source else socket.AF_INET
                    made = stack.enter_context(socket.socket(family, kind))
                    made.setblocking(False)  # noqa: FBT003 - the socket's own signature
                    made.bind((source, 0))
                    made.connect_ex((one.destination, one.port))
                    if one.protocol == "udp":
                        with suppress(PermissionError):  # what is dropped on its way out says so at once
                            made.send(b"x")
                    port = made.getsockname()[1]
                    sent.append((number, made, (protocol, source, one.destination, port, one.port)))
    return sent


def refused(sent: Sequence[Sent]) -> dict[int, int]:
    """Return the errors that have come, by the sockets' numbers."""
    poller = select.poll()
    for _, made, _ in sent:
        poller.register(made, select.POLLERR)
    numbers = {made.fileno(): made for _, made, _ in sent}
    return {fd: numbers[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for fd, _ in poller.poll(0)}


def observe(
    family: Family, tool: rules.Tool, text: str, counters: Sequence[str], tries: Sequence[Try], expected: Sequence[str]
) -> list[list[Fate]]:
    """Return what became of each connection of each try.

    `expected` says what is waited for: an error (`reject`), an entry or an error, or nothing, for it is looked at last
    (`drop`). What the node says to itself has an entry before it comes back by lo, to be refused there.
    """
    build(family, tool, text, counters)
    with ExitStack() as stack:
        sent = send(tries, stack)
        errors: dict[int, int] = {}
        deadline = time.monotonic() + DEADLINE_S
        while True:
            errors |= {fd: code for fd, code in refused(sent).items() if code}
            with netns.inside("node"):
                entries = {(one["protocol"], *one["original"]): one for one in conntrack.dump()}
            missing = (
                made.fileno() not in errors and (expected[number] == "reject" or key not in entries)
                for number, made, key in sent
                if expected[number] != "drop"
            )
            if not any(missing) or time.monotonic() > deadline:
                break
        fates: list[list[Fate]] = [[] for _ in tries]
        for number, made, key in sent:
            fates[number].append(fate_of(key, entries, errors.get(made.fileno(), 0)))
        return fates


def fate_of(key: tuple[int, str, str, int, int], entries: dict[Any, conntrack.Entry], error: int) -> Fate:
    entry = entries.get(key)
    tcp = key[0] == PROTOCOLS["tcp"][1]
    if entry is None or (tcp and error == errno.ECONNREFUSED):  # by ICMP: see `QUIET`
        return ("reject" if error == errno.ECONNREFUSED else f"errno {error}" if error else "drop"), "", 0, False
    endpoint, back, port, back_port = entry["reply"]
    return "accept", endpoint, port, (back, back_port) != (key[1], key[3])
