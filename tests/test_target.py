from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from lab import edits
from lab.errors import TopologyError
from lab.parse.target import Destination, destination, names, node, sources, target
from lab.standing import observe
from lab.topology import read

CLUSTER = read(
    """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: test}
spec:
  nodes: [node-1, ip-10-0-0-2.ec2.internal]
  clients: [{name: client}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: client-a}}
---
{apiVersion: v1, kind: Pod, metadata: {name: both}}
---
{apiVersion: v1, kind: Pod, metadata: {name: coredns-1, namespace: kube-system}}
---
{apiVersion: v1, kind: Pod, metadata: {name: agent}, spec: {hostNetwork: true, nodeName: node-1}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, externalIPs: [203.0.113.10], ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: kube-system}
spec: {ports: [{name: u, port: 53, protocol: UDP}, {name: t, port: 53}, {name: metrics, port: 9153}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: kube-system}
spec: {ports: [{port: 81}]}
---
{apiVersion: v1, kind: Service, metadata: {name: both}, spec: {ports: [{port: 80}]}}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {clusterIP: None, selector: {app: nobody}, ports: [{port: 80}]}
""",
    "lab.yaml",
).cluster
DUAL = read(
    """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: dual}
spec:
  clients: [{name: client}]
  network: {podCIDR: '10.244.0.0/16,fd00:10:244::/56', serviceCIDR: '10.96.0.0/16,fd00:10:96::/112'}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4], ports: [{port: 80}]}
""",
    "lab.yaml",
).cluster


def to(text: str, source: str = "client-a", **more: Any) -> Destination:
    return destination(CLUSTER, text, source=target(CLUSTER, source), **more)


def refusal(text: str, **more: Any) -> str:
    with pytest.raises(TopologyError) as caught:
        to(text, **more)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "kind", "netns"),
    [
        ("web-1", "pod", "web-1"),
        ("pod/web-1", "pod", "web-1"),
        ("pod/default/web-1", "pod", "web-1"),
        ("coredns-1", "pod", "kube-system_coredns-1"),
        ("kube-system/coredns-1", "pod", "kube-system_coredns-1"),
        ("pod/kube-system/coredns-1", "pod", "kube-system_coredns-1"),
        ("kube-system_coredns-1", "pod", "kube-system_coredns-1"),
        ("agent", "pod", "node-1"),
        ("both", "pod", "both"),
        ("node-1", "node", "node-1"),
        ("node/node-1", "node", "node-1"),
        ("ip-10-0-0-2.ec2.internal", "node", "ip-10-0-0-2.ec2.internal"),
        ("client", "client", "client"),
        ("client/client", "client", "client"),
        ("router", "router", "router"),
    ],
)
def test_a_place_is_found_by_its_name(text: str, kind: str, netns: str) -> None:
    found = target(CLUSTER, text)
    assert (found.kind, found.netns) == (kind, netns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web-3", "there is no pod, node or client 'web-3'; expected web-1, .*; did you mean web-[12]?"),
        ("node/node-9", "there is no node 'node-9'; expected node/node-1 or node/ip-.*; did you mean node-1?"),
        ("web", "svc/web is a Service: nothing runs there; expected a pod, a node"),
        ("svc/web", "'svc/web' is a Service; expected a pod, node, client or router"),
        ("pod/other/web-1", "there is no pod 'web-1'"),
        ("-web-1", "'-web-1' cannot be a place: it begins with '-', as an option does"),
        ("", "an empty text cannot be a place"),
        ("a" * 5000, "5000 characters"),
        ("\x1b[2J", r"'\\x1b\[2J'"),
    ],
)
def test_a_place_that_is_not_there_is_said_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        target(CLUSTER, text)


def test_a_node_is_looked_for_among_nodes_only() -> None:
    assert node(CLUSTER, "node-1").netns == "node-1"
    with pytest.raises(TopologyError, match="there is no node 'web-1'"):
        node(CLUSTER, "web-1")


