"""A real cluster's objects become a lab's: which, with which ports, on which network, and what is said of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from lab.controllers import notes
from lab.controllers.adopt import Choice
from lab.controllers.adopt.ranges import cover
from lab.errors import TopologyError
from lab.model.address import FAMILIES
from lab.model.cluster import Cluster, node_addresses, pod_addresses
from lab.model.kubernetes import EndpointSlice, Pod, Service
from lab.model.lab import Mode
from lab.model.ops import Address, Neighbour, Route, Veth
from lab.parse import cluster_files, saved
from lab.parse.files import data_of
from lab.plan import plan
from lab.proxy.node import node_rules
from lab.proxy.stream import stream
from lab.topology import Completed, load, of_cluster

GOLDEN = Path(__file__).with_name("golden")
KUBEADM = GOLDEN / "cluster" / "kubeadm.yaml"
KIND = GOLDEN / "kubectl" / "kind.yaml"
ALL = Choice()
Edit = Callable[[list[dict[str, Any]]], object]


def adopted(file: Path = KUBEADM, *, mode: str = "", choice: Choice = ALL) -> Completed:
    return of_cluster(str(file), choice, mode=mode)


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Completed]:
    """Give `edited(function)`: the lab of the cluster whose items `function` changed."""

    def build(*edits: Edit, choice: Choice = ALL) -> Completed:
        items = yaml.load(KUBEADM.read_text(encoding="utf-8"), yaml.CSafeLoader)["items"]
        for edit in edits:
            edit(items)
        file = tmp_path / "cluster.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), encoding="utf-8")
        return adopted(file, choice=choice)

    return build


def of(kind: str, items: list[dict[str, Any]], name: str = "") -> list[dict[str, Any]]:
    return [one for one in items if one["kind"] == kind and one["metadata"]["name"].startswith(name)]


def without(kind: str, name: str = "") -> Edit:
    def edit(items: list[dict[str, Any]]) -> None:
        gone = of(kind, items, name)
        items[:] = [one for one in items if one not in gone]

    return edit


def pods(cluster: Cluster, name: str) -> list[Pod]:
    return [pod for pod in cluster.pods if pod.metadata.name.startswith(name)]


def ports(pod: Pod) -> set[tuple[str, int]]:
    return {(port.protocol, port.container_port) for port in pod.ports}


def refused(file: Path, choice: Choice = ALL) -> str:
    with pytest.raises(TopologyError) as caught:
        adopted(file, choice=choice)
    return str(caught.value)


def test_nodes_and_pods_keep_the_addresses_that_they_have_in_the_cluster() -> None:
    files = cluster_files.read([(data_of(str(KUBEADM), most=1 << 30, hint=""), "kubeadm.yaml")], whole=True)
    cluster = adopted().cluster
    assert [(node.metadata.name, node_addresses(node)) for node in cluster.nodes] == [
        (node.metadata.name, node_addresses(node)) for node in files.nodes
    ]
    given = {pod.metadata.key: pod_addresses(pod) for pod in files.pods if pod_addresses(pod) and not pod.finished}
    mine = {pod.metadata.key: pod_addresses(pod) for pod in cluster.pods if not pod.metadata.name.startswith("host-")}
    assert mine == given
    assert len(mine) == 29


def test_services_slices_and_configuration_are_the_clusters_own() -> None:
    files = cluster_files.read([(data_of(str(KUBEADM), most=1 << 30, hint=""), "kubeadm.yaml")])
    cluster = adopted().cluster
    assert [one.spec for one in cluster.services] == [one.spec for one in files.services]
    assert [(one.metadata.name, one.endpoints, one.ports) for one in cluster.slices] == [
        (one.metadata.name, one.endpoints, one.ports) for one in files.slices
    ]
    assert cluster.proxy == files.settings[0]


@pytest.mark.parametrize("mode", get_args(Mode))
def test_every_node_has_the_rules_that_proxy_render_prints_for_the_file(mode: Mode) -> None:
    files = cluster_files.read([(data_of(str(KUBEADM), most=1 << 30, hint=""), "kubeadm.yaml")])
    cluster = adopted(mode=mode).cluster
    for node in files.nodes:
        name = node.metadata.name
        for family, ours in zip(FAMILIES, node_rules(cluster, name), strict=True):
            text = "".join(stream(files, files.settings[0], family, node=name, mode=mode))
            assert sorted(ours.restore_text().splitlines()) == sorted(text.splitlines())


def test_what_runs_no_more_or_not_yet_is_left_out_and_counted_in_one_line() -> None:
    found = adopted()
    assert not pods(found.cluster, "ingress-nginx-admission-create") + pods(found.cluster, "recommender")
    assert found.notes[-1] == "not built: 1 pod that is on no node yet, 1 pod that has run to its end and 5 ConfigMap"


def test_pods_that_are_not_ready_or_terminating_stay_so() -> None:
    cluster = adopted().cluster
    assert [pod.ready for pod in pods(cluster, "checkout")] == [False]
    assert [pod.terminating for pod in pods(cluster, "frontend")].count(True) == 1


def test_a_pod_answers_on_the_ports_that_it_declares_and_on_those_that_slices_say_of_it() -> None:
    cluster = adopted().cluster
    assert all(ports(pod) == {("UDP", 53), ("TCP", 53), ("TCP", 9153)} for pod in pods(cluster, "coredns"))
    assert [ports(pod) for pod in pods(cluster, "cart")] == [{("TCP", 9090)}] * 2  # declares none
    assert [ports(pod) for pod in pods(cluster, "metrics-server")] == [{("TCP", 10250)}]  # a targetPort by name


def test_the_api_server_answers_for_the_service_kubernetes_though_its_slice_does_not_name_it(
    edited: Callable[..., Completed],
) -> None:
    def undeclare(items: list[dict[str, Any]]) -> None:
        (server,) = of("Pod", items, "kube-apiserver")
        del server["spec"]["containers"][0]["ports"]

    cluster = edited(undeclare).cluster
    assert [ports(pod) for pod in pods(cluster, "kube-apiserver")] == [{("TCP", 6443)}]


def test_what_a_nodes_own_processes_serve_is_answered_by_a_pod_that_stands_for_them() -> None:
    found = adopted()
    hosts = pods(found.cluster, "host-")
    assert [pod.metadata.name for pod in hosts] == ["host-cp-1", "host-worker-1", "host-worker-2", "host-worker-3"]
    assert all(pod.spec.host_network and ports(pod) == {("TCP", 10250), ("TCP", 4194)} for pod in hosts)
    assert any("host-NODE" in note for note in found.notes)


def test_an_endpoint_outside_of_the_cluster_is_a_machine_there_that_answers() -> None:
    clients = adopted().cluster.spec.clients
    assert [one.name for one in clients] == ["client", "endpoint-10-20-30-41", "endpoint-10-20-30-42"]
    assert clients[1].addresses == (ip_address("10.20.30.41"),)
    assert [(port.protocol, port.port) for port in clients[1].ports] == [("TCP", 5672)]


def test_a_file_without_pods_has_those_that_slices_name(edited: Callable[..., Completed]) -> None:
    found = edited(without("Pod"))
    carts = pods(found.cluster, "cart")
    assert [(pod.spec.node_name, ports(pod)) for pod in carts] == [
        ("worker-2", {("TCP", 9090)}),
        ("worker-3", {("TCP", 9090)}),
    ]
    assert "16 pods that only EndpointSlices know of are made as these say" in found.notes
    assert [pod.ready for pod in pods(found.cluster, "checkout")] == [False]


def test_host_network_pods_of_a_node_that_say_one_port_do_not_fight_for_it(edited: Callable[..., Completed]) -> None:
    def declare(items: list[dict[str, Any]]) -> None:
        for pod in of("Pod", items, "kube-proxy") + of("Pod", items, "calico-node"):
            pod["spec"]["containers"][0]["ports"] = [
                {"containerPort": 9100, "name": "metrics"},
                {"containerPort": 9100, "name": "again"},
                {"containerPort": 10256, "name": "healthz"},
            ]

    found = edited(declare)
    assert Counter(port for pod in found.cluster.pods for port in ports(pod))["TCP", 9100] == 4
    assert not any(("TCP", 10256) in ports(pod) for pod in found.cluster.pods)  # each node's kube-proxy of the lab's
    assert "12 ports of host-network pods are left out: others of the same node have them" in found.notes


def test_of_two_pods_with_one_address_the_ready_one_is_built(edited: Callable[..., Completed]) -> None:
    def share(items: list[dict[str, Any]]) -> None:
        (good,) = of("Pod", items, "metrics-server")
        (bad,) = of("Pod", items, "checkout")
        bad["status"]["podIP"] = good["status"]["podIP"]
        bad["status"]["podIPs"] = good["status"]["podIPs"]

    found = edited(share, without("EndpointSlice", "checkout"))
    assert [len(pods(found.cluster, name)) for name in ("metrics-server", "checkout")] == [1, 0]
    assert "1 pod that has the address of another one" in found.notes[-1]


# --- the network ------------------------------------------------------------------------------------------------------


def test_pods_outside_of_their_nodes_ranges_have_routes_of_their_own() -> None:
    cluster = adopted().cluster
    assert cluster.spec.network.plugin == "ptp"
    ops = plan(cluster).ops
    routes = {(op.netns, str(op.destination), str(op.via)) for op in ops if isinstance(op, Route)}
    (one,) = pods(cluster, "metrics-server")
    assert {(netns, via) for netns, to, via in routes if to == f"{pod_addresses(one)[0]}/32"} == {
        ("cp-1", "10.1.1.22"),
        ("worker-1", "10.1.1.22"),
        ("worker-3", "10.1.1.22"),
        ("router", "10.1.1.22"),
        ("worker-2", "None"),
    }
    assert not [to for _, to, _ in routes if to == "192.168.1.0/24"]  # the Node says so; Calico does otherwise
    assert not [op for op in ops if isinstance(op, Address) and op.address.ip.is_link_local]


def test_pods_in_their_nodes_ranges_are_on_bridges() -> None:
    cluster = adopted(KIND).cluster
    assert cluster.spec.network.plugin == "bridge"
    routes = [op for op in plan(cluster).ops if isinstance(op, Route)]
    assert [str(op.via) for op in routes if str(op.destination) == "10.244.0.0/24"] == ["172.18.0.2", "172.18.0.2"]


def test_nodes_of_several_subnets_reach_each_other_at_once() -> None:
    ops = plan(adopted().cluster).ops
    near = {
        (op.netns, str(op.destination))
        for op in ops
        if isinstance(op, Route) and op.via is None and op.netns in ("cp-1", "worker-3") and op.link == "eth0"
    }
    assert {("cp-1", "10.1.1.21/32"), ("cp-1", "10.1.2.23/32"), ("worker-3", "10.1.0.10/32")} <= near
    assert {op.link for op in ops if isinstance(op, Neighbour) and str(op.address) == "10.1.2.23"} == {"eth0"}
    indexes = [op.index for op in ops if isinstance(op, Veth) and op.netns == ""]
    assert len(set(indexes)) == len(indexes)


def test_the_labs_own_ranges_are_none_of_the_clusters(edited: Callable[..., Completed]) -> None:
    def collide(items: list[dict[str, Any]]) -> None:
        of("Pod", items, "whoami-1")[0]["status"] |= {"podIP": "198.51.100.7", "podIPs": [{"ip": "198.51.100.7"}]}
        of("Node", items, "worker-3")[0]["status"]["addresses"][0]["address"] = "192.0.2.23"

    network = edited(collide).cluster.spec.network
    assert (network.client_cidr, network.node_cidr) == ("203.0.113.0/24", "198.18.0.0/24")


def test_the_ranges_are_what_kubeadm_was_told_or_cover_what_there_is(edited: Callable[..., Completed]) -> None:
    told = adopted().cluster.spec.network
    assert (told.pod_cidr, told.service_cidr) == ("192.168.0.0/16", "10.96.0.0/12")
    seen = edited(without("ConfigMap")).cluster.spec.network
    assert (seen.pod_cidr, seen.service_cidr) == ("192.168.0.0/16", "10.96.0.0/12")
    assert cover([ip_address("10.0.0.1"), ip_address("10.0.0.9")], "ipv4", 24) == ip_network("10.0.0.0/24")
    assert cover([ip_address("fd00::1"), ip_address("fd00::2:1")], "ipv6", 112) == ip_network("fd00::/110")


def test_the_router_sends_a_load_balancers_address_to_a_node_that_serves_it() -> None:
    routes = {str(one.to): one.via for one in adopted().cluster.spec.network.routes}
    assert routes == {"203.0.113.80/32": "worker-1", "203.0.113.81/32": "worker-1"}


def test_a_load_balancer_with_policy_local_is_reached_by_a_node_that_has_an_endpoint(
    edited: Callable[..., Completed],
) -> None:
    def only_on_worker_3(items: list[dict[str, Any]]) -> None:
        for one in of("EndpointSlice", items, "ingress-nginx-controller-"):
            one["endpoints"] = [part for part in one["endpoints"] if part["nodeName"] == "worker-3"]

    routes = edited(only_on_worker_3).cluster.spec.network.routes
    assert {str(one.to): one.via for one in routes}["203.0.113.80/32"] == "worker-3"


def test_a_dual_stack_cluster_keeps_both_families(edited: Callable[..., Completed]) -> None:
    def second(items: list[dict[str, Any]]) -> None:
        for number, node in enumerate(of("Node", items), 10):
            node["status"]["addresses"].append({"type": "InternalIP", "address": f"fd00:1::{number}"})
        for number, pod in enumerate(of("Pod", items), 1):
            if pod["status"].get("podIP") and not pod["spec"].get("hostNetwork"):
                pod["status"]["podIPs"].append({"ip": f"fd00:2::{number:x}"})
        (service,) = of("Service", items, "whoami")
        service["spec"] |= {
            "clusterIPs": [service["spec"]["clusterIP"], "fd00:3::77"],
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
        }

    cluster = edited(second).cluster
    assert cluster.families == ("ipv4", "ipv6")
    assert cluster.spec.network.service_cidr == "10.96.0.0/12,fd00:3::/112"
    assert [str(one) for one in pod_addresses(pods(cluster, "metrics-server")[0])][1].startswith("fd00:2::")
    assert "fe80::1" in {str(op.via) for op in plan(cluster).ops if isinstance(op, Route)}


def test_a_configuration_without_cluster_cidr_gets_none(edited: Callable[..., Completed]) -> None:
    def nothing(items: list[dict[str, Any]]) -> None:
        (config,) = of("ConfigMap", items, "kube-proxy")
        config["data"]["config.conf"] = config["data"]["config.conf"].replace("192.168.0.0/16", '""')

    assert edited(nothing).cluster.proxy.cluster_cidr == ""


def test_a_cluster_without_kube_proxys_configuration_says_so_and_takes_the_pods_range(
    edited: Callable[..., Completed],
) -> None:
    found = edited(without("ConfigMap", "kube-proxy"))
    assert found.cluster.proxy.cluster_cidr == "192.168.0.0/16"
    assert "there is no ConfigMap of kube-proxy" in found.notes[0]


# --- a part of it -----------------------------------------------------------------------------------------------------


def test_only_has_the_pods_and_services_of_some_namespaces() -> None:
    cluster = adopted(choice=Choice(only=("shop", "default"))).cluster
    every: list[Pod | Service | EndpointSlice] = [*cluster.pods, *cluster.services, *cluster.slices]
    spaces = {one.metadata.namespace for one in every}
    assert spaces == {"shop", "default"}
    assert [ports(pod) for pod in pods(cluster, "host-cp-1")] == [{("TCP", 6443)}]  # the API server's pod is elsewhere


def test_a_limit_takes_a_pod_of_every_service_before_any_gets_a_second(edited: Callable[..., Completed]) -> None:
    found = edited(choice=Choice(limit=8))
    mine = [pod for pod in found.cluster.pods if not pod.spec.host_network]
    assert len(mine) == 8
    behind = Counter(
        one.metadata.labels["kubernetes.io/service-name"]
        for one in found.cluster.slices
        for _ in one.endpoints
        if one.metadata.namespace in ("shop", "default", "kube-system", "ingress-nginx")
    )
    assert all(behind[name] == 1 for name in ("frontend", "cart", "checkout", "postgres", "kube-dns", "metrics-server"))
    assert found.notes[0].startswith("8 of 17 pods are in the lab")
    assert "--limit 17" in found.notes[0]


def test_endpoints_of_pods_that_are_left_out_go_and_so_do_services_that_have_none_left() -> None:
    cluster = adopted(choice=Choice(limit=4)).cluster
    known = {address for pod in cluster.pods for address in pod_addresses(pod)}
    known |= {address for client in cluster.spec.clients for address in client.addresses}
    assert all(endpoint.addresses[0] in known for one in cluster.slices for endpoint in one.endpoints)
    names = {one.metadata.name for one in cluster.services}
    assert {"kubernetes", "ledger", "payments", "kubelet"} <= names  # what had no pods to lose
    assert "postgres" not in names


def test_a_limit_is_spread_over_the_nodes_and_takes_ready_pods_first(edited: Callable[..., Completed]) -> None:
    def crowd(items: list[dict[str, Any]]) -> None:
        pod, slice_ = of("Pod", items, "whoami-1")[0], of("EndpointSlice", items, "whoami")[0]
        service = of("Service", items, "whoami")[0]
        without("Pod")(items), without("Service")(items), without("EndpointSlice")(items)
        for number in range(30):
            node, ready = f"worker-{number % 5 % 3 + 1}", "False" if number % 5 == 0 else "True"
            address = f"192.168.230.{number + 1}"
            spec = {**pod["spec"], "nodeName": node}
            status = {**pod["status"], "podIP": address, "podIPs": [{"ip": address}]}
            status["conditions"] = [{"type": "Ready", "status": ready}]
            items.append({**pod, "metadata": {"name": f"web-{number}"}, "spec": spec, "status": status})
        for number in range(6):
            mine = [{"addresses": [f"192.168.230.{1 + number * 5 + turn}"]} for turn in range(5)]
            labels = {"kubernetes.io/service-name": f"web-{number}"}
            cluster_ip = {"clusterIP": f"10.96.7.{number}", "clusterIPs": [f"10.96.7.{number}"], "externalIPs": []}
            items.append({**service, "metadata": {"name": f"web-{number}"}, "spec": {**service["spec"], **cluster_ip}})
            items.append({**slice_, "metadata": {"name": f"web-{number}", "labels": labels}, "endpoints": mine})

    chosen = edited(crowd, choice=Choice(limit=6)).cluster.pods
    assert Counter(pod.spec.node_name for pod in chosen) == {"worker-1": 2, "worker-2": 2, "worker-3": 2}
    assert all(pod.ready for pod in edited(crowd, choice=Choice(limit=24)).cluster.pods)


def test_a_limit_that_is_not_reached_leaves_nothing_out() -> None:
    assert adopted(choice=Choice(limit=17)).cluster == adopted(choice=Choice(limit=0)).cluster
    assert not [note for note in adopted(choice=Choice(limit=17)).notes if "are in the lab" in note]


def test_of_many_nodes_those_are_built_that_pods_are_on(edited: Callable[..., Completed]) -> None:
    def many(items: list[dict[str, Any]]) -> None:
        (model,) = of("Node", items, "worker-1")
        for number in range(30):
            addresses = [{"type": "InternalIP", "address": f"10.1.3.{number + 1}"}]
            status = {**model["status"], "addresses": addresses}
            items.append({**model, "metadata": {"name": f"idle-{number}"}, "spec": {}, "status": status})
        (kubelet,) = of("EndpointSlice", items, "kubelet")
        kubelet["endpoints"] += [{"addresses": [f"10.1.3.{number + 1}"]} for number in range(30)]

    found = edited(many)
    assert len(found.cluster.nodes) == 4
    assert any(note.startswith("4 of 34 nodes are in the lab") for note in found.notes)
    assert len(found.cluster.spec.clients) == 3  # a node that is left out is nobody outside


# --- what it is called, and what is no cluster ------------------------------------------------------------------------


def test_the_lab_is_called_as_kubeadm_called_the_cluster_or_as_the_file(edited: Callable[..., Completed]) -> None:
    assert adopted().cluster.name == "staging"

    def unnamed(items: list[dict[str, Any]]) -> None:
        (config,) = of("ConfigMap", items, "kubeadm-config")
        config["data"]["ClusterConfiguration"] = config["data"]["ClusterConfiguration"].replace("staging", "kubernetes")

    assert edited(unnamed).cluster.name == "cluster"  # the file is cluster.json
    assert edited(without("ConfigMap", "kubeadm-config")).cluster.name == "cluster"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing in here"),
        ("NAME    READY\nweb-1   1/1\n", "is no object"),
        ("\0", "binary file"),
        ("apiVersion: v1\nkind: List\nitems: []\n", "there is no Node in here"),
        ("items: [\n", "this is not YAML"),
    ],
)
def test_what_is_no_cluster_is_refused_with_the_command_that_prints_one(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(text, encoding="utf-8")
    found = refused(file)
    assert found.startswith(f"{file}")
    assert said in found
    assert "hint: this prints what is needed: kubectl get nodes,pods,services,endpointslices,configmap -A" in found


def test_a_topology_is_no_cluster(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {name: x}\n", encoding="utf-8")
    assert f"hint: build it without --from: invoke lab.up {file}" in refused(file)


def test_a_mode_that_is_not_known_is_refused_unless_another_one_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "ipvs.yaml"
    file.write_text(KUBEADM.read_text(encoding="utf-8").replace('mode: ""', "mode: ipvs"), encoding="utf-8")
    text = refused(file)
    assert f"{file}, config.conf:52:7: mode: 'ipvs'" in text
    assert "hint: --mode iptables" in text
    assert adopted(file, mode="nftables").cluster.mode == "nftables"


def test_a_namespace_that_is_not_there_is_refused_with_the_nearest() -> None:
    assert "did you mean shop?" in refused(KUBEADM, Choice(only=("shoop",)))


def test_the_lab_of_a_cluster_is_a_topology_like_any_other(tmp_path: Path) -> None:
    cluster = adopted().cluster
    file = tmp_path / "lab.yaml"
    file.write_text(json.dumps(saved.save(cluster)), encoding="utf-8")
    again = load(file)
    assert again.cluster == cluster
    assert not [note for note in notes(cluster) if "nobody answers for" in note]
