from __future__ import annotations

import time

import pytest
from msgspec.structs import replace

from lab.controllers import complete, notes
from lab.controllers.expect import in_short
from lab.errors import TopologyError
from lab.model.cluster import Cluster, node_addresses, pod_addresses, pod_cidrs
from lab.model.kubernetes import EndpointHints, Node, ObjectMeta, Pod, PodSpec, Service
from lab.model.lab import Answer, Lab, LabMeta, LabSpec, Step
from lab.parse.place import places
from lab.topology import read

DUAL = "{podCIDR: '10.244.0.0/16,fd00:10:244::/56', serviceCIDR: '10.96.0.0/16,fd00:10:96::/112'}"
SIX = "{podCIDR: 'fd00:10:244::/56', serviceCIDR: 'fd00:10:96::/112'}"


def build(text: str = "", spec: str = "{nodes: [node-1, node-2]}") -> Cluster:
    """Return the cluster of a Lab spec and of objects, which are separated by `---`."""
    lab = f"apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {{name: test}}\nspec: {spec}\n"
    return read(f"{lab}---\n{text}" if text else lab, "lab.yaml").cluster


def mistakes(text: str = "", spec: str = "{nodes: [node-1, node-2]}") -> str:
    with pytest.raises(TopologyError) as caught:
        build(text, spec)
    return caught.value.message


def pod(name: str, spec: str = "{}", *, labels: str = "{}", namespace: str = "default", status: str = "{}") -> str:
    meta = f"{{name: {name}, namespace: {namespace}, labels: {labels}}}"
    return f"apiVersion: v1\nkind: Pod\nmetadata: {meta}\nspec: {spec}\nstatus: {status}\n---\n"


def service(name: str, spec: str = "{ports: [{port: 80}]}", *, namespace: str = "default") -> str:
    meta = f"{{name: {name}, namespace: {namespace}}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {meta}\nspec: {spec}\n---\n"


def deployment(name: str, replicas: int, spec: str = "{}", *, labels: str = "{app: web}") -> str:
    template = f"{{metadata: {{labels: {labels}}}, spec: {spec}}}"
    meta = f"{{name: {name}}}"
    spec = f"{{replicas: {replicas}, selector: {{matchLabels: {labels}}}, template: {template}}}"
    return f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {meta}\nspec: {spec}\n---\n"


def node(name: str, spec: str = "{}", *, labels: str = "{}", status: str = "{}") -> str:
    meta = f"{{name: {name}, labels: {labels}}}"
    return f"apiVersion: v1\nkind: Node\nmetadata: {meta}\nspec: {spec}\nstatus: {status}\n---\n"


def ips(cluster: Cluster) -> dict[str, list[str]]:
    """Return the addresses of all machines by name."""
    found = {one.metadata.name: node_addresses(one) for one in cluster.nodes}
    found |= {one.metadata.name: pod_addresses(one) for one in cluster.pods}
    found |= {one.name: one.addresses for one in cluster.spec.clients}
    return {name: [str(address) for address in addresses] for name, addresses in found.items()}