@pytest.mark.parametrize(
    ("text", "address", "port", "name"),
    [
        ("svc/web", "10.96.0.10", 80, "svc/web"),
        ("web", "10.96.0.10", 80, "svc/web"),
        ("service/web:81", "10.96.0.10", 81, "svc/web"),
        ("svc/web:http", "10.96.0.10", 80, "svc/web"),
        ("svc/kube-system/dns:metrics", "10.96.0.11", 9153, "svc/kube-system/dns"),
        ("dns.kube-system:metrics", "10.96.0.11", 9153, "svc/kube-system/dns"),
        ("dns.kube-system.svc:9153", "10.96.0.11", 9153, "svc/kube-system/dns"),
        ("web.kube-system.svc.cluster.local", "10.96.0.12", 81, "svc/kube-system/web"),
        ("web.default", "10.96.0.10", 80, "svc/web"),
        ("pod/web-1", "10.244.1.2", 8080, "web-1"),
        ("web-1:9", "10.244.1.2", 9, "web-1"),
        ("node/node-1:30080", "192.168.0.10", 30080, "node-1"),
        ("client:80", "198.51.100.10", 80, "client"),
        ("10.96.0.10:80", "10.96.0.10", 80, "10.96.0.10"),
        ("[fd00::1]:80", "fd00::1", 80, "fd00::1"),
        ("http://203.0.113.10/", "203.0.113.10", 80, "203.0.113.10"),
        ("http://[fd00::1]:81/", "fd00::1", 81, "fd00::1"),
        ("http://web-1/", "10.244.1.2", 80, "web-1"),
    ],
)
def test_a_destination_is_what_users_type(text: str, address: str, port: int, name: str) -> None:
    found = to(text)
    assert (str(found.address), found.port, found.name) == (address, port, name)


def test_a_url_has_a_path_and_a_host() -> None:
    found = to("http://web.kube-system:81/hostname?a=b")
    assert (found.path, found.host, found.kind) == ("/hostname?a=b", "web.kube-system", "svc")
    assert to("svc/web").path == "/"


def test_the_asker_s_namespace_comes_first() -> None:
    assert to("web", source="coredns-1").name == "svc/kube-system/web"
    assert to("web", source="node-1").name == "svc/web"


def test_a_headless_service_is_the_first_ready_pod_of_it_and_translates_no_port() -> None:
    found = to("svc/db")
    assert (str(found.address), found.port, found.name) == ("10.244.1.2", 80, "svc/db")
    assert to("svc/db:8080").port == 8080
    unready = edits.condition(CLUSTER, "web-1", "unready", now="")
    assert str(destination(unready, "svc/db").address) == "10.244.2.2"
    assert names(CLUSTER)[ip_address("10.244.1.2")] == "web-1"
    assert observe.request(CLUSTER, "client-a", "svc/db", port=None, protocol="tcp")[1] == ("web-1",)


def test_the_protocol_chooses_among_the_ports() -> None:
    assert to("dns.kube-system", protocol="udp").port == 53
    assert to("pod/web-1", protocol="udp").port == 53
    assert refusal("svc/web", protocol="udp") == (
        "svc/web declares no udp port, but 80/tcp; expected to be asked by tcp (no --udp)"
    )


def test_a_port_may_stand_apart_but_not_twice() -> None:
    assert to("svc/web", port=81).port == 81
    assert to("svc/web:81", port=81).port == 81
    assert "has a port already, and 82 was given" in refusal("svc/web:81", port=82)


