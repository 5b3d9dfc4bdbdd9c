"""Each node of a lab answers health checks as its kube-proxy would, and follows its endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Invoke

LAB = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: health}
spec: {nodes: [node-1, node-2], clients: [{name: client}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.11}]}}
"""
NODES = ("192.168.0.10", "192.168.0.11")


def asked(invoke: Invoke, url: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of what the client gets."""
    done = invoke("lab.exec", "client", f"curl -si -m 3 http://{url}")
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.replace("\r", "").partition("\n\n")
    status, *rows = head.splitlines()
    headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rows)}
    return int(status.split()[1]), headers, body


def counts(invoke: Invoke) -> list[tuple[int, int]]:
    """Return (status, local endpoints) of each node."""
    found = []
    for node in NODES:
        status, headers, body = asked(invoke, f"{node}:32000/whatever")
        number = json.loads(body)["localEndpoints"]
        assert headers["x-load-balancing-endpoint-weight"] == str(number)
        found.append((status, number))
    return found


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_each_node_says_how_many_endpoints_it_has(invoke: Invoke, tmp_path: Path, mode: str) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    done = invoke("lab.up", str(tmp_path), "--mode", mode)
    assert done.returncode == 0, done.stderr
    assert counts(invoke) == [(200, 2), (200, 1)]
    status, headers, body = asked(invoke, f"{NODES[0]}:32000/")
    assert (headers["content-type"], headers["x-content-type-options"]) == ("application/json", "nosniff")
    assert body.splitlines()[1:4] == ['\t"service": {', '\t\t"namespace": "default",', '\t\t"name": "web"']
    for path, eligible in (("healthz", True), ("livez", False)):
        status, _, body = asked(invoke, f"{NODES[1]}:10256/{path}")
        assert status == 200
        said = json.loads(body)
        assert said["healthy"]
        assert ("nodeEligible" in said) is eligible
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", said["currentTime"])


def test_it_follows_the_endpoints_and_goes_with_its_service(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    assert invoke("lab.up", str(tmp_path)).returncode == 0

    def after(*words: str) -> list[tuple[int, int]]:
        done = invoke(*words)
        assert done.returncode == 0, done.stderr
        return counts(invoke)

    assert after("lab.condition", "web-1", "unready") == [(200, 1), (200, 1)]
    assert after("lab.scale", "web", "1") == [(503, 0), (503, 0)]
    assert after("lab.condition", "web-1", "ready") == [(200, 1), (503, 0)]
    assert after("lab.scale", "web", "4") == [(200, 2), (200, 2)]
    assert invoke("lab.delete", "service", "web").returncode == 0
    assert invoke("lab.exec", "client", f"curl -s -m 3 http://{NODES[0]}:32000/").returncode == 7  # refused
    assert asked(invoke, f"{NODES[0]}:10256/healthz")[0] == 200


def test_the_policy_cluster_has_no_health_check(lab: Callable[..., Invoke]) -> None:
    invoke = lab("nodeport")
    assert asked(invoke, f"{NODES[0]}:10256/livez")[0] == 200
    assert invoke("lab.exec", "node-1", "ss -Hltn").stdout.count("LISTEN") == 1
