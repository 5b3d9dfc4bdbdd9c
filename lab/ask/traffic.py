"""The client side: requests from any namespace of a capsule, by our own sockets (`lab.curl` has real curl processes).

For processes inside the capsule that have one thread: a request's socket is opened by a visit to its namespace
(a socket stays where it was opened), and all of them are then waited for together.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import h11

from lab import words
from lab.kernel import limits, netns
from lab.model.request import Reply, Request
from lab.parse.reply import NO_SENSE, error_word, with_facts
from lab.shares import REQUESTS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.model.address import IPAddress

BODY_KEPT = 65_536  # bytes of a reply's body that are kept; the rest is read and dropped
PORTS_KEPT = REQUESTS_MAX  # of UDP; as many requests as are ever made for shares, and few of the 28,000 ports
YOUNG, YOUNG_S = 64, 0.1
"""At most so many requests are under way that began less than so many seconds ago, however many others are being waited
for: all that could be answered would else wait for each other, and on a busy machine for longer than their deadline."""
LINGER_S = 0.2  # for the server to close first, so that TIME_WAIT is kept there and our port is free again
# Without it a UDP socket hears of refusals only, not of ICMP's other errors (linux/in.h, linux/in6.h; ip(7)).
RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def opened(asked: Request) -> socket.socket:
    """Return a socket to make a request with, of the namespace that the caller is in."""
    kind = socket.SOCK_STREAM if asked.protocol == "tcp" else socket.SOCK_DGRAM
    return socket.socket(FAMILIES[asked.address.version], kind | socket.SOCK_NONBLOCK)


def requests(
    wanted: Sequence[Request], *, concurrency: int = 64, sockets: Mapping[int, socket.socket] | None = None
) -> list[Reply]:
    """Make the requests, at most `concurrency` at a time, and return their replies in the same order.

    `sockets`: with which to make some of them, by their numbers (`lab.ask.ports`); they are closed as the others are.
    Each has its own deadline, `timeout_s` from its start. Whatever the network does is told by the reply;
    `KernelError` only if there is no such namespace. TCP: an HTTP GET; UDP: one datagram that holds `path`.
    """
    if not wanted:
        return []
    limits.raise_open_files()
    with select.epoll() as poll, netns.inside(wanted[0].netns):
        return _Batch(poll, wanted, concurrency, sockets or {}).run()


class _Batch:
    """Requests in flight and those that wait for their turn."""

    def __init__(
        self, poll: select.epoll, wanted: Sequence[Request], concurrency: int, sockets: Mapping[int, socket.socket]
    ) -> None:
        self._poll = poll
        self._wanted = wanted
        self._sockets = sockets
        self._concurrency = max(1, concurrency)
        self._here = wanted[0].netns
        self._next = 0
        self._flying: dict[int, tuple[int, _Exchange]] = {}
        self._young: dict[int, _Exchange] = {}
        self._ended: deque[_Exchange] = deque()
        self._held: list[_Exchange] = []

    def run(self) -> list[Reply]:
        """Make all requests and give the replies in their order."""
        replies: dict[int, Reply] = {}
        try:
            while len(replies) < len(self._wanted):
                replies.update(self._start())
                if self._flying:
                    replies.update(self._turn())
        finally:
            for _number, exchange in self._flying.values():
                exchange.close()
            for exchange in (*self._ended, *self._held):
                exchange.close()
        return [replies[number] for number in range(len(replies))]

    def _start(self) -> Iterator[tuple[int, Reply]]:
        """Start what may start now, and give the replies of what ended at once."""
        while self._next < len(self._wanted) and len(self._flying) < self._concurrency and self._has_room():
            number, asked = self._next, self._wanted[self._next]
            self._next += 1
            if asked.netns != self._here:
                netns.enter(asked.netns)
                self._here = asked.netns
            exchange = _Exchange(asked, self._sockets.get(number) or opened(asked))
            reply = exchange.start()
            if reply is None:
                self._flying[exchange.fd] = number, exchange
                self._young[exchange.fd] = exchange
                self._poll.register(exchange.fd, select.EPOLLIN | select.EPOLLOUT)
            else:
                self._end(exchange)
                yield number, reply

    def _has_room(self) -> bool:
        """Return whether one more may begin, for all that those need which have just begun."""
        begun = time.perf_counter() - YOUNG_S
        for fd in [fd for fd, exchange in self._young.items() if exchange.started < begun]:
            del self._young[fd]
        return len(self._young) < YOUNG

    def _turn(self) -> Iterator[tuple[int, Reply]]:
        """Wait for an event or the next deadline, and give the replies of what ended."""
        until = min(exchange.deadline for _number, exchange in self._flying.values())
        if self._next < len(self._wanted) and len(self._young) >= YOUNG:
            until = min(until, next(iter(self._young.values())).started + YOUNG_S)
        for fd, _events in self._poll.poll(max(0.0, until - time.perf_counter())):
            number, exchange = self._flying[fd]
            writing = exchange.writing
            reply = exchange.advance()
            if reply is not None:
                self._close(fd)
                yield number, reply
            elif writing and not exchange.writing:
                self._poll.modify(fd, select.EPOLLIN)
        now = time.perf_counter()
        for fd in [fd for fd, (_number, exchange) in self._flying.items() if exchange.deadline <= now]:
            number, exchange = self._flying[fd]
            self._close(fd)
            yield number, exchange.expired()

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._young.pop(fd, None)
        self._end(self._flying.pop(fd)[1])

    def _end(self, exchange: _Exchange) -> None:
        """Close a socket; one of UDP only later, so that no other gets its port meanwhile: that would be one flow."""
        if exchange.held:
            self._held.append(exchange)
        elif not exchange.keeps_port:
            exchange.close()
        else:
            self._ended.append(exchange)
            if len(self._ended) > PORTS_KEPT:
                self._ended.popleft().close()


class _Exchange:
    """One request from its socket to its reply; each method gives the `Reply` once it is known."""

    def __init__(self, asked: Request, own: socket.socket) -> None:
        self._asked = asked
        self._socket = own
        self._local: tuple[IPAddress, int] | None = None
        self._body = bytearray()
        self._done: Reply | None = None  # the reply is complete, the server has not closed yet
        self._status = 0
        self._h11 = h11.Connection(h11.CLIENT)
        self._unsent = b""
        self.fd = self._socket.fileno()
        self.started = 0.0
        self.deadline = 0.0

    @property
    def keeps_port(self) -> bool:
        """Whether the port is the kernel's choice, and in nobody's way if it stays ours for a while."""
        return self._asked.protocol == "udp" and not self._asked.local_port

    @property
    def held(self) -> bool:
        """Whether the connection is to stay open."""
        return self._asked.hold

    @property
    def writing(self) -> bool:
        """Whether the request, or a part of it, is still to be sent."""
        return bool(self._unsent)

    def start(self) -> Reply | None:
        """Connect; must be called in the request's namespace."""
        asked, version = self._asked, self._asked.address.version
        self.started = time.perf_counter()
        self.deadline = self.started + asked.timeout_s
        try:
            self._unsent = self._payload()
            if asked.protocol == "udp":
                self._socket.setsockopt(*RECVERR[version], 1)
            if asked.local_port:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._socket.bind(("", asked.local_port))
            refused = self._socket.connect_ex((str(asked.address), asked.port))
            self._local = self._own_end()
            if refused == errno.EINPROGRESS:
                refused = self._refused_meanwhile()
            return self._ended(error_word(refused)) if refused else None
        except h11.LocalProtocolError as error:  # a path or host that HTTP cannot carry
            return replace(self._ended(error_word(errno.EINVAL)), body=str(error))
        except OSError as error:
            return self._ended(error_word(error.errno or errno.EIO))

    def advance(self) -> Reply | None:
        """Send and receive what can be without waiting."""
        try:
            if self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            while True:
                data = self._socket.recv(65_536)
                reply = self._answered(data) if self._asked.protocol == "udp" else self._take(data)
                if reply is not None:
                    return reply
        except BlockingIOError:
            return None
        except h11.RemoteProtocolError as error:
            return self._done or replace(self._ended(NO_SENSE), body=str(error))
        except OSError as error:
            return self._done or self._ended(error_word(error.errno or errno.EIO))

    def expired(self) -> Reply:
        """Return the reply of a request whose time is over."""
        return self._done or self._ended("timeout")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _payload(self) -> bytes:
        asked = self._asked
        path = f"/body/{asked.size}" if asked.size else asked.path
        if asked.protocol == "udp":
            return path.encode().ljust(asked.size)
        host = asked.host or words.socket(asked.address, asked.port)
        headers = [("Host", host), ("User-Agent", "hairpin"), ("Accept", "*/*")]
        headers.append(("Connection", "keep-alive" if asked.hold else "close"))
        if not asked.size:
            pieces: list[h11.Event] = [h11.Request(method="GET", target=path, headers=headers), h11.EndOfMessage()]
        else:
            headers.append(("Content-Length", str(asked.size)))
            body = h11.Data(data=bytes(asked.size))
            pieces = [h11.Request(method="POST", target=path, headers=headers), body, h11.EndOfMessage()]
        return b"".join(self._h11.send(piece) or b"" for piece in pieces)

    def _refused_meanwhile(self) -> int:
        """Return the errno of an ICMP error that came while connect(2) had the socket, else 0.

        The kernel keeps such a one aside (a soft error: tcp_v4_err in net/ipv4/tcp_ipv4.c), and would send the SYN
        again; who asks for it is told, as curl is.
        """
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _own_end(self) -> tuple[IPAddress, int] | None:
        """Return our address and port; None while the kernel has not chosen them, for want of a route."""
        name, port, *_ = self._socket.getsockname()
        address: IPv4Address | IPv6Address = ip_address(name)
        return None if address.is_unspecified else (address, port)

    def _take(self, data: bytes) -> Reply | None:
        """Take in a piece of an HTTP reply; b"" when the server has closed."""
        if self._done is not None:
            return None if data else self._done
        self._h11.receive_data(data)
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Response):
                self._status = event.status_code
            elif isinstance(event, h11.Data):
                self._body += event.data[: BODY_KEPT - len(self._body)]
            elif isinstance(event, h11.EndOfMessage):
                self._done = self._answered(bytes(self._body))
                self.deadline = min(self.deadline, time.perf_counter() + LINGER_S)
                return None if data and not self._asked.hold else self._done
            elif event is h11.NEED_DATA:
                return None

    def _answered(self, body: bytes) -> Reply:
        reply = replace(self._ended(""), status=self._status, body=body[:BODY_KEPT].decode(errors="replace"))
        return with_facts(reply)

    def _ended(self, error: str) -> Reply:
        return Reply(error=error, local=self._local, latency_s=time.perf_counter() - self.started)
