"""Labs with the rules of Kubernetes 1.20: what holds today held then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Invoke

LOCAL = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: balancer}
spec:
  nodes: [node-1, node-2]
  clients: [{name: client}]
  release: classic
  expect:
  - it: this node's endpoint serves the client, and sees it
    from: client
    to: node-1:30080
    answer: {by: web, source: client}
    flow: {node: node-1, dnat: true, snat: false}
  - it: what is marked to be dropped is dropped on its way in
    from: client
    to: node-2:30080
    error: timeout
    flow: {node: node-2, answered: false, dnat: false}
  - it: a pod is short-cut to the Service
    from: other
    to: node-2:30080
    answer: {by: web, source: other}
  - it: the node itself is, too, and masqueraded
    from: node-2
    to: node-2:30080
    answer: {by: web, source: node-2}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: node-1, containers: [{ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other}
spec: {nodeName: node-2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
"""


@pytest.mark.parametrize("variant", ["nft", "legacy"])
@pytest.mark.parametrize("topology", ["clusterip", "hairpin", "nodeport", "octopus"])
def test_every_topology_holds_in_the_classic_release(lab: Callable[..., Invoke], topology: str, variant: str) -> None:
    invoke = lab(topology, "--release", "classic", "--iptables", variant)
    assert "KUBE-MARK-DROP" in invoke("lab.exec", "node-1", f"iptables-{variant} -t nat -S").stdout
    checked = invoke("lab.check")
    assert checked.returncode == 0, checked.stdout


def test_policy_local_is_kube_xlb_and_kube_mark_drop(invoke: Invoke) -> None:
    done = invoke("lab.up", "/dev/stdin", stdin=LOCAL)
    assert done.returncode == 0, done.stderr
    checked = invoke("lab.check")
    assert checked.returncode == 0, checked.stdout
    counted = invoke("lab.exec", "node-2", "iptables -nvxL KUBE-FIREWALL").stdout
    assert [line for line in counted.splitlines() if "mark match 0x8000/0x8000" in line and line.split()[0] != "0"]
