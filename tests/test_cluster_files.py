"""A real cluster's objects are read from JSON and YAML alike, and what the API server would refuse is refused."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from lab.errors import TopologyError
from lab.parse import cluster_files
from lab.parse.cluster_files import ClusterFiles, read

CASES = Path(__file__).parent / "golden" / "kube-proxy"


def a_service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    fields = {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ipFamilies": ["IPv4"], "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {**fields, **spec}}


def a_slice(**fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.1.2"]}],
        "ports": [{"name": "http", "port": 8080}],
        **fields,
    }


def a_list(*items: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def as_json(*items: dict[str, Any]) -> bytes:
    return json.dumps(a_list(*items), indent=2).encode()


def as_yaml(*items: dict[str, Any]) -> bytes:
    return yaml.safe_dump_all(items).encode()


WAYS = pytest.mark.parametrize("write", [as_json, as_yaml], ids=["json", "yaml"])
Write = Callable[..., bytes]


def plain(found: ClusterFiles) -> Any:
    return msgspec.to_builtins([found.nodes, found.services, found.slices, found.service_cidrs], enc_hook=str)


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_json_and_yaml_of_the_same_objects_are_the_same(case: Path) -> None:
    text = (case / "objects.yaml").read_text()
    items = list(yaml.load_all(text, yaml.BaseLoader))
    typed = list(yaml.safe_load_all(text))
    assert len(items) == len(typed)
    from_yaml = read([(text.encode(), "a")])
    assert plain(from_yaml) == plain(read([(as_json(*typed), "b")]))
    assert from_yaml.services
    assert from_yaml.nodes


@WAYS
def test_what_does_not_matter_is_skipped_and_counted(write: Write) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"whatever": 1}}
    other = {"apiVersion": "example.com/v1", "kind": "Widget"}
    names = a_slice(addressType="FQDN", endpoints=[{"addresses": ["a.example"]}])
    found = read([(write(pod, a_service(), pod, other, names), "a")])
    assert found.skipped == {"EndpointSlice of names": 1, "Pod": 2, "Widget": 1}
    assert len(found.services) == 1
    assert "2 Pod and 1 Widget" in cluster_files.skipped_text(found.skipped)


@WAYS
def test_fields_that_a_newer_cluster_has_and_nulls_are_read_over(write: Write) -> None:
    found = read([(write(a_service(invented=1, externalIPs=None), a_slice(endpoints=None)), "a")])
    assert found.services[0].spec.external_ips == ()
    assert found.slices[0].endpoints == ()


def test_a_typed_list_and_a_list_in_a_list_are_read() -> None:
    items = [{key: value for key, value in a_service().items() if key not in ("kind", "apiVersion")}]
    nested = a_list({"kind": "ServiceList", "apiVersion": "v1", "items": items}, a_slice())
    found = read([(json.dumps(nested).encode(), "a")])
    assert (len(found.services), len(found.slices)) == (1, 1)


BAD: list[tuple[dict[str, Any], str]] = [
    (a_service(clusterIPs=["10.96.0.300"]), r"spec.clusterIPs\[0\]: not an address"),
    (a_service(clusterIP="10.96.0.11"), r"spec.clusterIP: '10.96.0.11' is not the first of clusterIPs"),
    (a_service(ipFamilies=["IPv6"]), r"spec.clusterIPs\[0\]: 10.96.0.10 is no IPv6 address"),
    (a_service(ports=[{"port": 0}]), r"spec.ports\[0\].port: 0 is out of range"),
    (a_service(ports=[{"port": 65536}]), r"spec.ports\[0\].port: 65536 is out of range"),
    (a_service(ports=[{"name": "a", "port": 1}, {"name": "a", "port": 2}]), r"spec.ports\[1\].name: .* here twice"),
    (a_service(ports=[{"name": "a", "port": 1}, {"port": 2}]), r"spec.ports\[1\].name: it is missing"),
    (a_service(ports=[{"name": "a", "port": 1}, {"name": "b", "port": 1}]), r"spec.ports\[1\].port: .* here twice"),
    (a_service(ports=[{"name": "A B", "port": 1}]), r"spec.ports\[0\].name: 'A B' cannot be the name"),
    (a_service(ports=[{"port": 1, "protocol": "ICMP"}]), r"spec.ports\[0\].protocol: 'ICMP' is not known"),
    (a_service(externalIPs=["x"]), r"spec.externalIPs\[0\]: not an address"),
    (a_service(loadBalancerSourceRanges=["10.0.0.0/33"]), r"spec.loadBalancerSourceRanges\[0\]: not a range"),
    ({**a_service(), "metadata": {"name": 'x" -j DROP'}}, r"metadata.name: .* cannot be the name of a Service"),
    ({**a_service(), "metadata": {"name": "x", "namespace": "a/b"}}, r"metadata.namespace: .* cannot be"),
    (a_slice(endpoints=[{"addresses": ["fd00::1"]}]), r"endpoints\[0\].addresses\[0\]: fd00::1 is no IPv4 address"),
    (a_slice(endpoints=[{"addresses": []}]), r"endpoints\[0\].addresses: an empty list"),
    (a_slice(ports=[{"name": "a", "port": 70000}]), r"ports\[0\].port: 70000 is out of range"),
    (a_slice(ports=[{"name": "a", "port": 1}, {"name": "a", "port": 2}]), r"ports\[1\].name: .* here twice"),
    (a_slice(ports=[{"name": "A"}]), r"ports\[0\].name: 'A' cannot be the name"),
    (a_slice(addressType="IPv5"), r"addressType: 'IPv5' is not known"),
    *(
        (a_slice(endpoints=[{"addresses": [address]}]), rf"endpoints\[0\].addresses\[0\]: {address} is {what}")
        for address, what in (
            ("0.0.0.0", "unspecified"),  # noqa: S104 - nothing binds to it
            ("127.0.0.1", "loopback"),
            ("169.254.1.1", "link-local;"),
            ("224.0.0.1", "link-local multicast"),
        )
    ),
    *(
        (
            a_slice(addressType="IPv6", endpoints=[{"addresses": [address]}]),
            rf"endpoints\[0\].addresses\[0\]: {address} is {what}",
        )
        for address, what in (
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("fe80::1", "link-local;"),
            ("ff02::1", "link-local multicast"),
        )
    ),
    (a_service(ports=[]), r"spec.ports: it is missing"),
    (a_service(ports=[{"port": 1, "targetPort": 0}]), r"spec.ports\[0\].targetPort: 0 is out of range"),
    (a_service(ports=[{"port": 1, "targetPort": "80"}]), r"spec.ports\[0\].targetPort: '80' is a text"),
    (a_service(ports=[{"port": "80"}]), r"spec.ports\[0\].port: '80' is not a whole number"),
    (a_service(externalIPs=["127.0.0.1"]), r"spec.externalIPs\[0\]: 127.0.0.1 is loopback"),
    (a_service(externalIPs=["10.0.0.1", "fe80::1%eth0"]), r"spec.externalIPs\[1\]: not an address"),
    (a_service(clusterIPs=["10.96.0.10", "10.96.0.11"]), r"spec.clusterIPs: .* not one of each family"),
    (a_service(clusterIPs=["10.96.0.10", "None"]), r"spec.clusterIPs: None is not alone"),
    (a_service(clusterIP=None), r"spec.clusterIP: it is missing; expected 10.96.0.10"),
    (a_service(ipFamilies=["IPv4", "IPv4"]), r"spec.ipFamilies: IPv4 is here twice"),
    (a_service(ipFamilies=["IPv5"]), r"spec.ipFamilies\[0\]: 'IPv5' is not known"),
    (a_service(ipFamilyPolicy="Dual"), r"spec.ipFamilyPolicy: 'Dual' is not known"),
    (a_service(type="Balanced"), r"spec.type: 'Balanced' is not known"),
    (a_service(type="NodePort", clusterIP="None", clusterIPs=["None"]), r"spec.type: a headless Service"),
    (a_service(type="ExternalName"), r"spec.externalName: it is missing"),
    (a_service(sessionAffinity="Cookie"), r"spec.sessionAffinity: 'Cookie' is not known"),
    *(
        (
            a_service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": seconds}}),
            rf"spec.sessionAffinityConfig.clientIP.timeoutSeconds: {seconds} is out of range",
        )
        for seconds in (0, 86401)
    ),
    (a_service(internalTrafficPolicy="Node"), r"spec.internalTrafficPolicy: 'Node' is not known"),
    *(
        (a_service(type="LoadBalancer", loadBalancerSourceRanges=[text]), r"spec.loadBalancerSourceRanges\[0\]: not a")
        for text in ("10.0.0.1", "10.0.0.0/255.0.0.0", "", "10.0.0.0/8 10.1.0.0/16", "fe80::%eth0/64")
    ),
    (a_service(selector={"a b": "c"}), r"spec.selector\['a b'\]: 'a b' cannot be a label's key"),
    (a_service() | {"metadata": {"name": "web", "labels": {"a": "b c"}}}, r"metadata.labels.a: 'b c' cannot be"),
    (
        {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "x"}, "spec": {}},
        r"spec.cidrs: it is missing",
    ),
    (
        a_service() | {"kind": "Node", "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": "me"}]}},
        r"status.addresses\[0\].address: not an address: 'me'",
    ),
]
GOOD = [
    # kube-proxy takes these as they are, whatever stands beside them
    a_service(ports=[{"port": 1, "nodePort": 30000}]),
    a_service(sessionAffinityConfig={"clientIP": {}}),
    a_service(externalTrafficPolicy="Local", healthCheckNodePort=32000, loadBalancerSourceRanges=["10.0.0.0/8"]),
    a_service(ports=[{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}]),
    a_service(ports=[{"name": "123", "port": 1, "targetPort": "a-1"}]),
    a_service(
        type="NodePort",
        ports=[
            {"name": "a", "port": 53, "nodePort": 30053},
            {"name": "b", "port": 53, "protocol": "UDP", "nodePort": 30053},
        ],
    ),
    a_service(type="NodePort", ports=[{"port": 80, "nodePort": 80}]),
    a_service(clusterIP="None", clusterIPs=["None"], ports=None),
    a_service(clusterIP="None", clusterIPs=["None"], ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="RequireDualStack"),
    a_service(ipFamilies=["IPv4", "IPv6"], ipFamilyPolicy="PreferDualStack"),
    a_service(ipFamilies=None, clusterIPs=None),
    {**a_service(), "spec": {"type": "ExternalName", "externalName": "a_b.example."}},
    a_service(externalIPs=["203.0.113.1", "fd00::1", "224.0.1.1"], externalTrafficPolicy="Local"),
    a_service(
        type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32000, loadBalancerSourceRanges=["::/0"]
    ),
    a_service(sessionAffinity="ClientIP"),
    a_service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 86400}}),
    a_service(selector={"example.com/a": "", "b": "C.d_e"}, trafficDistribution="PreferClose"),
    a_slice(endpoints=[{"addresses": ["10.0.0.1", "10.0.0.2"]}], ports=[{}]),
    a_slice(ports=[{"name": "", "port": 1, "protocol": "SCTP"}, {"name": "x", "port": 65535}]),
    a_slice() | {"metadata": {"name": "without.a.service"}},
]


@WAYS
@pytest.mark.parametrize("good", GOOD, ids=lambda one: str(one.get("spec") or one["ports"])[:60])
def test_what_the_api_server_takes_is_taken(good: dict[str, Any], write: Write) -> None:
    found = read([(write(good), "a")])
    assert len(found.services) + len(found.slices) == 1
    assert not found.skipped


@WAYS
@pytest.mark.parametrize(("wrong", "words"), BAD, ids=[words for _, words in BAD])
def test_what_the_api_server_would_refuse_is_refused_with_line_and_field(
    wrong: dict[str, Any], words: str, write: Write
) -> None:
    with pytest.raises(TopologyError, match=rf"^a:\d+:\d+: (items\[1\]\.)?{words}") as caught:
        read(
            [
                (
                    write(
                        a_service(clusterIP="10.96.0.99", clusterIPs=["10.96.0.99"]) | {"metadata": {"name": "first"}},
                        wrong,
                    ),
                    "a",
                )
            ]
        )
    (line, column) = map(int, caught.value.mistakes[0].split(":")[1:3])
    text = write(a_service() | {"metadata": {"name": "first"}}, wrong).decode().splitlines()
    assert 1 < line <= len(text)
    assert column <= len(text[line - 1]) + 1


def test_a_mistake_in_json_is_at_its_line() -> None:
    data = as_json(a_service(), a_slice(endpoints=[{"addresses": ["10.244.1.300"]}]))
    with pytest.raises(TopologyError) as caught:
        read([(data, "a")])
    line, column = map(int, caught.value.mistakes[0].split(":")[1:3])
    assert data.decode().splitlines()[line - 1][column - 1 :].startswith('"10.244.1.300"')


@WAYS
def test_every_mistake_is_told_at_once(write: Write) -> None:
    """Those of types and those of rules, the latter at their place although an item before is of no use."""
    service = a_service(
        clusterIPs=["10.96.0.300"],
        ports=[
            {"name": "a", "port": 0},
            {"name": "b", "port": 1},
            {"name": "b", "port": 2, "protocol": "x"},
            {"port": 5},
        ],
        externalIPs=["x"],
        type=1,
    )
    with pytest.raises(TopologyError) as caught:
        read([(write(service, a_slice(ports=[{"port": -1}])), "a")])
    places = [
        " ".join(line.split()[1:2]).removeprefix("items[0].").removeprefix("items[1].")
        for line in caught.value.mistakes
    ]
    assert sorted(places) == sorted(
        [
            "spec.clusterIPs[0]:",
            "spec.ports[0].port:",
            "spec.ports[2].name:",
            "spec.ports[2].protocol:",
            "spec.ports[3].name:",
            "spec.externalIPs[0]:",
            "spec.type:",
            "ports[0].port:",
        ]
    )


@WAYS
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, r"spec.clusterIPs\[0\]: the ClusterIP 10.96.0.10 is taken: Service default/web has it"),
        (
            {"clusterIP": "10.96.0.11", "clusterIPs": ["10.96.0.11"]},
            r"spec.ports\[0\].nodePort: the node port 30080/TCP is taken: Service default/web \(ports\[0\]\) has it",
        ),
    ],
)
def test_what_only_one_service_can_have_is_refused_to_a_second(
    fields: dict[str, Any], words: str, write: Write
) -> None:
    node_port = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
    other = a_service(**node_port, **fields) | {"metadata": {"name": "other"}}
    with pytest.raises(TopologyError, match=words):
        read([(write(a_service(**node_port), other), "a")])


@WAYS
def test_the_same_object_twice_is_refused(write: Write) -> None:
    with pytest.raises(TopologyError, match="there is a Service 'web' in the namespace default"):
        read([(write(a_service()), "a"), (write(a_service()), "b")])


@pytest.mark.parametrize("data", [b"{", b"[1, 2", b"- a\n", b"just words", b"\xff\xfe", b"a: [\n"])
def test_what_is_neither_json_nor_yaml_of_objects_is_refused(data: bytes) -> None:
    with pytest.raises(TopologyError, match=r"^a:"):
        read([(data, "a")])


CONFIG = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.244.0.0/16\n"


@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps], ids=["yaml", "json"])
def test_the_config_map_of_a_cluster_is_as_good_as_the_file_in_it(write: Callable[[Any], str], tmp_path: Path) -> None:
    (tmp_path / "config").write_text(CONFIG)
    kubeconfig = {"config.conf": CONFIG, "kubeconfig.conf": "x"}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-proxy"}, "data": kubeconfig}
    (tmp_path / "map").write_text(write(whole))
    (first, _), (second, _) = (cluster_files.settings(str(tmp_path / name)) for name in ("config", "map"))
    assert first == second
    assert first.cluster_cidr == "10.244.0.0/16"


@pytest.mark.parametrize(
    ("text", "words"), [(CONFIG + "mode: ipvs\n", "mode: 'ipvs'"), ("kind: ConfigMap\n", "no Kube")]
)
def test_a_wrong_configuration_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(TopologyError, match=words):
        cluster_files.settings(str(tmp_path / "config"))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(as_json(a_service()))))
    assert len(cluster_files.load(["-"]).services) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="there is no such file"):
        cluster_files.load([str(tmp_path / "none")])
