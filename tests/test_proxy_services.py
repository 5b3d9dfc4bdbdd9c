"""Services and EndpointSlices become the service ports that kube-proxy would see."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace

from lab.errors import TopologyError
from lab.model import kubernetes as k8s
from lab.model.service import ServiceUnit
from lab.proxy.services import units

HTTP = k8s.ServicePort(name="http", port=80)
SPEC = k8s.ServiceSpec(cluster_ip="10.96.0.10", cluster_ips=("10.96.0.10",), ip_families=("IPv4",), ports=(HTTP,))


def service(spec: k8s.ServiceSpec = SPEC, *, ingress: tuple[k8s.LoadBalancerIngress, ...] = ()) -> k8s.Service:
    return k8s.Service(
        metadata=k8s.ObjectMeta(name="web"),
        spec=spec,
        status=k8s.ServiceStatus(load_balancer=k8s.LoadBalancerStatus(ingress=ingress)),
    )


def endpoint(address: str, **conditions: bool) -> k8s.SliceEndpoint:
    return k8s.SliceEndpoint(addresses=(ip_address(address),), conditions=k8s.EndpointConditions(**conditions))


def a_slice(
    *endpoints: k8s.SliceEndpoint, name: str = "web-a", port: k8s.EndpointPort | None = None
) -> k8s.EndpointSlice:
    return k8s.EndpointSlice(
        metadata=k8s.ObjectMeta(name=name, labels={"kubernetes.io/service-name": "web"}),
        endpoints=endpoints,
        ports=(port or k8s.EndpointPort(name="http", port=8080),),
    )


def only(spec: k8s.ServiceSpec = SPEC, *slices: k8s.EndpointSlice) -> ServiceUnit:
    (unit,) = units([service(spec)], slices, "ipv4")
    return unit


def addresses(unit: ServiceUnit) -> list[str]:
    return [f"{one.address}:{one.port}" for one in unit.endpoints]


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, cluster_ip="None", cluster_ips=("None",)),
        replace(SPEC, cluster_ip="", cluster_ips=()),
        replace(SPEC, type="ExternalName", external_name="example.org"),
        replace(SPEC, ports=()),
    ],
)
def test_headless_external_name_and_portless_services_are_nothing(spec: k8s.ServiceSpec) -> None:
    assert units([service(spec)], [], "ipv4") == ()


def test_a_service_of_another_proxy_is_left_alone() -> None:
    meta = k8s.ObjectMeta(name="web", labels={"service.kubernetes.io/service-proxy-name": ""})
    assert units([replace(service(), metadata=meta)], [], "ipv4") == ()


def test_a_dual_stack_service_has_a_port_in_each_family() -> None:
    spec = replace(SPEC, cluster_ips=("10.96.0.10", "fd00:10:96::10"), ip_families=("IPv4", "IPv6"))
    (ipv4,), (ipv6,) = (units([service(spec)], [], family) for family in ("ipv4", "ipv6"))
    assert (ipv4.cluster_ip, ipv6.cluster_ip) == (ip_address("10.96.0.10"), ip_address("fd00:10:96::10"))


def test_a_service_without_families_has_the_family_of_its_address() -> None:
    spec = replace(SPEC, cluster_ip="fd00::10", cluster_ips=(), ip_families=())
    assert units([service(spec)], [], "ipv4") == ()
    assert units([service(spec)], [], "ipv6")[0].cluster_ip == ip_address("fd00::10")


def test_leading_zeros_of_an_old_cluster_ip_are_dropped() -> None:
    assert only(replace(SPEC, cluster_ip="010.096.0.1", cluster_ips=("010.096.0.1",))).cluster_ip == ip_address(
        "10.96.0.1"
    )


def test_ports_are_sorted_by_name_and_protocol() -> None:
    named: tuple[tuple[str, k8s.Protocol], ...] = (("b", "TCP"), ("a", "UDP"), ("a", "TCP"))
    dns = tuple(k8s.ServicePort(name=name, port=53, protocol=protocol) for name, protocol in named)
    found = units([service(replace(SPEC, ports=dns))], [], "ipv4")
    assert [(unit.port_name, unit.protocol) for unit in found] == [("a", "TCP"), ("a", "UDP"), ("b", "TCP")]


def test_addresses_of_the_other_family_are_ignored() -> None:
    spec = replace(
        SPEC,
        external_ips=(ip_address("198.51.100.1"), ip_address("2001:db8::1")),
        load_balancer_source_ranges=("198.51.100.0/24", "2001:db8::/32"),
    )
    ingress = tuple(k8s.LoadBalancerIngress(ip=ip_address(text)) for text in ("2001:db8::2", "203.0.113.1"))
    (unit,) = units([service(spec, ingress=ingress)], [], "ipv4")
    assert unit.external_ips == (ip_address("198.51.100.1"),)
    assert unit.load_balancer_ips == (ip_address("203.0.113.1"),)
    assert unit.source_ranges == (ip_network("198.51.100.0/24"),)


def test_ingress_counts_with_an_address_of_mode_vip_whatever_the_type() -> None:
    ingress = (
        k8s.LoadBalancerIngress(),
        k8s.LoadBalancerIngress(ip=ip_address("203.0.113.1"), ip_mode="Proxy"),
        k8s.LoadBalancerIngress(ip=ip_address("203.0.113.2")),
    )
    (unit,) = units([service(ingress=ingress)], [], "ipv4")
    assert unit.load_balancer_ips == (ip_address("203.0.113.2"),)


def test_a_gate_turns_external_ips_off() -> None:
    spec = replace(SPEC, external_ips=(ip_address("198.51.100.1"),))
    assert units([service(spec)], [], "ipv4", external_ips=False)[0].external_ips == ()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((" 192.0.2.7/32 ", "198.51.100.9/24"), ("192.0.2.7/32", "198.51.100.0/24")),
        (("192.0.2.7/32", "0.0.0.0/0"), ()),  # everybody
        (("2001:db8::/32",), ()),  # only the other family: as if there were none
        (("::/0", "192.0.2.7/32"), ("192.0.2.7/32",)),  # everybody else's family
    ],
)
def test_source_ranges_of_everybody_are_none(texts: tuple[str, ...], expected: tuple[str, ...]) -> None:
    unit = only(replace(SPEC, load_balancer_source_ranges=texts))
    assert tuple(map(str, unit.source_ranges)) == expected


def test_a_source_range_that_is_none_is_refused() -> None:
    with pytest.raises(TopologyError, match="range"):
        only(replace(SPEC, load_balancer_source_ranges=("everybody",)))


@pytest.mark.parametrize(
    ("kind", "external_ips", "local"),
    [
        ("ClusterIP", (), False),
        ("ClusterIP", ("2001:db8::1",), True),
        ("NodePort", (), True),
        ("LoadBalancer", (), True),
    ],
)
def test_external_policy_local_needs_external_traffic(kind: Any, external_ips: tuple[str, ...], local: bool) -> None:
    spec = k8s.ServiceSpec(
        type=kind,
        cluster_ip="10.96.0.10",
        ports=(HTTP,),
        external_ips=tuple(map(ip_address, external_ips)),
        external_traffic_policy="Local",
        health_check_node_port=32000,
    )
    assert only(spec).external_local is local
    assert only(spec).health_check_node_port == (32000 if kind == "LoadBalancer" else 0)


def test_a_health_check_port_counts_only_with_policy_local() -> None:
    assert only(replace(SPEC, type="LoadBalancer", health_check_node_port=32000)).health_check_node_port == 0


def test_affinity_lasts_three_hours_unless_said() -> None:
    assert only().affinity_seconds == 0
    spec = replace(SPEC, session_affinity="ClientIP")
    assert only(spec).affinity_seconds == 10_800
    config = k8s.SessionAffinityConfig(client_ip=k8s.ClientIPConfig(timeout_seconds=90))
    assert only(replace(spec, session_affinity_config=config)).affinity_seconds == 90
    assert only(replace(SPEC, session_affinity_config=config)).affinity_seconds == 0


def test_endpoints_are_sorted_by_their_text() -> None:
    unit = only(SPEC, a_slice(*map(endpoint, ("10.1.1.9", "10.1.1.1", "10.1.1.11"))))
    assert addresses(unit) == ["10.1.1.11:8080", "10.1.1.1:8080", "10.1.1.9:8080"]


@pytest.mark.parametrize(
    "port",
    [
        k8s.EndpointPort(name="other", port=8080),
        k8s.EndpointPort(name="http", port=8080, protocol="UDP"),
        k8s.EndpointPort(port=8080),  # no name is not the empty name
        k8s.EndpointPort(name="http"),
        k8s.EndpointPort(name="http", port=0),
    ],
)
def test_a_port_of_a_slice_matches_by_name_and_protocol(port: k8s.EndpointPort) -> None:
    assert only(SPEC, a_slice(endpoint("10.1.1.1"), port=port)).endpoints == ()


def test_an_unnamed_port_matches_the_empty_name() -> None:
    spec = replace(SPEC, ports=(k8s.ServicePort(port=80),))
    assert addresses(only(spec, a_slice(endpoint("10.1.1.1"), port=k8s.EndpointPort(name="", port=8080)))) == [
        "10.1.1.1:8080"
    ]


def test_slices_of_other_services_families_and_kinds_are_ignored() -> None:
    good = a_slice(endpoint("10.1.1.1"))
    labels = good.metadata.labels
    slices = (
        replace(good, metadata=k8s.ObjectMeta(name="x", namespace="other", labels=labels)),
        replace(good, metadata=k8s.ObjectMeta(name="x")),
        replace(good, metadata=k8s.ObjectMeta(name="x", labels={**labels, "service.kubernetes.io/headless": ""})),
        replace(good, address_type="IPv6"),
        a_slice(endpoint("fd00::1")),
        a_slice(k8s.SliceEndpoint(addresses=())),
    )
    assert only(SPEC, *slices).endpoints == ()


def test_only_the_first_address_of_an_endpoint_counts() -> None:
    both = k8s.SliceEndpoint(addresses=(ip_address("10.1.1.1"), ip_address("10.1.1.2")))
    assert addresses(only(SPEC, a_slice(both))) == ["10.1.1.1:8080"]


def test_what_a_slice_does_not_say_is_ready_serving_and_not_terminating() -> None:
    (found,) = only(SPEC, a_slice(endpoint("10.1.1.1"))).endpoints
    assert (found.ready, found.serving, found.terminating) == (True, True, False)


@pytest.mark.parametrize("first", ["a", "b"])
def test_a_terminating_duplicate_never_hides_another(first: str) -> None:
    terminating = a_slice(endpoint("10.1.1.1", ready=False, serving=True, terminating=True), name=f"web-{first}")
    fresh = a_slice(endpoint("10.1.1.1"), name="web-b" if first == "a" else "web-a")
    for slices in ((terminating, fresh), (fresh, terminating)):
        (found,) = only(SPEC, *slices).endpoints
        assert found.ready


def test_of_two_duplicates_the_later_one_counts() -> None:
    slices = (a_slice(endpoint("10.1.1.1"), name="web-b"), a_slice(endpoint("10.1.1.1", ready=False), name="web-a"))
    assert only(SPEC, *slices).endpoints[0].ready  # web-b comes after web-a, whatever the order given
    assert not only(SPEC, a_slice(endpoint("10.1.1.1"), endpoint("10.1.1.1", ready=False))).endpoints[0].ready


def test_hints_and_nodes_are_kept() -> None:
    hints = k8s.EndpointHints(for_zones=(k8s.HintName(name="zone-a"),), for_nodes=(k8s.HintName(name="node-1"),))
    hinted = k8s.SliceEndpoint(addresses=(ip_address("10.1.1.1"),), hints=hints, node_name="node-2")
    (found,) = only(SPEC, a_slice(hinted)).endpoints
    assert (found.node, found.zone_hints, found.node_hints) == ("node-2", frozenset({"zone-a"}), frozenset({"node-1"}))
