"""From an errno and a body to a Reply."""

from __future__ import annotations

import errno
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.model.request import Reply
from lab.parse.reply import endpoint, error_word, with_facts


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ENETUNREACH, "unreachable"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.ECONNRESET, "reset"),
        (errno.EPIPE, "reset"),
        (errno.EPERM, "eperm"),
        (99_999, "errno-99999"),
    ],
)
def test_an_errno_has_one_word(number: int, word: str) -> None:
    assert error_word(number) == word


def test_an_endpoint_is_an_address_and_a_port() -> None:
    assert endpoint("10.244.0.5:8080") == (ip_address("10.244.0.5"), 8080)
    assert endpoint("[fd00::5]:8080") == (ip_address("fd00::5"), 8080)


@pytest.mark.parametrize(
    "text", ["", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "[10.0.0.1]:1", "fd00::5:80", "a:1"]
)
def test_what_is_no_endpoint_is_none(text: str) -> None:
    assert endpoint(text) is None


def test_a_pods_facts_are_taken_from_its_body() -> None:
    reply = with_facts(Reply(body='{"pod": "web-1", "node": "node-1", "client": "10.0.0.9:4000"}'))
    assert (reply.pod, reply.node, reply.source) == ("web-1", "node-1", (ip_address("10.0.0.9"), 4000))


@pytest.mark.parametrize("body", ["", "web-1", "{", "[]", "{}", '{"pod": 1, "node": "", "client": ""}', "{" * 100_000])
def test_another_servers_body_is_left_as_it_is(body: str) -> None:
    assert with_facts(Reply(body=body)) == Reply(body=body)


@settings(database=None)
@given(st.text(), st.text())
def test_no_body_makes_it_fail(body: str, client: str) -> None:
    with_facts(Reply(body="{" + body))
    endpoint(client)
