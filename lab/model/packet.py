"""A packet as its headers tell it."""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.address import IPAddress


@dataclass(frozen=True, kw_only=True, slots=True)
class Packet:
    """Who sends what to whom. A frame that is neither IP nor ARP has no addresses, and what has no ports has port 0.

    `protocol` is `tcp`, `udp`, `icmp`, `icmp6`, `arp`, `vxlan`, ... `info` is what else there is to say in a few words:
    TCP's flags as `[S.]`, the sort of an ICMP message, how much is carried. `inner` is the packet that a tunnel
    carries, or that an ICMP error is about.
    `ttl`: IP's time to live, or hop limit. `identity`: what tells the packet from its sender's others of the protocol,
    and what NAT leaves alone, so that it is known again behind it; it is the same when TCP sends a segment again, and
    where IPv6 and UDP have nothing to tell two alike. Nothing but IP has these two.
    """

    protocol: str
    source: IPAddress | None = None
    destination: IPAddress | None = None
    source_port: int = 0
    destination_port: int = 0
    info: str = ""
    inner: Packet | None = None
    ttl: int = 0
    identity: bytes = b""
