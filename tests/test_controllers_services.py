"""What Kubernetes' controllers give to Services, and the EndpointSlices that they write."""

from __future__ import annotations

import pytest

from lab.model.cluster import Cluster
from lab.model.kubernetes import EndpointHints
from tests.written import DUAL, SLICE, WEB, ZONES, build, cluster_ips, deployment, mistakes, node, pod, service

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


def test_given_slices_replace_derived_ones() -> None:
    text = deployment("web", 2) + service("web", "{selector: {app: web}, ports: [{port: 80}]}") + SLICE
    assert endpoints(build(text)) == {"web": [(["10.244.1.9"], [80])]}


def test_without_a_selector_there_are_no_slices() -> None:
    assert build(deployment("web", 2) + service("web")).slices == ()
