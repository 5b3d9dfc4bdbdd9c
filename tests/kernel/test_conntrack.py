"""Our reader of conntrack beside conntrack(8), on flows that the kernel made or was told to have."""

from __future__ import annotations

import errno
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lab.errors import HostError, KernelError
from lab.kernel import command
from lab.kernel import conntrack as kernel
from lab.parse import conntrack as parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.model.flow import Flow

    Inside = Callable[..., Any]

TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP

# A Service of one endpoint that is its own client's machine: DNAT, SNAT and a mark, in both families.
RULES = """\
*mangle
-A OUTPUT -p tcp --dport 80 -j CONNMARK --set-mark 0x4000
COMMIT
*nat
-A OUTPUT -d {vip} -p tcp --dport 80 -j DNAT --to-destination {to}
-A POSTROUTING -d {pod} -p tcp --dport 8080 -j SNAT --to-source {node}
COMMIT
"""


class Family(NamedTuple):
    ip: str
    restore: str
    vip: str
    pod: str
    node: str
    client: str


FOUR = Family("-4", "iptables-nft-restore", "10.96.0.10", "10.0.0.2", "10.0.0.3", "10.0.0.1")
SIX = Family("-6", "ip6tables-nft-restore", "fd00:96::a", "fd00::2", "fd00::3", "fd00::1")


def check(*argv: str, stdin: str = "") -> str:
    return command.check(argv, stdin=stdin)


def build(family: Family) -> None:
    check("ip", "link", "set", "lo", "up")
    for address in (family.pod, family.node, family.client):
        check("ip", "address", "add", address, "dev", "lo", *(["nodad"] if family is SIX else []))
    check("ip", family.ip, "route", "add", family.vip, "dev", "lo", "src", family.client)
    to = f"[{family.pod}]:8080" if family is SIX else f"{family.pod}:8080"
    rules = RULES.format(vip=family.vip, pod=family.pod, node=family.node, to=to)
    check(family.restore, stdin=rules)


def talk(family: Family) -> int:
    """Make one answered TCP flow through the Service and one unanswered UDP flow; return the TCP client's port."""
    kind = socket.AF_INET6 if family is SIX else socket.AF_INET
    with socket.socket(kind) as server, socket.socket(kind) as client, socket.socket(kind, socket.SOCK_DGRAM) as udp:
        server.bind((family.pod, 8080))
        server.listen()
        client.settimeout(2)
        client.connect((family.vip, 80))
        server.accept()[0].close()
        udp.sendto(b"?", (family.node, 9))
        return int(client.getsockname()[1])


def told_by_conntrack() -> list[dict[str, Any]]:
    """Return conntrack(8)'s words for every entry, of both families."""
    found = []
    for family in ("ipv4", "ipv6"):
        for line in check("conntrack", "-L", "-f", family, "-o", "extended,id").splitlines():
            words = line.split()
            fields = re.findall(r"(\w+)=(\S+)", line)
            way = [[value for key, value in fields if key == name] for name in ("src", "dst", "sport", "dport")]
            one = dict(fields)
            found.append(
                {
                    "protocol": words[2],
                    "timeout_s": int(words[4]),
                    "tcp_state": words[5] if words[2] == "tcp" else "",
                    "original": tuple(ends[0] for ends in way),
                    "reply": tuple(ends[-1] for ends in way),
                    "answered": "[UNREPLIED]" not in words,
                    "assured": "[ASSURED]" in words,
                    "mark": int(one["mark"]),
                    "zone": int(one.get("zone", 0)),
                    "id": int(one["id"]),
                }
            )
    return found


def told_by_us(flow: Flow) -> dict[str, Any]:
    ways = (flow.original, flow.reply)
    original, reply = ((str(way.src), str(way.dst), str(way.sport), str(way.dport)) for way in ways)
    return {
        "protocol": flow.protocol,
        "timeout_s": flow.timeout_s,
        "tcp_state": flow.tcp_state,
        "original": original,
        "reply": reply,
        "answered": flow.answered,
        "assured": "assured" in flow.status,
        "mark": flow.mark,
        "zone": flow.zone,
        "id": flow.id,
    }


def assert_same(entries: list[kernel.Entry], theirs: list[dict[str, Any]]) -> None:
    ours = {flow.id: told_by_us(flow) for flow in parse.flows("node", entries)}
    assert len(ours) == len(entries)
    assert ours.keys() == {entry["id"] for entry in theirs}
    for entry in theirs:
        own = ours[entry["id"]]
        assert 0 <= own.pop("timeout_s") - entry.pop("timeout_s") <= 2  # a second may pass between the two readings
        assert own == entry


