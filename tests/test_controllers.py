from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from lab.controllers import complete, notes
from lab.controllers.expect import in_short
from lab.errors import TopologyError
from lab.model.cluster import pod_cidrs
from lab.model.kubernetes import Node, ObjectMeta, Pod, PodSpec, Service
from lab.model.lab import Answer, Lab, LabMeta, LabSpec, Step
from lab.parse.place import places
from tests.written import (
    DUAL,
    SIX,
    SLICE,
    WEB,
    build,
    cluster_ips,
    deployment,
    ips,
    mistakes,
    node,
    pod,
    service,
)

# --- nodes and clients -----------------------------------------------------------------------------------------------


def test_nodes_clients_and_pods_have_kubernetes_usual_addresses_in_the_order_of_the_file() -> None:
    found = build(deployment("web", 3), "{nodes: [node-1, node-2], clients: [{name: client}, {name: other}]}")
    assert ips(found) == {
        "node-1": ["192.168.0.10"],
        "node-2": ["192.168.0.11"],
        "web-1": ["10.244.1.2"],
        "web-2": ["10.244.2.2"],
        "web-3": ["10.244.1.3"],
        "client": ["198.51.100.10"],
        "other": ["198.51.100.11"],
    }
    assert [str(pod_cidrs(one)[0]) for one in found.nodes] == ["10.244.1.0/24", "10.244.2.0/24"]


def test_a_lab_without_nodes_has_one() -> None:
    assert [one.metadata.name for one in build(spec="{}").nodes] == ["node-1"]


def test_a_name_in_nodes_may_have_a_node_object_and_others_follow() -> None:
    text = node("node-3", labels="{zone: c}") + node("node-1", labels="{zone: a}")
    found = build(text)
    assert [one.metadata.name for one in found.nodes] == ["node-1", "node-2", "node-3"]
    assert found.nodes[0].metadata.labels == {"kubernetes.io/hostname": "node-1", "zone": "a"}


def test_a_node_s_own_ranges_and_addresses_are_kept_and_given_to_nobody_else() -> None:
    text = node("node-2", "{podCIDR: 10.244.1.0/24}", status="{addresses: [{type: InternalIP, address: 192.168.0.10}]}")
    found = build(text, "{nodes: [node-1, node-2, node-3]}")
    assert [str(pod_cidrs(one)[0]) for one in found.nodes] == ["10.244.2.0/24", "10.244.1.0/24", "10.244.3.0/24"]
    assert [ips(found)[name] for name in ("node-1", "node-2", "node-3")] == [
        ["192.168.0.11"], ["192.168.0.10"], ["192.168.0.12"],
    ]  # fmt: skip


def test_a_node_s_wider_range_keeps_the_others_out_of_it() -> None:
    found = build(node("node-1", "{podCIDR: 10.244.0.0/20}"))
    assert [str(pod_cidrs(one)[0]) for one in found.nodes] == ["10.244.0.0/20", "10.244.16.0/24"]


def test_every_node_has_its_host_name_and_keeps_its_external_address() -> None:
    found = build(node("node-1", status="{addresses: [{type: ExternalIP, address: 203.0.113.1}]}"), "{}")
    assert [(one.type, one.address) for one in found.nodes[0].status.addresses] == [
        ("InternalIP", "192.168.0.10"), ("ExternalIP", "203.0.113.1"), ("Hostname", "node-1"),
    ]  # fmt: skip


def test_dual_stack_has_an_address_of_each_family_everywhere() -> None:
    found = build(
        deployment("web", 1) + service("web", "{ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}"),
        f"{{nodes: [node-1], clients: [{{name: client}}], network: {DUAL}}}",
    )
    assert ips(found) == {
        "node-1": ["192.168.0.10", "fd00:192:168::a"],
        "web-1": ["10.244.1.2", "fd00:10:244:1::2"],
        "client": ["198.51.100.10", "2001:db8:100::a"],
    }
    assert cluster_ips(found) == {"web": ("10.96.0.10", "fd00:10:96::a")}
    assert found.spec.network.node_cidr == "192.168.0.0/24,fd00:192:168::/64"
    assert found.spec.network.client_cidr == "198.51.100.0/24,2001:db8:100::/64"
    assert found.proxy.cluster_cidr == "10.244.0.0/16,fd00:10:244::/56"


def test_a_lab_can_have_ipv6_alone() -> None:
    found = build(deployment("web", 1) + service("web"), f"{{nodes: [node-1], network: {SIX}}}")
    assert ips(found) == {"node-1": ["fd00:192:168::a"], "web-1": ["fd00:10:244:1::2"]}
    assert cluster_ips(found) == {"web": ("fd00:10:96::a",)}
    assert found.spec.network.node_cidr == "fd00:192:168::/64"


