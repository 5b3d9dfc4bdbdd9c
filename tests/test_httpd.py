"""One connection's bounds, on a transport that only notes; tests/test_serve.py has the protocol on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from lab.serve.answer import PATTERN
from lab.serve.httpd import TURN, Connection, Limits, Owner

SMALL = b"GET /healthz HTTP/1.1\r\nHost: web\r\n\r\n"
BIG = b"GET /body/100000000 HTTP/1.1\r\nHost: web\r\n\r\n"
LIMITS = Limits(header_bytes=1000, request_s=1.0, idle_s=1000.0, between_s=5000.0)


class Notes:
    """A transport that takes everything and notes what it was told."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.reading = True

    def get_extra_info(self, _what: str) -> tuple[str, int]:
        return "192.0.2.1", 80

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def with_connection(body: Callable[[Connection, Notes], None]) -> None:
    """Call `body` with a new connection, in one turn of a loop."""

    async def run() -> None:
        owner = Owner(pod="web-1", node="node-1", report=lambda *_: None, connections=set())
        connection, notes = Connection(owner, LIMITS), Notes()
        connection.connection_made(cast("asyncio.Transport", notes))
        body(connection, notes)
        connection.connection_lost(None)

    asyncio.run(run())


def test_a_peer_may_be_silent_for_longer_between_requests_than_inside_one_or_before_it_has_read_the_reply() -> None:
    def left_s(connection: Connection) -> float:
        return connection.deadline - asyncio.get_running_loop().time()

    def body(connection: Connection, _notes: Notes) -> None:
        assert left_s(connection) <= LIMITS.idle_s
        connection.data_received(SMALL)
        assert LIMITS.idle_s < left_s(connection) <= LIMITS.between_s
        connection.data_received(SMALL[:5])
        assert left_s(connection) <= LIMITS.request_s
        connection.pause_writing()
        connection.data_received(SMALL[5:])
        connection.resume_writing()
        assert left_s(connection) <= LIMITS.idle_s

    def unread(connection: Connection, _notes: Notes) -> None:
        connection.data_received(BIG)
        assert left_s(connection) <= LIMITS.idle_s

    with_connection(body)
    with_connection(unread)


def test_a_peer_that_takes_everything_gets_one_turn_and_then_others_have_theirs() -> None:
    def body(connection: Connection, notes: Notes) -> None:
        connection.data_received(BIG)
        assert TURN * len(PATTERN) <= len(notes.written) < TURN * len(PATTERN) + 1000

    with_connection(body)


def test_a_peer_that_does_not_read_is_not_read_from() -> None:
    def body(connection: Connection, notes: Notes) -> None:
        connection.pause_writing()
        assert not notes.reading
        connection.data_received(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert not notes.written

    with_connection(body)


def test_nothing_is_read_while_a_body_is_made() -> None:
    def body(connection: Connection, notes: Notes) -> None:
        connection.data_received(BIG)
        assert not notes.reading

    with_connection(body)


def test_more_of_a_slow_request_does_not_move_its_deadline_until_its_headers_are_there() -> None:
    def body(connection: Connection, _notes: Notes) -> None:
        connection.data_received(b"G")
        begun = connection.deadline
        connection.data_received(b"ET / HTTP/1.1\r\nHost: web\r\n")
        assert connection.deadline == begun
        connection.data_received(b"Content-Length: 5\r\n\r\n")
        assert connection.deadline > begun + 900

    with_connection(body)


def test_headers_over_the_bound_are_refused_even_if_they_come_in_one_piece() -> None:
    def body(connection: Connection, notes: Notes) -> None:
        connection.data_received(b"GET / HTTP/1.1\r\nHost: web\r\nX: %s\r\n\r\n" % (b"y" * 1000))
        assert notes.written.startswith(b"HTTP/1.1 431 ")

    with_connection(body)
