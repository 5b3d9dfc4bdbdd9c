"""Requests and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.model.address import IPAddress
from lab.model.lab import NetError

Transport = Literal["tcp", "udp"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request from the namespace `netns` to `address`:`port`: HTTP over TCP, or one UDP datagram.

    `size`: with so many bytes, for as many; `path` is then that which gives them. `hold`: its connection stays open
    until all requests made with it are over.
    """

    netns: str
    address: IPAddress
    port: int
    protocol: Transport = "tcp"
    path: str = "/"
    host: str = ""
    local_port: int = 0
    timeout_s: float = 5.0
    size: int = 0
    hold: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What the client saw: a reply, or an error.

    `error` is the client's errno as a word ("" when answered; another errno's symbol in lower case, such as `eacces`).
    `pod` (`web-1`, `kube-system/coredns-1`), `node`, `source`: who answered, and the client's address and port as the
    server saw them. `local`: the client's own address and port. `latency_s`: from before connect() to the reply's last
    byte, in seconds.
    """

    error: NetError | str = ""
    status: int = 0
    pod: str = ""
    node: str = ""
    source: tuple[IPAddress, int] | None = None
    local: tuple[IPAddress, int] | None = None
    latency_s: float = 0.0
    body: str = ""

    @property
    def answered(self) -> bool:
        """Whether a reply arrived."""
        return not self.error