def cluster_ips(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    return {one.metadata.name: one.spec.cluster_ips for one in cluster.services}


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
    build(pod("dns", "{containers: [{ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}]}]}"))


# --- Services --------------------------------------------------------------------------------------------------------


def test_cluster_ips_begin_at_10_and_go_round_given_ones() -> None:
    text = service("a") + service("b", "{clusterIP: 10.96.0.10, ports: [{port: 80}]}") + service("c")
    assert cluster_ips(build(text)) == {"a": ("10.96.0.11",), "b": ("10.96.0.10",), "c": ("10.96.0.12",)}


def test_a_small_range_is_used_to_its_end_and_then_from_its_beginning() -> None:
    text = "".join(service(f"s{number}") for number in range(5))
    found = build(text, "{network: {serviceCIDR: 10.96.0.0/28}}")
    assert [one[0] for one in cluster_ips(found).values()] == [f"10.96.0.{last}" for last in (10, 11, 12, 13, 14)]
    more = "".join(service(f"s{number}") for number in range(13))
    found = build(more, "{network: {serviceCIDR: 10.96.0.0/28}}")
    assert [one[0] for one in cluster_ips(found).values()][5:] == [f"10.96.0.{last}" for last in range(2, 10)]
    more += service("last")
    assert "10.96.0.0/28 is exhausted: svc/last gets no ClusterIP" in mistakes(
        more, "{network: {serviceCIDR: 10.96.0.0/28}}"
    )


def test_a_service_cidr_object_widens_what_may_be_given() -> None:
    text = service("web", "{clusterIP: 172.20.0.115, ports: [{port: 80}]}")
    assert "set spec.network.serviceCIDR" in mistakes(text)
    more = "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: m}\nspec: {cidrs: [172.20.0.0/16]}\n"
    assert cluster_ips(build(text + more)) == {"web": ("172.20.0.115",)}


def test_families_and_policy_are_those_of_the_api_server() -> None:
    spec = f"{{network: {DUAL}}}"
    text = (
        service("plain")
        + service("six", "{ipFamilies: [IPv6], ports: [{port: 80}]}")
        + service("both", "{ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6], ports: [{port: 80}]}")
        + service("given", "{clusterIP: 'fd00:10:96::9', ports: [{port: 80}]}")
    )
    found = build(text, spec)
    assert [(one.spec.ip_families, one.spec.ip_family_policy) for one in found.services] == [
        (("IPv4",), "SingleStack"),
        (("IPv6",), "SingleStack"),
        (("IPv6", "IPv4"), "RequireDualStack"),
        (("IPv6",), "SingleStack"),
    ]
    assert [one.spec.cluster_ip for one in found.services] == [
        "10.96.0.10", "fd00:10:96::a", "fd00:10:96::b", "fd00:10:96::9",
    ]  # fmt: skip


def test_headless_and_external_name_services_have_no_address() -> None:
    text = service("db", "{clusterIP: None}") + service("ext", "{type: ExternalName, externalName: example.com}")
    assert cluster_ips(build(text)) == {"db": ("None",), "ext": ()}


def test_node_ports_begin_at_30000_go_round_given_ones_and_are_one_for_both_protocols() -> None:
    text = (
        service("a", "{type: NodePort, ports: [{name: t, port: 53}, {name: u, port: 53, protocol: UDP}]}")
        + service("b", "{type: NodePort, ports: [{port: 80, nodePort: 30001}]}")
        + service("c", "{type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]}")
        + service("d", "{type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]}")
        + service("e")
    )
    found = build(text)
    assert [[port.node_port for port in one.spec.ports] for one in found.services] == [
        [30000, 30002], [30001], [30003], [0], [0],
    ]  # fmt: skip
    assert [one.spec.health_check_node_port for one in found.services] == [0, 0, 30004, 0, 0]


def test_a_node_port_may_serve_tcp_and_udp() -> None:
    ports = "[{name: t, port: 53, nodePort: 30053}, {name: u, port: 53, protocol: UDP, nodePort: 30053}]"
    assert build(service("dns", f"{{type: NodePort, ports: {ports}}}")).services[0].spec.ports[1].node_port == 30053


# --- EndpointSlices --------------------------------------------------------------------------------------------------

WEB = "{containers: [{ports: [{name: http, containerPort: 8080}]}]}"


def endpoints(cluster: Cluster) -> dict[str, list[tuple[list[str], list[int | None]]]]:
    """Return, by Service, the addresses and the ports of each slice."""
    found: dict[str, list[tuple[list[str], list[int | None]]]] = {}
    for one in cluster.slices:
        name = one.metadata.labels["kubernetes.io/service-name"]
        addresses = [str(endpoint.addresses[0]) for endpoint in one.endpoints]
        found.setdefault(name, []).append((addresses, [port.port for port in one.ports]))
    return found


def test_a_selector_gives_a_slice_as_the_controller_writes_it() -> None:
    text = node("node-1", labels="{topology.kubernetes.io/zone: zone-a}") + deployment("web", 1, WEB)
    text += service("web", "{selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}")
    (one,) = build(text, "{}").slices
    (endpoint,) = one.endpoints
    assert one.metadata.labels == {
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert (one.address_type, one.ports[0].name, one.ports[0].port) == ("IPv4", "http", 8080)
    assert (endpoint.node_name, endpoint.zone) == ("node-1", "zone-a")
    assert endpoint.target_ref is not None
    assert endpoint.target_ref.name == "web-1"
    assert (endpoint.conditions.ready, endpoint.conditions.terminating) == (True, False)


def test_a_selector_wants_all_of_its_labels_and_the_namespace() -> None:
    text = (
        pod("a", labels="{app: web, tier: x}") + pod("b", labels="{app: web}")
        + pod("c", labels="{app: web, tier: x}", namespace="other")
        + service("web", "{selector: {app: web, tier: x}, ports: [{port: 80}]}")
    )  # fmt: skip
    assert endpoints(build(text)) == {"web": [(["10.244.1.2"], [80])]}


def test_a_named_target_port_is_each_pod_s_own() -> None:
    text = pod("a", WEB, labels="{app: web}") + pod("b", WEB.replace("8080", "9090"), labels="{app: web}")
    text += pod("c", labels="{app: web}")
    text += service("web", "{selector: {app: web}, ports: [{port: 80, targetPort: http}]}")
    assert endpoints(build(text)) == {"web": [(["10.244.1.2"], [8080]), (["10.244.2.2"], [9090])]}


def test_a_dual_stack_service_has_a_slice_of_each_family() -> None:
    spec = "{selector: {app: web}, ipFamilyPolicy: PreferDualStack, ports: [{port: 80}]}"
    found = build(deployment("web", 1) + service("web", spec), f"{{network: {DUAL}}}")
    assert [(one.address_type, str(one.endpoints[0].addresses[0])) for one in found.slices] == [
        ("IPv4", "10.244.1.2"), ("IPv6", "fd00:10:244:1::2"),
    ]  # fmt: skip


def test_a_headless_service_has_a_labelled_slice_even_without_ports() -> None:
    found = build(deployment("db", 1) + service("db", "{clusterIP: None, selector: {app: web}}"))
    assert endpoints(found) == {"db": [(["10.244.1.2"], [])]}
    assert found.slices[0].metadata.labels["service.kubernetes.io/headless"] == ""


ZONE = "{{topology.kubernetes.io/zone: {}}}"
ZONES = node("node-1", labels=ZONE.format("a")) + node("node-2", labels=ZONE.format("b")) + node("node-3")
ZONES += deployment("web", 3, WEB)


@pytest.mark.parametrize(
    ("spec", "annotations", "zones", "nodes"),
    [
        ("", "{}", ["", "", ""], ["", "", ""]),
        ("trafficDistribution: PreferClose, ", "{}", ["a", "b", ""], ["", "", ""]),
        ("trafficDistribution: PreferSameZone, ", "{}", ["a", "b", ""], ["", "", ""]),
        ("trafficDistribution: PreferSameNode, ", "{}", ["a", "b", ""], ["node-1", "node-2", "node-3"]),
        ("trafficDistribution: PreferSameZone, ", "{service.kubernetes.io/topology-mode: Auto}", [""] * 3, [""] * 3),
    ],
)
def test_traffic_distribution_gives_each_ready_endpoint_the_hint_of_its_own_place(
    spec: str, annotations: str, zones: list[str], nodes: list[str]
) -> None:
    web = service("web", f"{{{spec}selector: {{app: web}}, ports: [{{port: 80}}]}}")
    web = web.replace("metadata: {", f"metadata: {{annotations: {annotations}, ")
    (one,) = build(ZONES + web, "{}").slices
    hints = [endpoint.hints or EndpointHints() for endpoint in one.endpoints]
    assert ["".join(zone.name for zone in hint.for_zones) for hint in hints] == zones
    assert ["".join(one.name for one in hint.for_nodes) for hint in hints] == nodes


def test_an_endpoint_that_is_not_ready_gets_no_hint() -> None:
    text = ZONES + pod("web-4", labels="{app: web}", status="{conditions: [{type: Ready, status: 'False'}]}")
    text += service("web", "{trafficDistribution: PreferSameNode, selector: {app: web}, ports: [{port: 80}]}")
    (one,) = build(text, "{}").slices
    assert [endpoint.hints is None for endpoint in one.endpoints].count(True) == 1


def test_a_pod_that_has_run_to_its_end_is_nowhere_and_its_address_is_free() -> None:
    ended = pod("job-1", labels="{app: web}", status="{phase: Succeeded, podIP: 10.244.1.2}")
    ended += pod("job-2", labels="{app: web}", status="{phase: Failed}")
    found = build(ended + deployment("web", 1) + service("web", "{selector: {app: web}, ports: [{port: 80}]}"))
    assert [one.metadata.name for one in found.pods] == ["web-1"]
    assert endpoints(found) == {"web": [(["10.244.1.2"], [80])]}


SLICE = """apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.9], nodeName: node-1}]
ports: [{port: 80}]
"""


def test_given_slices_replace_derived_ones() -> None:
    text = deployment("web", 2) + service("web", "{selector: {app: web}, ports: [{port: 80}]}") + SLICE
    assert endpoints(build(text)) == {"web": [(["10.244.1.9"], [80])]}


def test_without_a_selector_there_are_no_slices() -> None:
    assert build(deployment("web", 2) + service("web")).slices == ()


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
