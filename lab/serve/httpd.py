"""One HTTP/1.1 connection to a pod: h11 knows the protocol, asyncio moves the bytes, `answer` knows what to say.

Nothing here grows with what a peer sends or asks: bodies are dropped as they come and made as they go, a peer
that does not read is not read from, and one that is too slow is dropped.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import h11

from lab.serve.answer import PATTERN, Content, Seen, content, endpoint_text

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = (b"GET", b"HEAD", b"POST", b"PUT")
TURN = 16  # pieces of a body sent before other connections have their turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on a peer's patience with us.

    `header_bytes`: of a request's line and headers. `request_s`: from a request's first byte to its last header.
    `idle_s`: before the first request, and without progress inside one. `between_s`: between requests; as long as
    kube-proxy has conntrack remember a connection (tcpEstablishedTimeout), so that it is not we who end one that is
    kept. `linger_s`: to take in what a refused peer still sends, for a close with unread bytes would reset the
    connection and lose our reply (RFC 9112, 9.6).
    """

    header_bytes: int = 16_384
    request_s: float = 10.0
    idle_s: float = 60.0
    between_s: float = 86_400.0
    linger_s: float = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Whose connection it is, where a request is reported, and the set of the owner's open connections.

    `report` takes the protocol, the client, the server, the path and the status. `answer` knows what to say.
    """

    pod: str
    node: str
    report: Callable[[str, str, str, str, object], None]
    connections: set[Connection]
    answer: Callable[[Seen], Content] = content


class Connection(asyncio.Protocol):
    """The server's side of one connection; `deadline` (of the loop's clock) is when `expire` should be called."""

    def __init__(self, owner: Owner, limits: Limits) -> None:
        """Wait for asyncio to hand over the transport."""
        self._owner = owner
        self._limits = limits
        self._clock = asyncio.get_running_loop().time
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._begun = False  # a request's first bytes are here, its headers are not complete
        self._request: h11.Request | None = None
        self._received = 0
        self._status = 0
        self._left = 0  # bytes of a sized body still to be made
        self._writable = True
        self._refused = False
        self._patience(limits.idle_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport and join the owner's connections."""
        self._transport = cast("asyncio.Transport", transport)
        self._owner.connections.add(self)
        ends = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if None in ends:  # reset already
            self._transport.abort()
            return
        self._client, self._server = map(endpoint_text, ends)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature; a reset is no news
        """Leave; whoever reset the connection knows why."""
        self._left = 0
        self._writable = False
        self._owner.connections.discard(self)

    def expire(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._refused:
            return
        if self._request is not None:
            self._patience(self._limits.idle_s)
        elif not self._begun:
            self._begun = True
            self._patience(self._limits.request_s)
        self._h11.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """Keep our own half open until what was asked is answered."""
        if self._refused:
            return False
        self._h11.receive_data(b"")
        self._advance()
        return not self._refused

    def pause_writing(self) -> None:
        """Stop making bytes, and stop taking requests for more."""
        self._writable = False
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on where `pause_writing` stopped."""
        self._writable = True
        self._patience(self._limits.linger_s if self._refused else self._rest_s())
        # Not here and now: asyncio is in the middle of its writing, and a close() would be carried out twice.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._left:
            self._pump()
        elif self._writable:
            self._transport.resume_reading()
            self._advance()

    def _patience(self, seconds: float) -> None:
        self.deadline = self._clock() + seconds

    def _rest_s(self) -> float:
        """Return how long the peer may do nothing: for long only where it has read all that it asked for."""
        between = self._request is None and not self._begun and self._writable
        return self._limits.between_s if between else self._limits.idle_s

    def _advance(self) -> None:
        try:
            while self._writable and not self._left and not self._refused and self._take(self._h11.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))

    def _take(self, event: object) -> bool:
        """Act on one event; False when there is nothing more to take now."""
        match event:
            case h11.Request():
                self._begin(event)
            case h11.Data():
                self._received += len(event.data)
            case h11.EndOfMessage():
                self._respond()
            case h11.ConnectionClosed():
                self._transport.close()
                return False
            case _:  # NEED_DATA, or PAUSED until our own reply is complete
                return False
        return True

    def _begin(self, request: h11.Request) -> None:
        self._request, self._begun, self._received = request, False, 0
        self._patience(self._limits.idle_s)
        if sum(len(name) + len(value) for name, value in request.headers) > self._limits.header_bytes:
            self._refuse(431, f"headers: expected at most {self._limits.header_bytes} bytes")
        elif self._h11.they_are_waiting_for_100_continue:
            self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))

    def _respond(self) -> None:
        request = cast("h11.Request", self._request)
        if request.method not in METHODS:
            allowed = b", ".join(METHODS)
            self._reply(Content(status=405, body=b"expected " + allowed + b"\n"), (b"Allow", allowed))
            return
        hosts = [value for name, value in request.headers if name == b"host"]
        seen = Seen(
            pod=self._owner.pod,
            node=self._owner.node,
            client=self._client,
            server=self._server,
            protocol="tcp",
            path=request.target.decode("latin-1"),
            host=hosts[0].decode("latin-1") if hosts else "",
            received=self._received,
        )
        self._reply(self._owner.answer(seen))

    def _reply(self, answer: Content, *more: tuple[bytes, bytes]) -> None:
        self._status = answer.status
        headers = [
            (b"Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()).encode()),
            (b"Content-Type", answer.type.encode()),
            (b"Content-Length", b"%d" % answer.length),
            *((name.encode(), value.encode()) for name, value in answer.headers),
            *more,
        ]
        reason = HTTPStatus(answer.status).phrase.encode()
        response = h11.Response(status_code=answer.status, headers=headers, reason=reason)
        if self._request is not None and self._request.method == b"HEAD":
            self._send(response)
            self._finish()
        elif answer.size:
            self._left = answer.size
            self._send(response)
            self._transport.pause_reading()
            self._pump()
        else:
            self._send(response, h11.Data(data=answer.body))
            self._finish()

    def _pump(self) -> None:
        """Make the next pieces of a sized body, as long as the peer takes them."""
        for _ in range(TURN):
            if not self._left or not self._writable:
                break
            piece = PATTERN[: self._left]
            self._left -= len(piece)
            self._send(h11.Data(data=piece))
            self._patience(self._limits.idle_s)
            if not self._left:
                self._finish()
                self._advance()
                return
        if self._left and self._writable:
            asyncio.get_running_loop().call_soon(self._pump)

    def _finish(self) -> None:
        """End the reply; then the next request, or the end of the connection."""
        self._send(h11.EndOfMessage())
        self._report()
        self._request = None
        if self._refused:
            return
        if self._h11.our_state is h11.MUST_CLOSE:
            self._transport.close()
            return
        self._h11.start_next_cycle()
        self._patience(self._rest_s())
        if self._writable:
            self._transport.resume_reading()

    def _refuse(self, status: int, reason: str) -> None:
        """Say what was wrong with the request, and close."""
        self._refused = True
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._reply(Content(status=status, body=f"{reason}\n".encode()), (b"Connection", b"close"))
        self._transport.write_eof()
        self._patience(self._limits.linger_s)

    def _report(self) -> None:
        path = self._request.target.decode("latin-1") if self._request is not None else "-"
        self._owner.report("tcp", self._client, self._server, path, self._status)

    def _send(self, *events: h11.Event) -> None:
        pieces = [self._h11.send(event) for event in events]
        if not self._transport.is_closing():
            self._transport.write(b"".join(piece for piece in pieces if piece))