# --- pods ------------------------------------------------------------------------------------------------------------


def test_pods_go_to_the_nodes_in_turn_unless_they_name_one() -> None:
    found = build(pod("a", "{nodeName: node-2}") + pod("b") + deployment("web", 2) + pod("c"))
    assert [(one.metadata.name, one.spec.node_name) for one in found.pods] == [
        ("a", "node-2"), ("b", "node-1"), ("web-1", "node-2"), ("web-2", "node-1"), ("c", "node-2"),
    ]  # fmt: skip


def test_a_given_pod_address_is_kept_and_given_to_nobody_else() -> None:
    text = pod("a") + pod("b", status="{podIP: 10.244.1.2}") + pod("c", status="{podIPs: [{ip: 10.244.1.9}]}")
    assert ips(build(text, "{nodes: [node-1]}")) == {
        "node-1": ["192.168.0.10"], "a": ["10.244.1.3"], "b": ["10.244.1.2"], "c": ["10.244.1.9"],
    }  # fmt: skip


def test_a_host_network_pod_has_its_node_s_addresses() -> None:
    found = build(pod("dns", "{hostNetwork: true}", status="{podIP: 172.18.0.2}"))
    assert ips(found)["dns"] == ["192.168.0.10"]
    assert str(found.pods[0].status.pod_ip) == "192.168.0.10"


def test_a_range_takes_253_pods_and_the_next_is_a_mistake() -> None:
    assert ips(build(deployment("web", 253), "{nodes: [node-1]}"))["web-253"] == ["10.244.1.254"]
    text = mistakes(deployment("web", 254), "{nodes: [node-1]}")
    assert "10.244.1.0/24 of node-1 is exhausted at pod web-254" in text


def test_two_host_network_pods_with_one_port_fit_on_two_nodes_not_on_one() -> None:
    spec = "{hostNetwork: true, containers: [{ports: [{containerPort: 80}]}]}"
    assert len(build(deployment("web", 2, spec)).pods) == 2
    text = mistakes(deployment("web", 3, spec))
    assert "the port 80/TCP is taken on node-1 by the host-network pod web-1" in text


def test_tcp_and_udp_may_share_a_number() -> None:
    text = pod("dns", "{containers: [{ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}]}]}")
    (found,) = build(text).pods
    assert [(one.container_port, one.protocol) for one in found.ports] == [(53, "TCP"), (53, "UDP")]


# --- EndpointSlices --------------------------------------------------------------------------------------------------


# --- what is wrong with the whole ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spec", "message"),
    [
        ("", "{network: {podCIDR: 10.96.0.0/12}}", "serviceCIDR 10.96.0.0/16 overlaps podCIDR 10.96.0.0/12"),
        ("", "{network: {nodeCIDR: 10.244.7.0/24}}", "nodeCIDR 10.244.7.0/24 overlaps podCIDR 10.244.0.0/16"),
        ("", "{network: {clientCIDR: 192.168.0.128/25}}", "overlaps nodeCIDR"),
        ("", "{network: {nodeCIDR: 224.0.0.0/24}}", "set aside for loopback, multicast"),
        (node("a", "{podCIDR: 10.244.1.0/24}") + node("b", "{podCIDR: 10.244.1.128/25}"), "{}", "a node's pod range"),
        ("", "{clients: [{name: c, addresses: [198.51.100.1]}]}", "198.51.100.1 is taken: router has it"),
        (pod("a", status="{podIP: 10.244.1.1}"), "{}", "10.244.1.1 is taken: the gateway of node-1's pods has it"),
        (pod("a", status="{podIP: 10.244.1.0}"), "{}", "10.244.1.0 is taken: the range 10.244.1.0/24 itself has it"),
        ("", "{network: {plugin: ptp, hairpinMode: none}}", "network.hairpinMode: with plugin ptp there is no bridge"),
        (pod("node-1"), "{}", "'node-1' is taken: node node-1 has it"),
        (pod("router"), "{}", "'router' is taken: the router has it"),
        (pod("client"), "{clients: [{name: client}]}", "'client' is taken: client client has it"),
        (pod("web-1") * 2, "{}", "'web-1' is taken: pod web-1 has it"),
        (service("web") * 2, "{}", "there is a Service 'web' already"),
        (node("a") * 2, "{}", "there is a Node 'a' already"),
        (service("a", "{ports: [{port: 80, targetPort: 0}]}"), "{}", "0 is out of range"),
        (SLICE.replace("web}", "wob}") + "---\n" + service("web"), "{}", "no Service 'wob'; expected web; did you"),
    ],
)  # fmt: skip
def test_what_clashes_is_a_mistake(text: str, spec: str, message: str) -> None:
    assert message in mistakes(text, spec)


