"""A lab's objects change while it stands: what was allocated stays, what controllers make follows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lab import catalogue, edits, topology
from lab.controllers.amend import Edit, changed
from lab.errors import TopologyError
from lab.model.cluster import Cluster, cluster_ips, pod_addresses
from lab.model.kubernetes import Node, ObjectMeta
from lab.model.ops import Address, Bridge, Delete, Namespace, Neighbour, Op, Remove, Route, Sysctl, Veth, Wire
from lab.plan import difference, stages
from lab.plan.planner import wiring
from lab.report import changes

NOW = "2026-01-01T00:00:00Z"
LAB = "apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {name: test}\nspec: {nodes: [node-1, node-2]}\n---\n"
WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""
SPEC = "spec: {containers: [{ports: [{name: http, containerPort: 8080}]}]}\n"


def build(text: str = WEB) -> Cluster:
    return topology.read(LAB + text, "lab.yaml").cluster


def pods(cluster: Cluster) -> dict[str, str]:
    return {one.metadata.name: f"{one.spec.node_name} {pod_addresses(one)[0]}" for one in cluster.pods}


def endpoints(cluster: Cluster, service: str = "web") -> dict[str, tuple[bool | None, bool | None, bool | None]]:
    """Return (ready, serving, terminating) of a Service's endpoints, by pod."""
    return {
        one.target_ref.name: (one.conditions.ready, one.conditions.serving, one.conditions.terminating)
        for part in cluster.slices
        if part.service_key[1] == service
        for one in part.endpoints
        if one.target_ref
    }


def refused(cluster: Cluster, text: str) -> str:
    with pytest.raises(TopologyError) as caught:
        edits.apply(cluster, text, "x.yaml")
    return caught.value.message


def test_a_deployment_that_is_scaled_up_gets_the_next_names_and_addresses_where_few_are() -> None:
    found = edits.scale(build(), "web", 4)
    assert pods(found) == {
        "web-1": "node-1 10.244.1.2", "web-2": "node-2 10.244.2.2", "web-3": "node-1 10.244.1.3",
        "web-4": "node-2 10.244.2.3",
    }  # fmt: skip
    assert list(endpoints(found)) == ["web-1", "web-2", "web-3", "web-4"]


def test_a_deployment_that_is_scaled_down_loses_its_highest_pods() -> None:
    found = edits.scale(edits.scale(build(), "web", 12), "web", 1)
    assert (pods(found), list(endpoints(found))) == ({"web-1": "node-1 10.244.1.2"}, ["web-1"])


def test_a_deployment_without_pods_leaves_a_service_without_slices_and_comes_back() -> None:
    none = edits.scale(build(), "web", 0)
    assert (none.pods, none.slices) == ((), ())
    assert list(endpoints(edits.scale(none, "web", 1))) == ["web-1"]


def test_a_deployment_makes_up_for_a_deleted_pod_by_another_name_and_address() -> None:
    found = edits.delete(build(), "Pod", "web-1")
    assert pods(found) == {"web-2": "node-2 10.244.2.2", "web-3": "node-1 10.244.1.3"}


def test_a_deployment_and_its_own_pods_in_one_file_are_not_two_sets_of_pods() -> None:
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web-6d4cf56db6-abcde, labels: {app: web, hash: x}}\n" + SPEC
    found = build(WEB + pod)
    assert sorted(pods(found)) == ["web-1", "web-6d4cf56db6-abcde"]
    assert sorted(pods(edits.scale(found, "web", 1))) == ["web-6d4cf56db6-abcde"]


def test_a_pod_that_only_looks_like_a_deployment_s_is_not_its_own() -> None:
    pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: canary, labels: {app: web}}\n"
    assert sorted(pods(build(WEB + pod))) == ["canary", "web-1", "web-2"]


def test_an_unready_pod_is_an_endpoint_that_neither_is_ready_nor_serves() -> None:
    found = edits.condition(build(), "web-1", "unready", now=NOW)
    assert endpoints(found) == {"web-1": (False, False, False), "web-2": (True, True, False)}
    assert endpoints(edits.condition(found, "web-1", "ready", now=NOW))["web-1"] == (True, True, False)


