"""What a pod answers, from what it saw; tests/test_serve.py says the same of real sockets."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lab.serve.answer import PATHS, Seen, content, datagram, endpoint_text

SEEN = Seen(
    pod="web-1", node="node-1", client="[fd00::9]:40000", server="[fd00::1]:80", protocol="tcp", path="/", host="web"
)


def test_a_socket_address_is_written_as_in_a_url() -> None:
    assert endpoint_text(("10.244.0.5", 8080)) == "10.244.0.5:8080"
    assert endpoint_text(("fe80::1%eth0", 80)) == "[fe80::1]:80"


def test_the_facts_are_json_in_a_fixed_order() -> None:
    assert list(json.loads(content(SEEN).body)) == ["pod", "node", "client", "server", "protocol", "path", "host"]


def test_a_target_in_absolute_form_is_understood() -> None:
    assert content(replace(SEEN, path="http://web/hostname")).body == b"web-1"
    assert json.loads(content(replace(SEEN, path="http://web")).body)["pod"] == "web-1"


def test_a_pod_of_another_namespace_is_told_apart_and_does_not_know_it() -> None:
    elsewhere = replace(SEEN, pod="kube-system/coredns-1")
    assert json.loads(content(elsewhere).body)["pod"] == "kube-system/coredns-1"
    assert content(replace(elsewhere, path="/hostname")).body == b"coredns-1"


def test_every_path_that_the_404_lists_is_answered() -> None:
    for path in PATHS:
        assert content(replace(SEEN, path=path.replace("N", "7"))).status == 200


@pytest.mark.parametrize("path", ["/hostname/", "//", "/body", "/body/1/2", "*", ""])
def test_a_path_that_is_nearly_right_is_404(path: str) -> None:
    assert content(replace(SEEN, path=path)).status == 404


def test_a_size_is_taken_from_among_other_parameters() -> None:
    assert content(replace(SEEN, path="/bytes?a=1&size=42&b")).length == 42


def test_a_datagram_of_another_text_is_answered_with_the_facts() -> None:
    assert json.loads(datagram(replace(SEEN, path="bytes of nothing")))["path"] == "bytes of nothing"


def test_a_server_does_not_answer_a_servers_facts() -> None:
    assert datagram(replace(SEEN, path=content(SEEN).body.decode())) == b""
