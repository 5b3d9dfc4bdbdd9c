"""The rules and sysctls of a lab's node."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from msgspec.structs import replace as change

from lab.model import kubernetes as k8s
from lab.model.cluster import Cluster
from lab.model.lab import Lab, LabMeta
from lab.model.nft_ruleset import NftRuleset
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.ruleset import Ruleset
from lab.proxy.node import node_rules, node_sysctls

CLUSTER = Cluster(
    lab=Lab(metadata=LabMeta(name="test")),
    nodes=tuple(
        k8s.Node(
            metadata=k8s.ObjectMeta(name=name),
            status=k8s.NodeStatus(addresses=(k8s.NodeAddress(type="InternalIP", address=address),)),
        )
        for name, address in (("node-1", "192.168.0.10"), ("node-2", "192.168.0.11"))
    ),
    services=(
        k8s.Service(
            metadata=k8s.ObjectMeta(name="web"),
            spec=k8s.ServiceSpec(
                type="NodePort",
                cluster_ip="10.96.0.10",
                cluster_ips=("10.96.0.10",),
                ip_families=("IPv4",),
                ports=(k8s.ServicePort(port=80, node_port=30080),),
                external_ips=(ip_address("198.51.100.1"),),
                external_traffic_policy="Local",
            ),
        ),
    ),
    slices=(
        k8s.EndpointSlice(
            metadata=k8s.ObjectMeta(name="web-a", labels={"kubernetes.io/service-name": "web"}),
            endpoints=(k8s.SliceEndpoint(addresses=(ip_address("10.244.1.2"),), node_name="node-1"),),
            ports=(k8s.EndpointPort(name="", port=8080),),
        ),
    ),
    proxy=KubeProxyConfiguration(cluster_cidr="10.244.0.0/16"),
)


def proxied(settings: KubeProxyConfiguration) -> Cluster:
    return replace(CLUSTER, proxy=settings)


def test_a_node_has_rules_of_both_families() -> None:
    ipv4, ipv6 = node_rules(CLUSTER, "node-1")
    assert (ipv4.family, ipv6.family) == ("ipv4", "ipv6")
    assert "default/web" in ipv4.restore_text()
    assert "default/web" not in ipv6.restore_text()


def test_each_node_has_its_own_local_endpoints() -> None:
    local, remote = (node_rules(CLUSTER, name)[0] for name in ("node-1", "node-2"))
    assert "has no local endpoints" not in local.restore_text()
    assert remote.restore_text().count("has no local endpoints") == 2


def test_a_name_in_the_configuration_does_not_make_all_nodes_that_one() -> None:
    cluster = proxied(change(CLUSTER.proxy, hostname_override="node-1"))
    assert "has no local endpoints" in node_rules(cluster, "node-2")[0].restore_text()


def test_addresses_of_the_machine_are_where_node_ports_may_be() -> None:
    cluster = proxied(change(CLUSTER.proxy, node_port_addresses=("10.244.0.0/16",)))
    assert "-j KUBE-NODEPORTS\n" not in node_rules(cluster, "node-1")[0].restore_text().split("*nat")[1]
    own = [ip_address("10.244.1.1")]
    assert "-d 10.244.1.1/32" in node_rules(cluster, "node-1", interfaces=own)[0].restore_text()


def test_the_gate_for_external_ips_is_obeyed() -> None:
    cluster = proxied(change(CLUSTER.proxy, feature_gates={"AllowServiceExternalIPs": False}))
    assert "external IP" in node_rules(CLUSTER, "node-1")[0].restore_text()
    assert "external IP" not in node_rules(cluster, "node-1")[0].restore_text()


def test_without_nfacct_no_counter_is_asked_for() -> None:
    having, lacking = (node_rules(CLUSTER, "node-1", counters=there)[0] for there in (True, False))
    assert isinstance(having, Ruleset)
    assert isinstance(lacking, Ruleset)
    assert having.counters
    assert not lacking.counters


def test_nftables_mode_makes_a_table_of_each_family() -> None:
    ipv4, ipv6 = node_rules(proxied(change(CLUSTER.proxy, mode="nftables")), "node-1")
    assert ipv4.restore_text().startswith("table ip kube-proxy {\n")
    assert ipv6.restore_text().startswith("table ip6 kube-proxy {\n")
    assert "default/web" in ipv4.restore_text()
    assert "default/web" not in ipv6.restore_text()


def test_node_ports_of_nftables_mode_are_on_the_nodes_own_address() -> None:
    cluster = proxied(change(CLUSTER.proxy, mode="nftables"))
    ipv4, ipv6 = node_rules(cluster, "node-2", interfaces=[ip_address("192.168.0.11"), ip_address("10.244.2.1")])
    assert isinstance(ipv4, NftRuleset)
    assert isinstance(ipv6, NftRuleset)
    own = ipv4.set("nodeport-ips")
    assert own is not None
    assert [element.key for element in own.elements] == ["192.168.0.11"]
    assert ipv6.set("nodeport-ips") is None  # the node has no IPv6 address to limit them to


def test_the_ranges_of_service_cidrs_matter_to_nftables_mode_alone() -> None:
    cidrs = k8s.ServiceCIDR(
        metadata=k8s.ObjectMeta(name="kubernetes"), spec=k8s.ServiceCIDRSpec(cidrs=(ip_network("10.96.0.0/16"),))
    )
    cluster = replace(proxied(change(CLUSTER.proxy, mode="nftables")), service_cidrs=(cidrs,))
    dropped = ["ip daddr { 10.96.0.0/16 } drop" in ruleset.restore_text() for ruleset in node_rules(cluster, "node-1")]
    assert dropped == [True, False]
    without = node_rules(CLUSTER, "node-1")[0]
    assert node_rules(replace(CLUSTER, service_cidrs=(cidrs,)), "node-1")[0] == without


def test_route_localnet_is_set_only_where_node_ports_answer_on_localhost() -> None:
    key = "net.ipv4.conf.all.route_localnet"
    assert dict(node_sysctls(CLUSTER, "node-1"))[key] == "1"
    assert key not in dict(node_sysctls(proxied(change(CLUSTER.proxy, mode="nftables")), "node-1"))
    limited = proxied(change(CLUSTER.proxy, node_port_addresses=("primary",)))
    assert key not in dict(node_sysctls(limited, "node-1"))


def test_the_same_objects_in_another_order_make_the_same_text() -> None:
    other = change(CLUSTER.services[0], metadata=k8s.ObjectMeta(name="api"))
    first, second = (
        replace(CLUSTER, services=services) for services in ((*CLUSTER.services, other), (other, *CLUSTER.services))
    )
    assert node_rules(first, "node-1")[0].restore_text() == node_rules(second, "node-1")[0].restore_text()