def test_a_terminating_pod_serves_as_long_as_it_is_ready_and_is_not_made_up_for() -> None:
    found = edits.condition(build(), "web-1", "terminating", now=NOW)
    assert endpoints(found) == {"web-1": (False, True, True), "web-2": (True, True, False)}
    worse = edits.condition(found, "web-1", "unready", now=NOW)
    assert endpoints(worse)["web-1"] == (False, False, True)
    assert edits.condition(worse, "web-1", "ready", now=NOW).slices == build().slices


def test_a_service_that_publishes_addresses_that_are_not_ready_calls_them_ready() -> None:
    found = build(WEB.replace("{type: NodePort,", "{type: NodePort, publishNotReadyAddresses: true,"))
    assert endpoints(edits.condition(found, "web-1", "unready", now=NOW))["web-1"] == (True, False, False)


def test_a_condition_that_kubectl_printed_is_read() -> None:
    status = "status: {conditions: [{type: Ready, status: 'False', reason: x}, {type: Initialized, status: 'True'}]}"
    pod = f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: a, labels: {{app: web}}}}\n{SPEC}{status}\n"
    assert endpoints(build(WEB + pod))["a"] == (False, False, False)


def test_a_service_that_is_applied_anew_keeps_what_it_was_given() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
        "spec: {type: NodePort, selector: {app: web}, ports: [{port: 81, targetPort: 8080}]}"
    )
    old, new = build().services[0], edits.apply(build(), text, "x.yaml").services[0]
    assert (new.spec.cluster_ips, new.spec.ports[0].node_port) == (old.spec.cluster_ips, old.spec.ports[0].node_port)
    assert new.spec.ports[0].port == 81


def test_a_service_that_becomes_a_clusterip_gives_its_node_port_back() -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n---\n"
        "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: {type: NodePort, ports: [{port: 80}]}"
    )
    found = edits.apply(build(), text, "x.yaml").services
    assert [one.spec.ports[0].node_port for one in found] == [0, 30000]


def test_a_new_template_replaces_all_pods() -> None:
    found = edits.apply(build(), WEB.partition("---")[0].replace("8080", "9090"), "x.yaml")
    assert pods(found) == {"web-3": "node-1 10.244.1.3", "web-4": "node-2 10.244.2.3"}
    assert found.slices[0].ports[0].port == 9090


def test_given_slices_stay_and_derived_ones_follow() -> None:
    text = (
        "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: out}\nspec: {ports: [{port: 80}]}\n---\n"
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\nports: [{port: 80}]\n"
        "metadata: {name: out-1, labels: {kubernetes.io/service-name: out}}\nendpoints: [{addresses: [203.0.113.9]}]\n"
    )
    found = edits.scale(build(WEB + text), "web", 1)
    assert [(one.metadata.name, len(one.endpoints)) for one in found.slices] == [("out-1", 1), ("web-ipv4", 1)]
    assert [one.metadata.name for one in edits.delete(found, "Service", "out").slices] == ["web-ipv4"]


def test_a_node_that_goes_takes_its_pods_along_and_the_deployment_makes_up_for_them() -> None:
    assert pods(edits.delete(build(), "Node", "node-2")) == {"web-1": "node-1 10.244.1.2", "web-3": "node-1 10.244.1.3"}


def test_a_new_node_gets_the_next_range_and_address() -> None:
    found = changed(build(), Edit(objects={0: Node(metadata=ObjectMeta(name="node-3"))}))
    assert (str(found.nodes[2].spec.pod_cidr), found.nodes[2].status.addresses[0].address) == (
        "10.244.3.0/24",
        "192.168.0.12",
    )


