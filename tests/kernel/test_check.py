"""What `lab.check` shows of a lab in which something is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from .conftest import Invoke

Lab = Callable[..., Invoke]
CHAIN = "KUBE-SVC-CDGGSHYLG3RE2FKL"  # of default/web:http


def test_a_failed_expectation_is_shown_with_what_was_expected_and_what_was_observed(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert invoke("lab.exec", "node-1", f"iptables -t nat -D {CHAIN} 1").returncode == 0
    done = invoke("lab.check")
    assert done.returncode == 1
    overview, details, summary = done.stdout.rstrip("\n").split("\n\n")
    assert overview.count("\u2713") == 6
    assert overview.count("\u2717") == 1
    title, header, *rows = details.splitlines()
    assert title == "the node itself reaches the Service, masqueraded, since it is not a pod"
    assert header.split() == ["WHAT", "EXPECTED", "OBSERVED"]
    flow, journey = [row for row in rows if row.startswith("\u2717")]
    assert re.fullmatch(r"\u2717 +SNAT on node-1 +SNAT +no SNAT: node-1 192\.168\.0\.10:\d+", flow)
    assert re.match(r"\u2717 +journey +mark on node-1, choose, dnat, .*choose, dnat, reply-translated", journey)
    assert summary.splitlines()[-1] == "1 of 7 expectations failed (2 findings)"


def test_expectations_for_other_labs_are_named_with_their_condition(lab: Lab) -> None:
    invoke = lab("hairpin", "--hairpin-mode", "none")
    left_out = json.loads(invoke("lab.check", "--json").stdout)["left_out"]
    assert [expectation["when"] for expectation in left_out] == [
        {"hairpinMode": "hairpin-veth"},
        {"hairpinMode": "promiscuous-bridge"},
    ]
