"""Who listens in the network namespace that we are in, by /proc/net (proc(5)): nobody is disturbed by looking."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Literal

Protocol = Literal["TCP", "UDP"]

# include/net/tcp_states.h; a UDP socket without a peer is "closed".
_STATES: dict[Protocol, str] = {"TCP": "0A", "UDP": "07"}


def sockets(protocol: Protocol) -> Iterator[tuple[IPv4Address | IPv6Address, int]]:
    """Yield address and port of each socket that listens, or of UDP, waits for anybody's datagrams."""
    for suffix in ("", "6"):
        try:
            lines = Path(f"/proc/self/net/{protocol.lower()}{suffix}").read_text(encoding="ascii").splitlines()
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines[1:]:
            _, local, _, state, *_ = line.split()
            if state == _STATES[protocol]:
                address, port = local.split(":")
                yield _address(address), int(port, 16)


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return an address from its words in hexadecimal, each in the machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return ip_address(struct.pack(f"={len(words)}I", *words))