API = "apiVersion: v1\nkind: Service\nmetadata: {name: api}\nspec: "
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
PROXY = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables"
NODE = "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\nspec: {podCIDR: 10.244.9.0/24}"
OTHER = LAB.replace("nodes: [node-1, node-2]", "network: {podCIDR: 10.0.0.0/16}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (API + "{type: NodePort, ports: [{port: 80, nodePort: 30000}]}",
         "x.yaml:4:53: spec.ports[0].nodePort: the node port 30000/TCP is taken: svc/web"),
        (POD + "status: {podIP: 10.244.1.2}", "x.yaml:4:17: status.podIP: the address 10.244.1.2 is taken: pod web-1"),
        (POD + "spec: {nodeNam: x}", "x.yaml:4:8: spec.nodeNam: unknown field"),
        (POD + "---\n" + POD, "x.yaml:7:18: metadata.name: there is a Pod 'a' in this file already"),
        (PROXY, "x.yaml:1:1: kube-proxy's configuration cannot change but for clusterCIDR, detectLocal, "),
        (NODE, "x.yaml:4:7: spec: the pod range of node node-1 cannot change"),
        (OTHER, "spec.network.podCIDR: this is 10.244.0.0/16 in the lab"),
        ("# nothing", "x.yaml: there is nothing in here"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_place(text: str, message: str) -> None:
    assert message in refused(build(), text)


def test_of_kube_proxy_s_configuration_what_only_rules_are_made_of_may_change() -> None:
    text = PROXY.replace("mode: nftables", "clusterCIDR: 10.0.0.0/8\niptables: {masqueradeAll: true}")
    old = build()
    found = edits.apply(old, text, "x.yaml").proxy
    assert (found.mode, found.cluster_cidr, found.iptables.masquerade_all) == (old.proxy.mode, "10.0.0.0/8", True)


def test_a_mistake_in_what_stands_is_said_with_the_object_s_name() -> None:
    spec = "{replicas: 1, template: {metadata: {labels: {app: web}}}}"
    text = f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec: {spec}"
    message = "x.yaml: in Service web, which stands: spec.ports[0].targetPort: no selected pod has a TCP port named"
    assert refused(build(), text).startswith(message)


def test_an_expectation_may_name_what_is_gone() -> None:
    found = topology.load(catalogue.find("clusterip")).cluster
    assert len(edits.scale(found, "web", 1).spec.expect) == len(found.spec.expect)


def test_the_last_node_cannot_be_deleted() -> None:
    one = edits.delete(build(), "Node", "node-1")
    with pytest.raises(TopologyError, match="node node-2 is the only one, and a lab has at least one"):
        edits.delete(one, "Node", "node-2")


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (
            "Service",
            "spec: {selector: {app: web}, ports: [{port: 81, targetPort: http}]}",
            "(type, ports): has 2 endpoints",
        ),
        ("Node", "", "(labels)"),
    ],
)
def test_a_changed_object_says_which_of_its_fields_did(kind: str, fields: str, said: str) -> None:
    name = {"Service": "web", "Node": "node-1"}[kind]
    labels = ", labels: {zone: a}" if kind == "Node" else ""
    text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}{labels}}}\n{fields}\n"
    (row,) = changes.data(build(), edits.apply(build(), text, "x.yaml"))
    assert row["what"] == f"changed {said}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Pod", "web-11"), "there is no Pod 'web-11'; expected web-1 or web-2; did you mean web-1?"),
        (("EndpointSlice", "web-ipv4"), "follows from its Service's selector"),
        (("Node", "-x"), "begins with '-'"),
    ],
)
def test_what_cannot_be_deleted_is_refused(words: tuple[str, str], message: str) -> None:
    with pytest.raises(TopologyError) as caught:
        edits.delete(build(), *words)
    assert message in caught.value.message


# --- any edits of any topology ---------------------------------------------------------------------------------------

NAMES = [entry.name for entry in catalogue.entries() if entry.name != "large"]  # it shows nothing new, slowly
BUILT = {name: topology.load(catalogue.find(name)).cluster for name in NAMES} | {
    "dual-stack": topology.load(Path(__file__).with_name("golden") / "plan" / "dual-stack").cluster
}
EDITS = st.lists(
    st.tuples(st.sampled_from(["scale", "delete", "condition", "move", "node"]), st.integers(0, 99), st.integers(0, 5)),
    max_size=5,
)


def edited(cluster: Cluster, what: str, which: int, number: int) -> Cluster:
    """Return `cluster` after one edit, whichever of its objects it concerns; as it was if that is no edit.

    Neither is what is refused: two host-network pods of one node that want one port.
    """
    try:
        return _edited(cluster, what, which, number)
    except TopologyError as error:
        assert "is taken on" in error.message  # noqa: PT017 - anything else shall fail the test
        return cluster


