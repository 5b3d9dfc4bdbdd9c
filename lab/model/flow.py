"""A flow is one conntrack entry; NAT is the difference between its two tuples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.model.address import IPAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuple:
    """One direction of a flow; ports are 0 where the protocol has none (ICMP)."""

    src: IPAddress
    dst: IPAddress
    sport: int = 0
    dport: int = 0

    @property
    def inverse(self) -> Tuple:
        """The tuple that a reply carries when nothing is translated."""
        return Tuple(src=self.dst, dst=self.src, sport=self.dport, dport=self.sport)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """One conntrack entry of a node.

    `status` holds IPS_* bits by nf_conntrack_common.h's names in lower case (`seen_reply`, `assured`, `confirmed`...).
    `timeout_s`: seconds until it expires; `tcp_state` is empty unless `protocol` is tcp. `counted`: packets and bytes
    of the original direction, None where the kernel does not count them.
    """

    node: str
    protocol: str
    original: Tuple
    reply: Tuple
    mark: int = 0
    zone: int = 0
    status: frozenset[str] = frozenset()
    tcp_state: str = ""
    timeout_s: int = 0
    id: int = 0
    counted: tuple[int, int] | None = None

    @property
    def dnat(self) -> bool:
        """Whether the destination was translated: replies come from elsewhere than the request went to."""
        return (self.reply.src, self.reply.sport) != (self.original.dst, self.original.dport)

    @property
    def snat(self) -> bool:
        """Whether the source was translated: replies go elsewhere than the request came from."""
        return (self.reply.dst, self.reply.dport) != (self.original.src, self.original.sport)

    @property
    def answered(self) -> bool:
        """Whether a packet of the reply direction was seen."""
        return "seen_reply" in self.status

    @property
    def state(self) -> Literal["answered", "unanswered"]:
        """The word for a table."""
        return "answered" if self.answered else "unanswered"
