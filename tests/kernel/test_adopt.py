"""A real cluster's objects stand as a lab, in every mode: Services answer as they do there, from inside and outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Invoke

KUBEADM = ROOT / "tests" / "golden" / "cluster" / "kubeadm.yaml"
KIND = ROOT / "tests" / "golden" / "kubectl" / "kind.yaml"
MODES = {
    "iptables-nft": ("--iptables", "nft"),
    "iptables-legacy": ("--iptables", "legacy"),
    "nftables": ("--mode", "nftables"),
}
each_mode = pytest.mark.parametrize("options", MODES.values(), ids=MODES)
Lab = Callable[..., Invoke]
FRONTEND = "shop/frontend-5c9d8f7b6d-2fnm8"  # on worker-1


def reply(invoke: Invoke, *words: str) -> dict[str, Any]:
    """Return what came of a request: who answered, on which node, the source that it saw, or the error."""
    done = invoke("lab.curl", *words, "--timeout", "1.5", "--json")
    (found,) = json.loads(done.stdout)["replies"]
    return dict(found)


def by(invoke: Invoke, *words: str) -> str:
    """Return the pod that answered, or the error."""
    found = reply(invoke, *words)
    return str(found.get("pod") or found["error"])


@each_mode
def test_a_kubeadm_cluster_stands_and_its_services_answer(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("--from", str(KUBEADM), *options)
    asked = {
        "svc/kubernetes": "kube-system/kube-apiserver-cp-1",
        "svc/kube-system/kube-dns:dns-tcp": "kube-system/coredns-",
        "svc/kube-system/metrics-server": "kube-system/metrics-server-",
        "svc/shop/cart": "shop/cart-",
        "svc/shop/ledger": "endpoint-10-20-30-4",
        "svc/shop/checkout": "refused",
        "svc/shop/postgres:5432": "shop/postgres-",
    }
    found = {to: by(invoke, FRONTEND, to) for to in asked}
    assert not {to: (found[to], pod) for to, pod in asked.items() if not found[to].startswith(pod)}
    assert by(invoke, FRONTEND, "svc/kube-system/kube-dns:dns", "--udp").startswith("kube-system/coredns-")
    assert by(invoke, "cp-1", "svc/shop/cart").startswith("shop/cart-")
    assert invoke("lab.drift").returncode == 0


@each_mode
def test_its_load_balancer_is_reached_from_outside_and_sees_who_asks(lab: Lab, options: tuple[str, ...]) -> None:
    invoke = lab("--from", str(KUBEADM), *options)
    found = reply(invoke, "client", "http://203.0.113.80/")
    assert (found["node"], found["source"]["name"]) == ("worker-1", "client")
    nodes = {name: by(invoke, "client", f"{name}:31080") for name in ("worker-1", "worker-2", "worker-3")}
    assert nodes["worker-2"] == "timeout"  # policy Local, and no endpoint there
    assert nodes["worker-1"] != nodes["worker-3"]
    health = invoke("lab.exec", "client", "curl -s worker-1:32444; curl -s worker-2:32444").stdout
    assert [line.strip() for line in health.splitlines() if "localEndpoints" in line] == [
        '"localEndpoints": 1,',
        '"localEndpoints": 0,',
    ]
    assert by(invoke, "client", "203.0.113.81:80").startswith("whoami-")  # an external IP


def test_a_pod_that_becomes_unready_is_asked_no_more(lab: Lab) -> None:
    invoke = lab("--from", str(KUBEADM))
    assert invoke("lab.condition", "default/whoami-1", "unready").returncode == 0
    assert {by(invoke, FRONTEND, "svc/whoami") for _ in range(5)} == {"whoami-2"}
    assert invoke("lab.drift").returncode == 0


def test_a_pod_that_reaches_itself_is_masqueraded_as_its_node(lab: Lab) -> None:
    invoke = lab("--from", str(KUBEADM), "--only", "kube-system")
    found = reply(invoke, "kube-system/metrics-server-596474b58-lpjdm", "svc/kube-system/metrics-server")
    assert found["source"]["address"] == "10.1.1.22"  # as with Calico, whose nodes have no address on pods' cables


def test_standard_input_and_nothing_expected(invoke: Invoke) -> None:
    done = invoke("lab.up", "--from", "-", "--lab", "mine", stdin=KIND.read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    assert by(invoke, "client", "kind-worker:30053") == "refused"
    checked = invoke("lab.check")
    assert (checked.returncode, checked.stdout.strip()) == (0, "nothing was expected of this lab")


def test_a_file_that_is_no_cluster_leaves_nothing_behind(invoke: Invoke, runtime: Path) -> None:
    done = invoke("lab.up", "--from", "-", stdin="NAME  READY\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: standard input:1:1: 'NAME  READY' is no object")
    assert "kubectl get nodes,pods,services,endpointslices,configmap -A" in done.stderr
    assert not list(runtime.iterdir())
    assert invoke("lab.up", "clusterip", "--only", "shop").returncode == 2
