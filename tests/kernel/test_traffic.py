"""Requests through real namespaces: every failure by its errno, every address as it was on the wire."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from lab.ask import traffic
from lab.ask.curl import curl
from lab.errors import KernelError
from lab.kernel import netns
from lab.kernel.command import check
from lab.model.ops import Serve
from lab.model.request import Reply, Request
from lab.serve.server import Refusal, Server

Inside = Callable[..., Any]

SERVER, SECOND = ip_address("192.0.2.1"), ip_address("192.0.2.2")
SERVER6, SECOND6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
CLIENT, CLIENT6 = ip_address("192.0.2.9"), ip_address("2001:db8::9")
NOBODY = ip_address("192.0.2.66")  # on the wire by its permanent neighbour, but no machine has its MAC
BEYOND = ip_address("198.51.100.1")  # the server routes there, and says that it cannot
FORBIDDEN = ip_address("203.0.113.1")  # no route at all
RESETS = 99  # the port where connections are taken and reset

WEB = Serve(netns="server", pod="web-1", node="node-1", addresses=(SERVER, SERVER6), ports=(("TCP", 80), ("UDP", 80)))
ASK = Request(netns="client", address=SERVER, port=80, timeout_s=5.0)


def ask(wanted: Request) -> Reply:
    (reply,) = traffic.requests([wanted])
    return reply


def wire() -> None:
    """Make two machines, `client` and `server`, on one wire; the server has two addresses of each family."""
    for name in ("client", "server"):
        netns.create(name)
        check(["ip", "link", "set", "lo", "up"])
    netns.enter("client")
    check(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "server"])
    for name, addresses in (("client", (CLIENT, CLIENT6)), ("server", (SERVER, SECOND, SERVER6, SECOND6))):
        check(["ip", "link", "set", "eth0", "up"], netns=name)
        for address in addresses:
            length = 24 if address.version == 4 else 64
            check(["ip", "address", "add", f"{address}/{length}", "dev", "eth0", "nodad"], netns=name)
    check(["ip", "neighbour", "add", str(NOBODY), "lladdr", "0a:00:00:00:00:66", "dev", "eth0"], netns="client")
    check(["ip", "route", "add", f"{BEYOND}/32", "via", str(SERVER)], netns="client")
    check(["ip", "route", "add", "unreachable", f"{BEYOND}/32"], netns="server")
    check(["sysctl", "-qw", "net.ipv4.ip_forward=1"], netns="server")
    netns.enter("")


@contextmanager
def child(body: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Have `body(ready)` running in a child; the block begins when it has called `ready`."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(ours)
            body(lambda: os.close(theirs) if os.write(theirs, b".") else None)
        finally:
            os._exit(1)
    try:
        os.close(theirs)
        assert os.read(ours, 1) == b".", "the child ended before it was ready"
        yield
    finally:
        os.close(ours)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def serving(*pods: Serve) -> Iterator[None]:
    def keep(ready: Callable[[], None]) -> None:
        async def run() -> None:
            assert Server(lambda _line: None).open(pods) == []
            ready()
            await asyncio.Event().wait()

        asyncio.run(run())

    with child(keep):
        yield


@contextmanager
def resetting() -> Iterator[None]:
    def reset(ready: Callable[[], None]) -> None:
        netns.enter("server")
        with socket.create_server(("", RESETS)) as listener:
            ready()
            while True:
                taken, _peer = listener.accept()
                taken.recv(1)
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                taken.close()

    with child(reset):
        yield


COUNTS = 98  # the port that answers with how many bytes it was sent, and how many connections are open


@contextmanager
def counting() -> Iterator[None]:
    def count(ready: Callable[[], None]) -> None:
        netns.enter("server")
        with socket.create_server(("", COUNTS)) as listener:
            ready()
            taken: list[socket.socket] = []
            while True:
                taken.append(listener.accept()[0])
                head, _, body = _request(taken[-1])
                sent = f"{len(body)} {1 + sum(_is_open(one) for one in taken[:-1])} {head.split(b' ')[0].decode()}"
                reply = f"HTTP/1.1 200 OK\r\nContent-Length: {len(sent)}\r\n\r\n{sent}"
                taken[-1].sendall(reply.encode())
                if b"Connection: close" in head:
                    taken[-1].shutdown(socket.SHUT_WR)

    with child(count):
        yield


def _request(taken: socket.socket) -> tuple[bytes, bytes, bytes]:
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), 0)
        if end and len(body) >= length:
            return head, end, body
        data += taken.recv(65_536)


def _is_open(taken: socket.socket) -> bool:
    try:
        return taken.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True


FAILURES = (
    (replace(ASK, port=81), "refused"),
    (replace(ASK, address=SERVER6, port=81), "refused"),
    (replace(ASK, address=BEYOND), "unreachable"),
    (replace(ASK, address=FORBIDDEN), "unreachable"),
    (replace(ASK, port=RESETS), "reset"),
    (replace(ASK, address=NOBODY, timeout_s=0.3), "timeout"),
)


@pytest.mark.parametrize("client", [traffic.requests, curl], ids=["our own sockets", "curl"])
def test_refused_unreachable_reset_and_timeout_are_told_apart(
    inside: Inside, client: Callable[[list[Request]], list[Reply]]
) -> None:
    def observe() -> list[Reply]:
        wire()
        with serving(WEB), resetting():
            return client([asked for asked, _error in FAILURES])

    replies = inside(observe)
    assert [reply.error for reply in replies] == [error for _asked, error in FAILURES]
    assert 0.29 <= replies[-1].latency_s < 1.0  # curl's clock is its own


def test_udps_errors_are_told_apart_too(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        return traffic.requests([replace(asked, protocol="udp") for asked, _error in FAILURES])

    wanted = ["refused", "refused", "unreachable", "unreachable", "refused", "timeout"]
    assert [reply.error for reply in inside(observe)] == wanted


def test_every_datagram_of_many_has_a_port_of_its_own(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        with serving(WEB):
            return traffic.requests([replace(ASK, protocol="udp")] * 1000)

    replies = inside(observe)
    assert {reply.error for reply in replies} == {""}
    # ports taken at random would all differ in one run of some fifty million
    assert len({reply.local for reply in replies}) == len(replies)


def test_our_own_address_and_port_are_known_even_when_it_fails(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        tcp = [
            replace(ASK, port=81),
            replace(ASK, address=NOBODY, timeout_s=0.1),
            replace(ASK, address=SERVER6, port=81),
        ]
        return traffic.requests([*tcp, *(replace(asked, protocol="udp") for asked in tcp)])

    replies = inside(observe)
    locals_ = [reply.local for reply in replies]
    assert [local[0] for local in locals_ if local] == [CLIENT, CLIENT, CLIENT6] * 2
    assert all(local[1] for local in locals_ if local)


@pytest.mark.parametrize("client", [traffic.requests, curl], ids=["our own sockets", "curl"])
def test_an_answer_tells_who_gave_it_and_the_source_that_it_saw(
    inside: Inside, client: Callable[[list[Request]], list[Reply]]
) -> None:
    def observe() -> list[Reply]:
        wire()
        with serving(WEB):
            return client([ASK, replace(ASK, address=SERVER6), replace(ASK, netns="server")])

    first, second, own = inside(observe)
    assert (first.error, first.status, first.pod, first.node) == ("", 200, "web-1", "node-1")
    assert [reply.source == reply.local for reply in (first, second, own)] == [True] * 3
    assert [reply.source[0] for reply in (first, second, own)] == [CLIENT, CLIENT6, SERVER]
    assert 0 < first.latency_s < 1


@pytest.mark.parametrize("address", [SERVER, SECOND, SERVER6, SECOND6], ids=str)
def test_a_udp_answer_leaves_from_the_address_that_was_asked(inside: Inside, address: Any) -> None:
    def observe() -> Reply:
        wire()
        with serving(WEB):
            return ask(replace(ASK, address=address, protocol="udp", timeout_s=2.0))

    reply = inside(observe)
    written = f"[{address}]:80" if address.version == 6 else f"{address}:80"
    assert (reply.error, reply.pod) == ("", "web-1")
    assert f'"server": "{written}"' in reply.body
    assert reply.source == reply.local


def test_a_chosen_local_port_is_used_and_can_be_used_again_at_once(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        asked = replace(ASK, local_port=4321)
        with serving(WEB):
            replies = [ask(asked) for _ in range(3)]
            return [*replies, ask(replace(asked, protocol="udp")), *curl([asked])]

    assert [reply.source for reply in inside(observe)] == [(CLIENT, 4321)] * 5


def test_a_local_port_that_lingers_after_another_connection_can_be_chosen(inside: Inside) -> None:
    def observe() -> Reply:
        wire()
        with serving(WEB):
            with netns.inside("client"), socket.socket() as first:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                first.bind(("", 4321))
                first.connect((str(SECOND), 80))
            return ask(replace(ASK, local_port=4321))

    assert inside(observe).source == (CLIENT, 4321)


def test_a_local_port_in_use_is_told(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        with netns.inside("client"):
            taken = socket.create_server(("", 4321))
        with taken, serving(WEB):
            asked = replace(ASK, local_port=4321)
            return [ask(asked), *curl([asked])]

    assert [reply.error for reply in inside(observe)] == ["eaddrinuse"] * 2


def test_each_request_has_its_own_deadline_and_all_wait_together(inside: Inside) -> None:
    def observe() -> tuple[list[Reply], float]:
        wire()
        asked = [replace(ASK, address=NOBODY, timeout_s=0.2)] * 128
        before = time.monotonic()
        return traffic.requests(asked, concurrency=64), time.monotonic() - before

    replies, seconds = inside(observe)
    assert [reply.error for reply in replies] == ["timeout"] * 128
    assert 0.4 <= seconds < 0.8


def test_of_a_long_body_the_beginning_is_kept(inside: Inside) -> None:
    def observe() -> Reply:
        wire()
        with serving(WEB):
            return ask(replace(ASK, path="/bytes?size=3000000"))

    reply = inside(observe)
    assert reply.answered
    assert len(reply.body) == traffic.BODY_KEPT


def test_so_many_bytes_are_sent_and_as_many_come_back(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        with serving(WEB), counting():
            udp = replace(ASK, protocol="udp", size=1200)
            return traffic.requests([replace(ASK, port=COUNTS, size=60_000), replace(ASK, size=60_000), udp])

    sent, back, udp = inside(observe)
    assert sent.body.split() == ["60000", "1", "POST"]
    assert [len(reply.body) for reply in (back, udp)] == [60_000, 1200]


def test_a_connection_that_is_held_stays_open_until_the_last_request_is_over(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        with counting():
            asked = replace(ASK, port=COUNTS)
            held = traffic.requests([replace(asked, hold=True)] * 4, concurrency=1)
            return held + traffic.requests([asked] * 2, concurrency=1)

    replies = inside(observe)
    assert [reply.body.split()[1] for reply in replies] == ["1", "2", "3", "4", "1", "1"]
    assert max(reply.latency_s for reply in replies) < traffic.LINGER_S


def test_a_path_that_http_cannot_carry_is_an_error_and_not_an_exception(inside: Inside) -> None:
    def observe() -> Reply:
        wire()
        return ask(replace(ASK, path="/a b"))

    assert inside(observe).error == "einval"


def test_a_namespace_that_is_not_there_is_a_kernel_error(inside: Inside) -> None:
    with pytest.raises(KernelError, match="nowhere: no such network namespace"):
        inside(ask, replace(ASK, netns="nowhere"))


def test_pods_that_share_a_namespace_share_its_ports(inside: Inside) -> None:
    def observe() -> list[Refusal]:
        wire()

        async def run() -> list[Refusal]:
            server = Server(lambda _line: None)
            return server.open([WEB, replace(WEB, pod="web-2"), replace(WEB, netns="client", pod="web-3")])

        return asyncio.run(run())

    assert [str(refusal) for refusal in inside(observe)] == [
        "pod web-2: cannot listen on TCP port 80 in server: Address already in use",
        "pod web-2: cannot listen on UDP port 80 in server: Address already in use",
    ]


def test_opening_returns_to_the_namespace_it_came_from(inside: Inside) -> None:
    def observe() -> tuple[str, str]:
        wire()

        async def run() -> None:
            Server(lambda _line: None).open([WEB])

        before = os.readlink("/proc/self/ns/net")
        asyncio.run(run())
        return before, os.readlink("/proc/self/ns/net")

    before, after = inside(observe)
    assert before == after


def test_a_pod_of_one_family_does_not_listen_on_the_other(inside: Inside) -> None:
    def observe() -> list[Reply]:
        wire()
        with serving(replace(WEB, addresses=(SERVER,))):
            return traffic.requests([ASK, replace(ASK, address=SERVER6)])

    assert [reply.error for reply in inside(observe)] == ["", "refused"]
