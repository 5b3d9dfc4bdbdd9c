"""Health checks as kube-proxy answers them: who is asked where, and what comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from lab import topology
from lab.model.ops import Health
from lab.plan.difference import difference
from lab.plan.health import EVERYWHERE, healths
from lab.serve.answer import Content
from lab.serve.health import content

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WEB = Health(
    netns="node-1",
    pod="kube-proxy:default/web:ipv4",
    node="node-1",
    addresses=(EVERYWHERE["ipv4"],),
    port=32000,
    service="default/web",
    endpoints=2,
    families=("ipv4",),
)
PROXY = Health(
    netns="node-1",
    pod="kube-proxy",
    node="node-1",
    addresses=(EVERYWHERE["ipv4"],),
    port=10256,
    families=("ipv4", "ipv6"),
)
LAB = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: a}
spec: {nodes: [node-1, node-2]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{ports: [{containerPort: 8080}, {containerPort: 8081}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  selector: {app: web}
  ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 81, targetPort: 8081}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.11}]}}
"""
CONFIG = "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def checks(replicas: int = 3, more: str = "") -> list[Health]:
    return list(healths(topology.read(LAB.replace("REPLICAS", str(replicas)) + more, "a").cluster))


def test_a_service_with_local_endpoints_is_well() -> None:
    assert content(WEB, "/anything", NOW) == Content(
        status=200,
        type="application/json",
        body=(
            b'{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n'
            b'\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}'
        ),
        headers=(("X-Content-Type-Options", "nosniff"), ("X-Load-Balancing-Endpoint-Weight", "2")),
    )


def test_without_local_endpoints_it_is_503() -> None:
    reply = content(Health(**{field: getattr(WEB, field) for field in WEB.__slots__} | {"endpoints": 0}), "/", NOW)
    assert reply.status == 503
    assert json.loads(reply.body)["localEndpoints"] == 0
    assert reply.headers[-1] == ("X-Load-Balancing-Endpoint-Weight", "0")


@pytest.mark.parametrize(("path", "eligible"), [("/healthz", True), ("/livez", False), ("/healthz?verbose", True)])
def test_kube_proxy_itself_is_healthy_in_both_families(path: str, *, eligible: bool) -> None:
    reply = content(PROXY, path, NOW)
    time = "2026-01-02T03:04:05Z"
    family = {"lastUpdated": time, "healthy": True}
    assert (reply.status, reply.type) == (200, "application/json")
    assert json.loads(reply.body) == {
        "lastUpdated": time,
        "currentTime": time,
        **({"nodeEligible": True} if eligible else {}),
        "healthy": True,
        "status": {"IPv4": family, "IPv6": family},
    }
    assert b" " not in reply.body  # as Go's encoding/json writes
    assert reply.headers == content(PROXY, "/", NOW).headers == (("X-Content-Type-Options", "nosniff"),)
    assert content(PROXY, "/", NOW).status == 404


@pytest.mark.parametrize(("microsecond", "shown"), [(0, ""), (120_000, ".12"), (7, ".000007")])
def test_a_time_is_written_as_go_does(microsecond: int, shown: str) -> None:
    reply = content(PROXY, "/livez", NOW.replace(microsecond=microsecond))
    assert json.loads(reply.body)["currentTime"] == f"2026-01-02T03:04:05{shown}Z"


def test_every_node_answers_for_itself_and_counts_its_own_addresses() -> None:
    found = [(one.node, one.port, one.service, one.endpoints) for one in checks()]
    assert found == [
        ("node-1", 10256, "", 0),
        ("node-1", 32000, "default/web", 2),
        ("node-2", 10256, "", 0),
        ("node-2", 32000, "default/web", 1),
    ]
    assert {str(address) for one in checks() for address in one.addresses} == {str(EVERYWHERE["ipv4"])}


def test_an_endpoint_that_is_not_ready_does_not_count() -> None:
    slice_ = """---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
endpoints:
- {addresses: [10.244.1.2], nodeName: node-1, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.244.1.4], nodeName: node-1}
ports: [{name: a, port: 8080}]
"""
    assert [one.endpoints for one in checks(more=slice_) if one.service] == [1, 0]


def test_restricted_node_ports_restrict_it_too() -> None:
    for more in (f"{CONFIG}mode: nftables\n", f"{CONFIG}nodePortAddresses: [192.168.0.0/24]\n"):
        found = [one.addresses for one in checks(more=more) if one.service]
        assert found == [(ip_address("192.168.0.10"),), (ip_address("192.168.0.11"),)]
    found = [one.addresses for one in checks(more=f"{CONFIG}bindAddress: '::'\n") if not one.service]
    assert found == [(ip_address("::"),)] * 2


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1:10300", "127.0.0.1", 10300),
        ("127.0.0.1", "127.0.0.1", 10256),
        ("'[::1]:10300'", "::1", 10300),
        ("'::'", "::", 10256),
        ("''", str(EVERYWHERE["ipv4"]), 10256),
    ],
)
def test_kube_proxy_itself_answers_where_it_is_told_to(text: str, address: str, port: int) -> None:
    own = [one for one in checks(more=f"{CONFIG}healthzBindAddress: {text}\n") if not one.service]
    assert {(one.addresses, one.port) for one in own} == {((ip_address(address),), port)}


def test_a_service_with_policy_cluster_has_no_health_check() -> None:
    text = LAB.replace("REPLICAS", "1").replace("externalTrafficPolicy: Local", "externalTrafficPolicy: Cluster")
    assert not [one for one in healths(topology.read(text, "a").cluster) if one.service]


def test_both_families_count_their_own() -> None:
    text = LAB.replace("REPLICAS", "1").replace(
        "{nodes: [node-1, node-2]}",
        "{nodes: [node-1], network: {podCIDR: '10.244.0.0/16,fd00:10:244::/56',"
        " serviceCIDR: '10.96.0.0/16,fd00:96::/112', nodeCIDR: '192.168.0.0/24,fd00:168::/64'}}",
    )
    text = text.replace("type: LoadBalancer", "type: LoadBalancer\n  ipFamilyPolicy: PreferDualStack")
    found = [one for one in healths(topology.read(text, "a").cluster) if one.service]
    assert [(one.pod, str(one.addresses[0]), one.endpoints) for one in found] == [
        ("kube-proxy:default/web:ipv4", str(EVERYWHERE["ipv4"]), 1),
        ("kube-proxy:default/web:ipv6", "::", 1),
    ]


def test_a_change_of_endpoints_is_told_and_a_service_that_goes_answers_no_more() -> None:
    three, two = (topology.read(LAB.replace("REPLICAS", str(number)), "a").cluster for number in (3, 2))
    told = [op for op in difference(three, two).before if isinstance(op, Health)]
    assert [(op.node, op.endpoints) for op in told] == [("node-1", 1)]
    nobody = topology.read(LAB.replace("REPLICAS", "2").replace("Policy: Local", "Policy: Cluster"), "a").cluster
    ended = [op.pod for op in difference(two, nobody).after if hasattr(op, "pod")]
    assert ended == ["kube-proxy:default/web:ipv4"] * 2