def scene(family: Family) -> tuple[int, list[kernel.Entry], list[dict[str, Any]]]:
    build(family)
    port = talk(family)
    return port, kernel.dump(), told_by_conntrack()


@pytest.mark.parametrize("family", [FOUR, SIX], ids=["ipv4", "ipv6"])
def test_flows_are_those_that_conntrack_prints_and_show_the_nat_that_was_done(inside: Inside, family: Family) -> None:
    port, entries, theirs = inside(scene, family)
    assert_same(entries, theirs)
    (flow,) = (flow for flow in parse.flows("node", entries) if flow.protocol == "tcp")
    assert told_by_us(flow)["original"] == (family.client, family.vip, str(port), "80")
    assert told_by_us(flow)["reply"] == (family.pod, family.node, "8080", str(port))
    assert (flow.dnat, flow.snat, flow.answered, flow.mark) == (True, True, True, 0x4000)
    assert flow.status >= {"dst_nat", "src_nat", "confirmed", "assured"}
    (udp,) = (flow for flow in parse.flows("node", entries) if flow.protocol == "udp")
    assert (udp.dnat, udp.snat, udp.answered, udp.mark) == (False, False, False, 0)


def insert(*more: str) -> None:
    check("conntrack", "-I", "-s", "10.1.0.1", "-d", "10.1.0.2", "--timeout", "100", *more)


STATES = ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE")


def inserted() -> tuple[list[kernel.Entry], list[dict[str, Any]]]:
    for number, state in enumerate(STATES, 1):
        insert("-p", "tcp", "--sport", str(number), "--dport", "80", "--state", state)
    insert("-p", "udp", "--sport", "1", "--dport", "2", "--zone", "5", "--mark", "7")
    insert(
        "-p", "sctp", "--sport", "1", "--dport", "2", "--state", "ESTABLISHED", "--orig-vtag", "1", "--reply-vtag", "2"
    )
    return kernel.dump(), told_by_conntrack()


def test_every_tcp_state_zone_and_mark_is_read_as_conntrack_prints_it(inside: Inside) -> None:
    entries, theirs = inside(inserted)
    for entry in theirs:
        if entry["protocol"] == "sctp":  # its state stands where TCP's does
            entry["tcp_state"] = ""
    assert_same(entries, theirs)
    flows = parse.flows("node", entries)
    assert {flow.tcp_state for flow in flows if flow.protocol == "tcp"} == set(STATES)
    assert [(flow.zone, flow.mark) for flow in flows if flow.protocol == "udp"] == [(5, 7)]


def insert_icmp() -> list[kernel.Entry]:
    insert("-p", "icmp", "--icmp-type", "8", "--icmp-code", "0", "--icmp-id", "7")
    return kernel.dump()


def test_an_icmp_flow_has_no_ports(inside: Inside) -> None:
    (flow,) = parse.flows("node", inside(insert_icmp))
    assert (flow.protocol, flow.original.sport, flow.original.dport, flow.tcp_state) == ("icmp", 0, 0, "")
    assert (flow.dnat, flow.snat) == (False, False)


def crowd(count: int) -> tuple[int, float]:
    """Make many UDP flows; return how many are read, and in how many seconds."""
    check("ip", "link", "set", "lo", "up")
    check("iptables-nft", "-A", "INPUT", "-m", "conntrack", "--ctstate", "INVALID", "-j", "DROP")
    for port in range(20_000, 20_000 + count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))
            udp.sendto(b"?", ("127.0.0.1", 9))
    begin = time.perf_counter()
    entries = kernel.dump()
    took_s = time.perf_counter() - begin
    return len(entries), took_s


def test_thousands_of_flows_are_read_in_under_a_second(inside: Inside) -> None:
    entries, took_s = inside(crowd, 4000)
    assert took_s < 1.0
    assert entries >= 4000  # ICMP's port-unreachable belongs to the flow that it answers


def test_a_namespace_without_conntrack_has_no_flows(inside: Inside) -> None:
    assert inside(kernel.dump) == []


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (errno.EPERM, KernelError, "CAP_NET_ADMIN"),
        (errno.EPROTONOSUPPORT, HostError, "modprobe nf_conntrack_netlink"),
        (errno.ENOBUFS, KernelError, "ENOBUFS"),
    ],
)
def test_a_refusal_says_what_to_do(code: int, kind: type[Exception], said: str) -> None:
    refusal = kernel.refusal(OSError(code, os.strerror(code)))
    assert type(refusal) is kind
    assert said in str(refusal)