def test_an_expectation_may_name_the_interfaces_of_the_labs_that_it_is_for() -> None:
    expected = "{it: x, from: a, to: 'b:80', answer: {source: node-1/cbr0}, when: {plugin: bridge}}"
    lab = build(pod("a") + pod("b"), f"{{network: {{plugin: ptp}}, expect: [{expected}]}}")
    assert lab.spec.expect[0].when.plugin == "bridge"
    always = expected.replace(", when: {plugin: bridge}", "")
    said = mistakes(pod("a") + pod("b"), f"{{network: {{plugin: ptp}}, expect: [{always}]}}")
    assert "node-1 has no interface 'cbr0'; expected eth0 or gateway" in said


def test_one_name_in_two_namespaces_is_two_pods() -> None:
    assert len(build(pod("a") + pod("a", namespace="other") + service("a") + service("a", namespace="other")).pods) == 2


def test_the_longest_names_are_good() -> None:
    assert len(build(pod("p" * 253) + pod("p" * 253, namespace="n" * 63)).pods) == 2


def test_objects_without_a_file_name_their_mistakes_by_kind_and_name() -> None:
    lab = Lab(metadata=LabMeta(name="test"), spec=LabSpec(nodes=("node-1",)))
    meta = ObjectMeta(name="web-1")
    assert complete(lab, [Pod(metadata=meta)]).pods[0].spec.node_name == "node-1"
    with pytest.raises(TopologyError, match=r"^Pod web-1: spec\.nodeName: there is no node 'node-2'; expected node-1"):
        complete(lab, [Node(metadata=ObjectMeta(name="node-1")), Pod(metadata=meta, spec=PodSpec(node_name="node-2"))])


def test_the_pods_that_may_answer_are_named_as_replies_name_them() -> None:
    text = pod("web-1") + pod("web-1", namespace="other") + pod("dns", namespace="kube-system")
    known = places(build(text, "{}"))
    step = Step(it="any", answer=Answer(by=("pod/other/web-1", "web-1", "dns")))
    assert in_short(known, step) == Step(it="any", answer=Answer(by=("other/web-1", "web-1", "kube-system/dns")))
    assert in_short(known, Step(it="any")) == Step(it="any")


# --- notes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (service("web", "{selector: {app: wbe}, ports: [{port: 80}]}"), "svc/web selects app=wbe, which no pod has"),
        (service("web"), "svc/web has no selector and no EndpointSlice"),
        (service("web", "{type: NodePort, ports: [{port: 80, nodePort: 80}]}"), "node port 80 only if told to"),
        (service("web", "{type: LoadBalancer, ports: [{port: 80}]}"), "nobody gives it an address"),
        (service("web") + SLICE, "web-x has endpoints that nobody answers for: 10.244.1.9"),
    ],
)
def test_what_is_allowed_and_may_surprise_is_said(text: str, note: str) -> None:
    assert any(note in one for one in notes(build(text)))


def test_a_good_lab_has_no_notes() -> None:
    assert notes(build(deployment("web", 2) + service("web", "{selector: {app: web}, ports: [{port: 80}]}"))) == ()


# --- size ------------------------------------------------------------------------------------------------------------


def test_a_large_cluster_is_completed_within_100_ms() -> None:
    lab = Lab(metadata=LabMeta(name="big"), spec=LabSpec(nodes=tuple(f"node-{number}" for number in range(10))))
    sample = build(pod("a", WEB) + service("web", "{type: NodePort, ports: [{port: 80, targetPort: http}]}"))
    spec, one = sample.pods[0].spec, sample.services[0]
    spec = PodSpec(containers=spec.containers)
    pods = [
        Pod(metadata=ObjectMeta(name=f"web-{number}", labels={"app": f"a{number % 500}", "x": "y"}), spec=spec)
        for number in range(1000)
    ]
    services = [_service(one, number) for number in range(500)]
    cluster = complete(lab, [*pods, *services])
    assert (len(cluster.pods), len(cluster.slices)) == (1000, 500)
    took = []
    for _ in range(3):  # the best of three: the machine has other things to do
        began = time.perf_counter()
        complete(lab, [*pods, *services])
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1


def _service(one: Service, number: int) -> Service:
    spec = replace(one.spec, selector={"x": "y", "app": f"a{number}"}, cluster_ip="", cluster_ips=())
    spec = replace(spec, ports=tuple(replace(port, node_port=0) for port in spec.ports))
    return replace(one, metadata=ObjectMeta(name=f"s{number}"), spec=spec)
