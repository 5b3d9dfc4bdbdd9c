"""What `lab.check` says of an expectation that failed: how to look at its request."""

from __future__ import annotations

import pytest

from lab.cli.inside import _traces
from lab.model.finding import Finding
from lab.model.lab import Expectation, Step


def found(it: str, *, holds: bool) -> Finding:
    return Finding(it=it, what="answer", expected="answered", observed="timeout", holds=holds)


def test_the_first_expectation_that_failed_is_the_one_to_be_traced() -> None:
    wanted = [
        Expectation(it="good", from_="client-a", to="svc/web"),
        Expectation(it="first", from_="client-a", to="svc/dns", protocol="udp", then=(Step(it="later"),)),
        Expectation(it="second", from_="web-1", to="web-2", port=8080),
    ]
    dns = "invoke lab.trace client-a svc/dns --udp"
    good, bad = found("good", holds=True), found("second", holds=False)
    assert _traces(wanted, [good, found("first", holds=False), bad], "") == dns
    assert _traces(wanted, [good, found("first", holds=True), found("later", holds=False), bad], "") == dns
    assert _traces(wanted, [good, bad], "x") == "invoke lab.trace web-1 web-2 --port 8080 --lab x"


@pytest.mark.parametrize("asks", ["deploy/web", "deployment/web", "Deployments/web"])
def test_what_each_pod_of_a_deployment_asked_is_no_single_request(asks: str) -> None:
    assert _traces([Expectation(it="it", from_=asks, to="svc/web")], [found("it", holds=False)], "") == ""