def test_the_family_is_the_asker_s_and_otherwise_the_service_s_primary() -> None:
    assert str(destination(DUAL, "svc/web", source=target(DUAL, "client")).address) == "fd00:10:96::a"
    assert str(destination(CLUSTER, "svc/web").address) == "10.96.0.10"
    stranger = target(CLUSTER, "client")
    assert str(destination(DUAL, "svc/web", source=stranger).address) == "10.96.0.10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("svc/wbe", "there is no Service 'wbe'; expected svc/web, svc/kube-system/dns, .*; did you mean web?"),
        ("both", r"'both' means several things; expected svc/both or pod/both"),
        ("svc/kube-system/dns", "has several tcp ports; expected svc/kube-system/dns:t or svc/kube-system/dns:metrics"),
        ("svc/web:htp", r"svc/web has no tcp port 'htp'; expected http \(80\); did you mean http?"),
        ("svc/web:99999", "'99999' is not a port; expected a number from 1 to 65535"),
        ("svc/web:0", "'0' is not a port"),
        ("svc/web:", "ends where a port should stand"),
        ("svc/empty", "svc/empty has no address: no ClusterIP, nor, if it is headless, a ready endpoint"),
        ("client-a", "pod/client-a declares no tcp port; expected one to be said, as in pod/client-a:80"),
        ("10.96.0.10", "has no port; expected one, such as 10.96.0.10:80"),
        ("fd00::1", r"has no port; expected one, such as \[fd00::1\]:80"),
        ("[web]:80", "is not an address in brackets"),
        ("https://web/", "'https' is not spoken here; expected http"),
        ("http:///", "is not a URL"),
        ("http://web/a b", "is not a URL"),
        ("http://web/\r\nX: y", "is not a URL"),
        ("--help", "begins with '-'"),
        ("svc/-web", "there is no Service '-web'"),
    ],
)
def test_a_destination_that_means_nothing_is_said_with_what_there_is(text: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        to(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web-1", {"10.244.1.2"}),
        ("client", {"198.51.100.10"}),
        ("node-1", {"192.168.0.10", "10.244.1.1"}),
        ("node/node-1", {"192.168.0.10", "10.244.1.1"}),
        ("node-1/cbr0", {"10.244.1.1"}),
        ("node/node-1/eth0", {"192.168.0.10"}),
        ("router", {"192.168.0.1", "198.51.100.1"}),
        ("203.0.113.7", {"203.0.113.7"}),
        ("agent", {"192.168.0.10"}),
    ],
)
def test_a_source_is_the_addresses_that_a_packet_may_come_from(text: str, expected: set[str]) -> None:
    assert sources(CLUSTER, text) == {ip_address(one) for one in expected}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node-1/cbr1", "node-1 has no interface 'cbr1'; expected eth0 or cbr0; did you mean cbr0?"),
        ("node-1x", "did you mean node-1?"),
        ("web", "is a Service"),
        ("-x", "begins with '-'"),
    ],
)
def test_a_source_that_means_nothing_is_said_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        sources(CLUSTER, text)


def test_every_address_has_the_name_that_tables_show() -> None:
    assert {str(address): name for address, name in names(CLUSTER).items()} == {
        "192.168.0.10": "node-1",
        "10.244.1.1": "node-1/cbr0",
        "192.168.0.11": "ip-10-0-0-2.ec2.internal",
        "10.244.2.1": "ip-10-0-0-2.ec2.internal/cbr0",
        "10.244.1.2": "web-1",
        "10.244.2.2": "web-2",
        "10.244.1.3": "client-a",
        "10.244.2.3": "both",
        "10.244.1.4": "kube-system/coredns-1",
        "198.51.100.10": "client",
        "198.51.100.1": "router",
        "192.168.0.1": "router",
        "10.96.0.10": "svc/web",
        "203.0.113.10": "svc/web",
        "10.96.0.11": "svc/kube-system/dns",
        "10.96.0.12": "svc/kube-system/web",
        "10.96.0.13": "svc/both",
    }


def test_the_ends_of_cables_and_tunnels_have_names() -> None:
    network = structs.replace(CLUSTER.spec.network, plugin="ptp", overlay="vxlan")
    lab = structs.replace(CLUSTER.lab, spec=structs.replace(CLUSTER.spec, network=network))
    wired = replace(CLUSTER, lab=lab)
    assert {str(ip): name for ip, name in names(wired).items() if name.startswith("node-1")} == {
        "192.168.0.10": "node-1",
        "10.244.1.1": "node-1/gateway",
        "10.244.1.0": "node-1/flannel.1",
    }
    assert {str(ip) for ip in sources(wired, "node-1")} == {"192.168.0.10", "10.244.1.1", "10.244.1.0"}
    assert {str(ip) for ip in sources(wired, "node-1/flannel.1")} == {"10.244.1.0"}
    with pytest.raises(TopologyError, match=r"node-1 has no interface 'cbr0'; expected eth0, gateway or flannel\.1"):
        sources(wired, "node-1/cbr0")


def test_what_the_choices_say_can_be_typed() -> None:
    assert to("svc/both").name == "svc/both"
    assert to("pod/both:80").name == "both"
    assert all(target(CLUSTER, name) for name in names(CLUSTER).values() if "svc/" not in name and "cbr0" not in name)


PIECES = ["svc", "/", ":", "web", "[", "]", "80", "http://", "fd00::1", "."]
TYPED = st.text() | st.lists(st.sampled_from(PIECES)).map("".join)


@settings(deadline=None)
@given(TYPED)
def test_garbage_is_a_topology_error_in_one_printable_line(text: str) -> None:
    for resolve in (target, destination, sources, node):
        said = ""
        try:
            resolve(CLUSTER, text)
        except TopologyError as error:
            said = error.message
        assert said.isprintable()
