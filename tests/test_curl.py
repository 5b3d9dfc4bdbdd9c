"""curl's command, and what its output means: recorded from curl 7.88.1, and in the words of curl 8."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from lab.ask.curl import curl_argv, curl_reply
from lab.model.request import Reply, Request

ASK = Request(netns="client", address=ip_address("10.96.0.10"), port=80, path="/hostname", timeout_s=2.5)
NO_CONNECTION = "\n000||0|0.000390"

FAILED = {
    "refused, 7.88": (
        7,
        (
            "*   Trying 127.0.0.1:1...\n* connect to 127.0.0.1 port 1 failed: Connection refused\n"
            "* Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server\n* Closing connection 0\n"
            "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server\n"
        ),
        "refused",
    ),
    "refused, 8": (
        7,
        (
            "* connect to 127.0.0.1 port 1 from 127.0.0.1 port 43210 failed: Connection refused\n"
            "* Failed to connect to 127.0.0.1 port 1 after 0 ms: Could not connect to server\n* closing connection #0\n"
            "curl: (7) Failed to connect to 127.0.0.1 port 1 after 0 ms: Could not connect to server\n"
        ),
        "refused",
    ),
    "no route": (
        7,
        (
            "*   Trying [2001:db8::1]:80...\n* Immediate connect fail for 2001:db8::1: Network is unreachable\n"
            "* Failed to connect to 2001:db8::1 port 80 after 0 ms: Couldn't connect to server\n"
            "curl: (7) Failed to connect to 2001:db8::1 port 80 after 0 ms: Couldn't connect to server\n"
        ),
        "unreachable",
    ),
    "an ICMP error": (
        7,
        (
            "*   Trying 10.7.0.9:80...\n* connect to 10.7.0.9 port 80 failed: No route to host\n"
            "* Failed to connect to 10.7.0.9 port 80 after 0 ms: Couldn't connect to server\n* Closing connection 0\n"
            "curl: (7) Failed to connect to 10.7.0.9 port 80 after 0 ms: Couldn't connect to server\n"
        ),
        "unreachable",
    ),
    "no answer to the SYN": (28, "curl: (28) Connection timed out after 500 milliseconds\n", "timeout"),
    "the kernel gave up": (7, "* connect to 10.7.0.2 port 80 failed: Connection timed out\n", "timeout"),
    "no answer to the request": (
        28,
        "curl: (28) Operation timed out after 501 milliseconds with 0 bytes received\n",
        "timeout",
    ),
    "reset": (
        56,
        (
            "* Recv failure: Connection reset by peer\n* Closing connection 0\n"
            "curl: (56) Recv failure: Connection reset by peer\n"
        ),
        "reset",
    ),
    "reset while sending": (55, "curl: (55) Send failure: Broken pipe\n", "reset"),
    "closed without a reply": (52, "* Empty reply from server\ncurl: (52) Empty reply from server\n", "eproto"),
    "closed too early": (18, "curl: (18) transfer closed with 47 bytes remaining to read\n", "eproto"),
    "not HTTP": (1, "* Received HTTP/0.9 when not allowed\ncurl: (1) Received HTTP/0.9 when not allowed\n", "eproto"),
    "port in use": (45, "curl: (45) bind failed with errno 98: Address already in use\n", "eaddrinuse"),
    "unknown name": (6, "curl: (6) Could not resolve host: nowhere\n", "curl-6"),
    "a header that looks like an error": (22, "< X: Connection refused\n* X\ncurl: (22) 404\n", "curl-22"),
}


@pytest.mark.parametrize("case", FAILED)
def test_curls_failure_is_told_by_the_errno(case: str) -> None:
    status, stderr, error = FAILED[case]
    assert curl_reply(status, NO_CONNECTION, stderr).error == error


def test_curl_8_tells_its_own_end_even_of_a_failed_connection() -> None:
    reply = curl_reply(7, NO_CONNECTION, FAILED["refused, 8"][1])
    assert reply.local == (ip_address("127.0.0.1"), 43210)
    assert curl_reply(7, NO_CONNECTION, FAILED["refused, 7.88"][1]).local is None


def test_an_answer_has_its_status_facts_own_end_and_latency() -> None:
    body = '{"pod": "web-1", "node": "node-1", "client": "[fd00::9]:4000"}\n'
    assert curl_reply(0, f"{body}\n200|fd00::9|4000|0.001250", "< HTTP/1.1 200 OK\n") == Reply(
        status=200,
        pod="web-1",
        node="node-1",
        source=(ip_address("fd00::9"), 4000),
        local=(ip_address("fd00::9"), 4000),
        latency_s=0.00125,
        body=body,
    )


def test_an_output_that_is_cut_off_is_no_exception() -> None:
    assert curl_reply(-9, "", "") == Reply(error="curl--9")


def test_the_command_is_the_one_a_person_would_type_shielded_from_their_settings() -> None:
    argv = curl_argv(ASK)
    assert argv[:2] == ["curl", "-q"]
    assert argv[-2:] == ["--url", "http://10.96.0.10:80/hostname"]
    assert argv[argv.index("--max-time") + 1] == "2.500"
    assert argv[argv.index("--noproxy") + 1] == "*"
    assert "--local-port" not in argv


def test_ipv6_is_bracketed_and_a_name_a_host_and_a_port_are_passed_on() -> None:
    asked = Request(netns="", address=ip_address("fd00::a"), port=81, host="web", local_port=4000)
    argv = curl_argv(asked)
    assert argv[-1] == "http://[fd00::a]:81/"
    assert argv[argv.index("--local-port") + 1] == "4000"
    assert argv[argv.index("--header") + 1] == "Host: web"
