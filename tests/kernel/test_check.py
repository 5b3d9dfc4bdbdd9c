"""What `lab.check` shows of a lab in which something is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

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


MANY_AND_MUCH = """apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: limits}
spec:
  nodes: [node-1, node-2]
  expect:
  - {it: three at once, from: one, to: pod/web, connections: 3}
  - {it: four at once, from: two, to: pod/web, connections: 4}
  - {it: little each way, from: three, to: pod/web, size: 100}
  - {it: much each way, from: three, to: pod/web, size: 60000}
  - {it: some of two, from: node-2, to: svc/web, shares: some}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: server, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {nodeName: node-2}
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec: {nodeName: node-2}
---
apiVersion: v1
kind: Pod
metadata: {name: three}
spec: {nodeName: node-2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
"""


def test_so_many_connections_and_so_many_bytes_are_really_made(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(MANY_AND_MUCH)
    invoke = lab(str(tmp_path))
    assert invoke("lab.check").returncode == 0
    few = "iptables -I FORWARD -p tcp --syn -m connlimit --connlimit-above 3 -j DROP"
    small = "iptables -I FORWARD -m length --length 1000: -j DROP"
    assert invoke("lab.exec", "node-1", f"{few} && {small}").returncode == 0
    found = json.loads(invoke("lab.check", "--json").stdout)["expectations"]
    assert [one["it"] for one in found if not one["holds"]] == ["four at once", "much each way"]
