"""What every pod runs, on this machine's loopback: HTTP's corners, bounds, and a log that never holds a traceback."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.kernel import netns
from lab.model.ops import Serve
from lab.serve import server as serve
from lab.serve.answer import PATTERN
from lab.serve.httpd import Limits

LOOPBACK = IPv4Address("127.0.0.1")
LIMITS = Limits(request_s=0.4, idle_s=0.8, between_s=1.6, linger_s=0.4)


class Pods:
    """A server on a loop in a thread of its own, and everything that it ever said."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.troubles: list[dict[str, Any]] = []
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _loop, context: self.troubles.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self.call(lambda: serve.Server(self.log.append, limits=LIMITS))

    def call(self, function: Callable[..., Any], *args: object) -> Any:
        async def run() -> object:
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def end(self) -> None:
        for pod in tuple(self.server._pods):
            self.call(self.server.close, *pod)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.run_until_complete(asyncio.sleep(0))  # closed transports say goodbye
        self.loop.close()


@pytest.fixture(scope="module")
def pods() -> Iterator[Pods]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(netns, "inside", lambda _name: nullcontext())
        patch.setattr(netns, "enter", lambda _name: None)
        held = Pods()
        yield held
        held.end()


@pytest.fixture(autouse=True)
def silence(pods: Pods, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does to the server: asyncio has nothing to report."""
    with caplog.at_level(logging.DEBUG, logger="asyncio"):
        yield
    assert pods.troubles == []
    assert [record for record in caplog.records if record.exc_info or record.levelno >= logging.WARNING] == []


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def web(pods: Pods) -> Serve:
    port = free_port()
    pod = Serve(netns="n", pod="web-1", node="node-1", addresses=(LOOPBACK,), ports=(("TCP", port), ("UDP", port)))
    assert pods.call(pods.server.open, [pod]) == []
    return pod


def connect(pod: Serve) -> socket.socket:
    return socket.create_connection(("127.0.0.1", pod.ports[0][1]), timeout=5)


def talk(pod: Serve, sent: bytes, *, half_close: bool = True) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    with closing(connect(pod)) as client:
        client.sendall(sent)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        received = bytearray()
        while piece := client.recv(65_536):
            received += piece
        return bytes(received)


def get(pod: Serve, path: str, *, method: str = "GET", headers: str = "", body: bytes = b"") -> tuple[int, bytes]:
    """Make one request and return its status and body, as h11 reads them."""
    asked = f"{method} {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n{headers}\r\n".encode() + body
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=method, target="/", headers=[("Host", "web")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(talk(pod, asked, half_close=False))
    reader.receive_data(b"")
    status, received = 0, b""
    while not isinstance(event := reader.next_event(), (h11.EndOfMessage, h11.ConnectionClosed)):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            received += event.data
    return status, received


def test_the_root_tells_who_answered_and_what_it_saw(web: Serve) -> None:
    status, body = get(web, "/?a=b")
    seen = json.loads(body)
    client = seen.pop("client")
    assert status == 200
    assert seen == {
        "pod": "web-1",
        "node": "node-1",
        "server": f"127.0.0.1:{web.ports[0][1]}",
        "protocol": "tcp",
        "path": "/?a=b",
        "host": "web",
    }
    assert re.fullmatch(r"127\.0\.0\.1:\d+", client)


def test_agnhosts_words_are_answered_as_agnhost_does(web: Serve) -> None:
    assert get(web, "/hostname") == (200, b"web-1")
    assert get(web, "/healthz") == (200, b"ok")
    status, client = get(web, "/clientip")
    assert status == 200
    assert re.fullmatch(rb"127\.0\.0\.1:\d+", client)


def test_another_path_is_404_and_lists_the_paths(web: Serve) -> None:
    status, body = get(web, "/nothing")
    assert status == 404
    assert b"/hostname" in body
    assert b"/bytes?size=N" in body


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 5_000_000])
def test_a_body_has_the_size_that_was_asked(web: Serve, size: int) -> None:
    repeated = PATTERN * (size // len(PATTERN) + 1)
    assert get(web, f"/bytes?size={size}") == (200, repeated[:size])
    assert get(web, f"/body/{size}") == (200, repeated[:size])


@pytest.mark.parametrize("path", ["/bytes", "/bytes?size=", "/bytes?size=-1", "/body/x", "/body/1e9", f"/body/{2**70}"])
def test_a_bad_size_is_400(web: Serve, path: str) -> None:
    status, body = get(web, path)
    assert status == 400
    assert b"expected" in body


def test_a_huge_body_costs_no_memory(web: Serve, pods: Pods) -> None:
    def resident_kb() -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    before = resident_kb()
    with closing(connect(web)) as client:
        client.sendall(b"GET /body/1000000000 HTTP/1.1\r\nHost: web\r\n\r\n")
        for _ in range(200):
            client.recv(65_536)
        select.select([], [], [], 0.1)  # let the server fill what it can
        assert resident_kb() - before < 20_000
    assert pods.call(lambda: 1) == 1


def test_a_stream_to_one_client_does_not_keep_others_waiting(web: Serve) -> None:
    with closing(connect(web)) as greedy:
        greedy.sendall(b"GET /body/100000000000 HTTP/1.1\r\nHost: web\r\n\r\n")

        def read_on() -> None:
            with suppress(OSError):
                while greedy.recv(1 << 20):
                    pass

        drain = threading.Thread(target=read_on)
        drain.start()
        assert get(web, "/healthz") == (200, b"ok")
        assert drain.is_alive()
        greedy.shutdown(socket.SHUT_RDWR)
        drain.join(5)


def test_head_has_the_headers_and_no_body(web: Serve) -> None:
    answer = talk(web, b"HEAD /body/123456789 HTTP/1.1\r\nHost: web\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 123456789\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_pipelined_requests_are_answered_in_order_on_one_connection(web: Serve) -> None:
    asked = b"".join(b"GET /body/%d HTTP/1.1\r\nHost: web\r\n\r\n" % size for size in (70_000, 1, 200_000, 2))
    answer = talk(web, asked + b"GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n")
    lengths = [int(length) for length in re.findall(rb"Content-Length: (\d+)", answer)]
    assert lengths == [70_000, 1, 200_000, 2, 5]
    assert answer.endswith(b"web-1")


def test_a_client_that_asks_and_never_reads_is_not_read_from_for_ever(web: Serve) -> None:
    with closing(connect(web)) as client:
        client.settimeout(0.2)
        asked = b"GET /body/65000 HTTP/1.1\r\nHost: web\r\n\r\n" * 500_000
        with pytest.raises(TimeoutError):
            client.sendall(asked)


def test_a_posted_body_is_dropped_and_its_length_told(web: Serve) -> None:
    status, body = get(web, "/", method="POST", headers="Content-Length: 100000\r\n", body=b"x" * 100_000)
    assert status == 200
    assert json.loads(body)["received"] == 100_000


def test_a_client_that_expects_100_continue_is_told_to_go_on(web: Serve) -> None:
    with closing(connect(web)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"abc")
        assert b'"received": 3' in client.recv(1000)


def test_an_unknown_method_is_405(web: Serve) -> None:
    answer = talk(web, b"BREW / HTTP/1.1\r\nHost: web\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET, HEAD, POST, PUT\r\n" in answer


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"],
)
def test_a_malformed_request_is_400_and_the_end(web: Serve, sent: bytes) -> None:
    answer = talk(web, sent, half_close=False)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close\r\n" in answer


def test_huge_headers_are_refused_even_while_the_client_goes_on_sending(web: Serve) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(1000))
    assert talk(web, b"GET / HTTP/1.1\r\nHost: web\r\n" + headers + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_request_that_dribbles_in_is_dropped_after_its_bound(web: Serve) -> None:
    with closing(connect(web)) as client:
        client.settimeout(0.05)
        for number in range(100):
            try:
                client.send(b"GET / HTTP/1.1\r\nX: "[number : number + 1] or b"x")
                if not client.recv(100):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            pytest.fail("still connected after 5 s")
        assert number * 0.05 < LIMITS.request_s + 2


def test_an_idle_connection_is_closed_after_its_bound(web: Serve) -> None:
    with closing(connect(web)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: web\r\n\r\n")
        assert client.recv(1000).endswith(b"ok")
        assert client.recv(1000) == b""


def test_clients_that_reset_the_connection_are_no_news(web: Serve, pods: Pods) -> None:
    for sent in (b"", b"GET", b"GET /body/100000000 HTTP/1.1\r\nHost: web\r\n\r\n"):
        client = connect(web)
        client.sendall(sent)
        if sent.startswith(b"GET /"):
            client.recv(10)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert get(web, "/healthz") == (200, b"ok")
    assert pods.troubles == []


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.one_of(st.binary(max_size=300), st.binary(max_size=60).map(b"GET /%b\r\nHost: a\r\n\r\n".__mod__)))
def test_no_bytes_make_the_server_fail(web: Serve, pods: Pods, sent: bytes) -> None:
    answer = talk(web, sent)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert pods.troubles == []


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.one_of(st.binary(max_size=300), st.text(max_size=40).map(lambda text: f"/body/{text}".encode())))
def test_every_datagram_has_one_answer(web: Serve, sent: bytes) -> None:
    assert ask(web, sent)


def ask(pod: Serve, sent: bytes) -> bytes:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", pod.ports[0][1]))
        client.send(sent)
        return client.recv(65_535)


def test_a_datagram_is_answered_with_the_same_facts_and_words(web: Serve) -> None:
    seen = json.loads(ask(web, b"hello"))
    assert (seen["pod"], seen["node"], seen["protocol"], seen["path"]) == ("web-1", "node-1", "udp", "hello")
    assert seen["server"] == f"127.0.0.1:{web.ports[1][1]}"
    assert ask(web, b"hostname\n") == b"web-1"
    assert re.fullmatch(rb"127\.0\.0\.1:\d+", ask(web, b"clientip"))
    assert ask(web, b"/healthz") == b"ok"


def test_a_datagram_has_the_size_that_was_asked_within_udps_bounds(web: Serve) -> None:
    assert len(ask(web, b"/bytes?size=65507")) == 65_507
    assert len(ask(web, b"body/1")) == 1
    assert b"expected a number from 1 to 65507" in ask(web, b"/body/65508")


def test_an_answer_is_not_answered(web: Serve) -> None:
    answer = ask(web, b"")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", web.ports[1][1]))
        client.send(answer)
        client.send(b"hostname")
        assert client.recv(1000) == b"web-1"


def test_each_request_is_a_line_of_the_log(web: Serve, pods: Pods) -> None:
    get(web, "/healthz?log")
    ask(web, b"marked\nline")
    pods.call(lambda: None)  # the loop is done with the datagram, its line is written
    (tcp,) = [line for line in pods.log if "healthz?log" in line]
    (udp,) = [line for line in pods.log if "marked" in line]
    when = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    flow = rf"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{web.ports[0][1]}"
    assert re.fullmatch(rf"{when} web-1 tcp {flow} /healthz\?log 200", tcp)
    assert re.fullmatch(rf"{when} web-1 udp {flow} 'marked\\nline' \d+", udp)


def test_a_port_in_use_is_told_and_the_others_are_served(web: Serve, pods: Pods) -> None:
    taken, free = web.ports[0][1], free_port()
    second = Serve(netns="n", pod="web-2", node="node-1", addresses=(LOOPBACK,), ports=(("TCP", taken), ("TCP", free)))
    refusals = pods.call(pods.server.open, [second])
    assert [str(refusal) for refusal in refusals] == [
        f"pod web-2: cannot listen on TCP port {taken} in n: Address already in use"
    ]
    moved = Serve(netns="n", pod="web-2", node="node-1", addresses=(LOOPBACK,), ports=(("TCP", free),))
    assert get(moved, "/hostname") == (200, b"web-2")
    pods.call(pods.server.close, "n", "web-2")


def test_a_pod_can_be_opened_again_with_more_ports_and_closed_with_its_connections(pods: Pods) -> None:
    first, second = free_port(), free_port()
    pod = Serve(netns="n", pod="db", node="node-1", addresses=(LOOPBACK,), ports=(("TCP", first),))
    more = Serve(netns="n", pod="db", node="node-1", addresses=(LOOPBACK,), ports=(("TCP", first), ("TCP", second)))
    moved = Serve(netns="n", pod="db", node="node-1", addresses=(LOOPBACK,), ports=(("TCP", second),))
    assert pods.call(pods.server.open, [pod]) == []
    assert pods.call(pods.server.open, [more]) == []
    assert get(pod, "/hostname") == get(moved, "/hostname") == (200, b"db")
    with closing(connect(moved)) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: web\r\n\r\n")
        assert client.recv(1000).endswith(b"ok")
        pods.call(pods.server.close, "n", "db")
        assert client.recv(1000) == b""
    for gone in (pod, moved):
        with pytest.raises(ConnectionRefusedError):
            connect(gone)
