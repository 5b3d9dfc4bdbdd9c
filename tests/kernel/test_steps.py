"""Expectations that look at marks and rules, and those that go on: what is changed for them is put back."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.standing import state

from .conftest import Invoke, invocation

TOPOLOGY = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: steps}
spec:
  nodes: [node-1, node-2]
  expect: %s
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: server
        ports: [{name: http, containerPort: 8080}, {name: echo, containerPort: 5353, protocol: UDP}]
---
apiVersion: v1
kind: Pod
metadata: {name: client-a}
spec: {nodeName: node-1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  sessionAffinity: ClientIP
  ports: [{name: http, port: 80, targetPort: http}, {name: echo, port: 53, protocol: UDP, targetPort: echo}]
---
apiVersion: v1
kind: Service
metadata: {name: plain}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"""
MODES = [("--iptables", "nft"), ("--iptables", "legacy"), ("--mode", "nftables")]
FROM_NODE = {
    "from": "node-1",
    "to": "svc/web:http",
    "mark": {"node": "node-1", "at": "postrouting", "is": 0x4000},
}
FROM_POD = {"from": "client-a", "to": "svc/web:http", "shares": "one"}
RULES = [
    "KUBE-SERVICES > KUBE-SVC",
    "KUBE-SVC > KUBE-SEP",
    "KUBE-SEP > DNAT",
    "KUBE-POSTROUTING > RETURN",
    "KUBE-FORWARD > ACCEPT",
    "services > service",
    "service > endpoint",
    "endpoint > update",
    "endpoint > dnat",
]
Lab = Callable[..., Invoke]


def write(folder: Path, *expectations: dict[str, Any]) -> str:
    """Write the topology with these expectations, and return its path."""
    path = folder / "steps.yaml"
    path.write_text(TOPOLOGY % json.dumps([{"it": f"number {n}", **one} for n, one in enumerate(expectations)]))
    return str(path)


def findings(invoke: Invoke) -> dict[tuple[str, str], bool]:
    """Return which finding of which sentence holds."""
    found = json.loads(invoke("lab.check", "--json").stdout)
    return {(one["it"], part["what"]): part["holds"] for one in found["expectations"] for part in one["findings"]}


def objects(invoke: Invoke) -> Any:
    shown = json.loads(invoke("lab.status", "--json").stdout)
    return {key: shown[key] for key in ("nodes", "services")}


@pytest.mark.parametrize("mode", MODES)
def test_steps_change_a_lab_and_put_it_back(lab: Lab, tmp_path: Path, mode: tuple[str, str]) -> None:
    moved = {"it": "moved", "change": {"web-1": "unready"}, "answer": {"by": "web-2"}}
    back = {"it": "moved back", "change": {"web-1": "ready", "web-2": "unready"}, "answer": {"by": "web-1"}}
    same = {"it": "sticks", "answer": {"again": True}}
    udp = {"from": "client-a", "to": "svc/web:echo", "protocol": "udp", "localPort": 40000, "then": [moved, back]}
    invoke = lab(write(tmp_path, {**FROM_POD, "then": [same]}, udp), *mode)
    before = objects(invoke)
    assert findings(invoke) == {
        ("number 0", "shares"): True,
        ("sticks", "answer"): True,
        ("sticks", "again"): True,
        ("number 1", "answer"): True,
        ("moved", "answer"): True,
        ("moved back", "answer"): True,
    }
    assert objects(invoke) == before
    assert invoke("lab.drift").returncode == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_mark_is_seen_where_the_packet_has_it_and_nothing_stays(
    lab: Lab, tmp_path: Path, mode: tuple[str, str]
) -> None:
    unmarked = {"from": "client-a", "to": "svc/web:http", "mark": [{"node": "node-1", "at": "forward", "is": 0}]}
    invoke = lab(write(tmp_path, FROM_NODE, unmarked), *mode)
    assert all(findings(invoke).values())
    tables = invoke("lab.exec", "node-1", "nft list tables")
    assert "hairpin" not in tables.stdout
    flush = "iptables -t nat -F KUBE-MARK-MASQ" if mode[1] == "nft" else "iptables-legacy -t nat -F KUBE-MARK-MASQ"
    if mode[1] == "nftables":
        flush = "nft flush chain ip kube-proxy services"
    assert invoke("lab.exec", "node-1", flush).returncode == 0
    assert findings(invoke)["number 0", "mark at postrouting on node-1"] is False


