"""Trace events as netlink messages cut into their attributes; `lab.parse.trace` knows what these mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from lab.kernel.netlink import attributes, received

# Subsystem and message (linux/netfilter/nfnetlink.h): NFT_MSG_TRACE of nf_tables, NFULNL_MSG_PACKET of nfnetlink_log;
# the attribute of each that holds others: NFTA_TRACE_VERDICT, NFULA_CT.
_KINDS: dict[int, tuple[Literal["nft", "log"], int]] = {10 << 8 | 17: ("nft", 5), 4 << 8 | 0: ("log", 18)}
_NFGENMSG_BYTES = 4


class Raw(NamedTuple):
    """One event: the namespace, whose it is, NFPROTO_*, its attributes by type, and those within one of them."""

    netns: str
    kind: Literal["nft", "log"]
    family: int
    parts: dict[int, bytes]
    nested: dict[int, bytes]


def cut(datagrams: Iterable[tuple[str, bytes]]) -> Iterator[Raw]:
    """Yield the events of datagrams, each from a namespace; what is none, or cut short, is left out."""
    for netns, datagram in datagrams:
        for _, (_, number, _, body) in received(datagram):
            if number in _KINDS and len(body) >= _NFGENMSG_BYTES:
                kind, nest = _KINDS[number]
                parts = dict(attributes(body[_NFGENMSG_BYTES:]))
                yield Raw(netns, kind, body[0], parts, dict(attributes(parts.get(nest, b""))))
