"""Conntrack entries, as `lab.kernel.conntrack.dump` returns them, made into flows."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypedDict

from lab.model.flow import Flow, Tuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.model.address import IPAddress

# The protocols that conntrack knows, as conntrack(8) prints them; another is its number.
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 58: "icmpv6", 132: "sctp", 136: "udplite"}

# enum ip_conntrack_status (linux/netfilter/nf_conntrack_common.h), from bit 0, without IPS_ and _BIT.
STATUS = (
    "expected", "seen_reply", "assured", "confirmed", "src_nat", "dst_nat", "seq_adjust", "src_nat_done",
    "dst_nat_done", "dying", "fixed_timeout", "template", "nat_clash", "helper", "offload", "hw_offload",
)  # fmt: skip

# enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h), from 0, as conntrack(8) prints them.
TCP_STATES = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
    "SYN_SENT2",
)  # fmt: skip


class Entry(TypedDict):
    """What `lab.kernel.conntrack.Entry` is: the two halves know each other's shape, not each other."""

    protocol: int
    original: tuple[str, str, int, int]
    reply: tuple[str, str, int, int]
    mark: int
    zone: int
    status: int
    tcp_state: int
    timeout_s: int
    id: int
    counted: tuple[int, int] | None


def flows(node: str, entries: Iterable[Entry]) -> tuple[Flow, ...]:
    """Return the flows of `node`, in the order of their original tuples: the kernel's own order is a hash table's."""
    return tuple(sorted((_flow(node, entry) for entry in entries), key=_order))


def _flow(node: str, entry: Entry) -> Flow:
    return Flow(
        node=node,
        protocol=PROTOCOLS.get(entry["protocol"], str(entry["protocol"])),
        original=_tuple(entry["original"]),
        reply=_tuple(entry["reply"]),
        mark=entry["mark"],
        zone=entry["zone"],
        status=_status(entry["status"]),
        tcp_state=_tcp_state(entry["tcp_state"]),
        timeout_s=entry["timeout_s"],
        id=entry["id"],
        counted=entry["counted"],
    )


def _order(flow: Flow) -> tuple[object, ...]:
    original = flow.original
    return (
        flow.zone, flow.protocol, original.src.version, int(original.src), original.sport, int(original.dst),
        original.dport, flow.id,
    )  # fmt: skip


_address = lru_cache(maxsize=4096)(ip_address)  # many flows, few addresses


def _tuple(raw: tuple[str, str, int, int]) -> Tuple:
    source, destination, sport, dport = raw
    src: IPAddress = _address(source)
    dst: IPAddress = _address(destination)
    return Tuple(src=src, dst=dst, sport=sport, dport=dport)


@lru_cache(maxsize=256)
def _status(bits: int) -> frozenset[str]:
    """Return the names of the bits; one that is too new to have a name here is `bit_N`."""
    return frozenset(
        STATUS[bit] if bit < len(STATUS) else f"bit_{bit}" for bit in range(bits.bit_length()) if bits >> bit & 1
    )


def _tcp_state(number: int) -> str:
    """Return the state's name, "" for another protocol's -1, the number for one too new to have a name here."""
    return "" if number < 0 else TCP_STATES[number] if number < len(TCP_STATES) else str(number)