@pytest.mark.parametrize(
    ("mode", "disturb"),
    [
        (MODES[0], "iptables -t nat -I KUBE-SERVICES -j MARK --or-mark 0x10"),
        (MODES[1], "iptables-legacy -t nat -I KUBE-SERVICES -j MARK --or-mark 0x10"),
        (MODES[2], "nft insert rule ip kube-proxy services meta mark set 0x10"),
    ],
)
def test_exactly_the_rules_that_the_request_matched_are_found(
    lab: Lab, tmp_path: Path, mode: tuple[str, str], disturb: str
) -> None:
    wanted = {"from": "client-a", "to": "svc/web:http", "rules": {"node": "node-1", "hit": RULES}}
    invoke = lab(write(tmp_path, wanted), *mode)
    first = json.loads(invoke("lab.check", "--json").stdout)["expectations"][0]["findings"][0]
    assert first["holds"], first["observed"]
    assert invoke("lab.exec", "node-1", disturb).returncode == 0
    assert findings(invoke) == {("number 0", "rules on node-1"): False}


@pytest.fixture
def checking(lab: Lab, tmp_path: Path) -> Iterator[tuple[Invoke, subprocess.Popen[str]]]:
    """Give tasks on a lab, and a check of it that has come to a step which has changed the lab and lasts an hour."""
    step = {"it": "long after", "change": {"web-1": "unready"}, "after": "1h"}
    invoke = lab(write(tmp_path, {**FROM_POD, "then": [step]}))
    before = rules(invoke)
    argv = invocation("lab.check")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while rules(invoke) == before:
            assert process.poll() is None
        yield invoke, process
        process.kill()
    assert rules(invoke) == before
    assert invoke("lab.drift").returncode == 0


def rules(invoke: Invoke) -> str:
    """Return what packets meet, without counters."""
    return invoke("lab.exec", "node-1", "iptables -t nat -S").stdout


def test_a_check_that_is_interrupted_puts_the_lab_back(checking: tuple[Invoke, subprocess.Popen[str]]) -> None:
    _, process = checking
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0


def test_what_a_killed_check_has_changed_is_put_back_by_the_next_command_which_says_so(
    checking: tuple[Invoke, subprocess.Popen[str]],
) -> None:
    invoke, process = checking
    process.kill()
    process.wait(timeout=30)
    done = invoke("lab.condition", "client-a", "ready")
    assert done.returncode == 0
    assert "cut off" in done.stderr


def test_checks_of_one_lab_at_the_same_time_do_not_meet_in_it(lab: Lab, tmp_path: Path) -> None:
    moved = {"it": "moved", "change": {"web-1": "unready"}, "after": "300ms", "answer": {"by": "web-2"}}
    invoke = lab(write(tmp_path, {"from": "client-a", "to": "svc/plain", "shares": "equal", "then": [moved]}))
    before = objects(invoke)
    argv = invocation("lab.check")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as other:
        while (record := state.read("steps")) is None or record.pending is None:
            assert other.poll() is None
        assert invoke("lab.check").returncode == 0
        assert other.wait(timeout=30) == 0
    assert objects(invoke) == before
    assert invoke("lab.drift").returncode == 0


def test_nobody_changes_a_lab_amid_a_check(
    checking: tuple[Invoke, subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke, process = checking
    monkeypatch.setattr(state, "PATIENCE_S", 0.1)
    refused = invoke("lab.condition", "web-2", "unready")
    assert refused.returncode == 2
    assert "lab steps: another command is changing or checking it" in refused.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) != 0