def _edited(cluster: Cluster, what: str, which: int, number: int) -> Cluster:
    pod = cluster.pods[which % len(cluster.pods)] if cluster.pods else None
    if what == "scale" and cluster.deployments:
        one = cluster.deployments[which % len(cluster.deployments)]
        return edits.scale(cluster, f"{one.metadata.namespace}/{one.metadata.name}", number)
    if what == "node":
        return changed(cluster, Edit(objects={0: Node(metadata=ObjectMeta(name=f"node-{number + 1}"))}))
    if pod is None:
        return cluster
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if what == "delete":
        return edits.delete(cluster, "Pod", name)
    if what == "condition":
        return edits.condition(cluster, name, ("ready", "unready", "terminating")[number % 3], now=NOW)
    node = cluster.nodes[number % len(cluster.nodes)].metadata.name
    moved = replace(pod, spec=replace(pod.spec, node_name=node), status=replace(pod.status, pod_ip=None, pod_ips=()))
    return changed(cluster, Edit(objects={0: moved}))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(BUILT)), several=EDITS)
def test_a_complete_lab_is_complete(name: str, several: list[tuple[str, int, int]]) -> None:
    cluster = BUILT[name]
    for one in several:
        cluster = edited(cluster, *one)
    assert changed(cluster, Edit()) == cluster


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(BUILT)), several=EDITS)
def test_what_was_allocated_stays(name: str, several: list[tuple[str, int, int]]) -> None:
    old = new = BUILT[name]
    had = {(pod.metadata.key, pod.spec.node_name): pod_addresses(pod) for pod in old.pods}
    for one in several:
        new = edited(new, *one)
        now = {(pod.metadata.key, pod.spec.node_name): pod_addresses(pod) for pod in new.pods}
        if one[0] != "move":
            assert all(now[key] == had[key] for key in had.keys() & now.keys())
        had = now  # a pod that went may come back under its name with another address
    assert {one.metadata.key: cluster_ips(one) for one in new.services} == {
        one.metadata.key: cluster_ips(one) for one in old.services
    }
    allocated = [(one.metadata.name, one.spec, one.status) for one in old.nodes]  # an edit may change labels
    assert [(one.metadata.name, one.spec, one.status) for one in new.nodes][: len(allocated)] == allocated


def done(had: set[Wire], ops: tuple[Op, ...], wanted: set[Wire]) -> set[Wire]:
    """Return what stands after `ops`, with no kernel: a namespace takes all with it, a veth what its ends had."""
    stands = set(had)
    for op in ops:
        if isinstance(op, Wire) and (op in wanted or not isinstance(op, Sysctl)):  # others come with rules
            assert op not in stands
            stands.add(op)
        elif isinstance(op, Delete):
            assert op.what in stands
            stands.remove(op.what)
            if isinstance(op.what, Veth):
                near = (op.what.netns, op.what.name)
                on_links = {one for one in stands if isinstance(one, (Address, Route, Neighbour))}
                stands -= {one for one in on_links if (one.netns, one.link) == near}
        elif isinstance(op, Remove):
            assert Namespace(netns=op.netns) in stands
            stands = {
                one
                for one in stands
                if op.netns not in (one.netns, one.peer_netns if isinstance(one, Veth) else one.netns)
            }
    return stands


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(BUILT)), several=EDITS)
def test_the_difference_makes_one_network_of_the_other(name: str, several: list[tuple[str, int, int]]) -> None:
    first = last = BUILT[name]
    for one in several:
        last = edited(last, *one)
    for old, new in ((first, last), (last, first)):
        stands, before = set(wiring(old)), old
        for stage in stages(old, new):
            step = difference(before, stage)
            wanted = set(wiring(stage))
            stands, before = done(done(stands, step.before, wanted), step.after, wanted), stage
        assert stands == set(wiring(new))


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(BUILT)), several=EDITS)
def test_an_interface_s_index_is_its_own(name: str, several: list[tuple[str, int, int]]) -> None:
    cluster = BUILT[name]
    for one in several:
        cluster = edited(cluster, *one)
    used = Counter((op.netns, op.index) for op in wiring(cluster) if isinstance(op, (Veth, Bridge)))
    assert max(used.values()) == 1


def test_nothing_is_to_be_done_between_a_lab_and_itself() -> None:
    step = difference(build(), build())
    assert (step.before, step.after) == ((), ())
