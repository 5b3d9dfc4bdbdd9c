"""Whatever kubectl prints of a real cluster, of any version and however it was kept, is read."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import TopologyError
from lab.model.address import FAMILIES, family_of
from lab.parse import cluster_files, quick
from lab.parse.cluster_files import ClusterFiles, read
from lab.parse.yaml import documents
from lab.proxy.services import units
from tests.test_cluster_files import WAYS, Write, a_list, a_service, a_slice, as_json, as_yaml

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","kind":"Service","metadata":{"name":"web"}}
  creationTimestamp: "2020-05-04T09:26:31Z"
  labels: {app: web, "on": "yes", version: "1.20", commit: 12e4567a}
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1:
      f:spec:
        f:ports:
          .: {}
          k:{"port":80,"protocol":"TCP"}:
            .: {}
            f:port: {}
    manager: kubectl
    operation: Update
    time: "2020-05-04T09:26:31Z"
  name: web
  namespace: default
  resourceVersion: "123"
  selfLink: /api/v1/namespaces/default/services/web
  uid: 0a0a0a0a-0000-4000-8000-000000000001
spec:
  clusterIP: 10.96.0.10
  ipFamily: IPv4
  ports:
  - name: http
    port: 80
    protocol: TCP
    targetPort: 8080
  selector:
    app: web
  sessionAffinity: None
  topologyKeys:
  - kubernetes.io/hostname
  - '*'
  type: ClusterIP
status:
  loadBalancer: {}
"""
SLICE = """\
addressType: IPv4
apiVersion: discovery.k8s.io/v1
endpoints:
- addresses:
  - 10.244.1.2
  conditions:
    ready: true
  deprecatedTopology:
    kubernetes.io/hostname: node-1
  nodeName: node-1
kind: EndpointSlice
metadata:
  labels:
    kubernetes.io/service-name: web
  name: web-1
ports:
- name: http
  port: 8080
  protocol: TCP
"""
BOTH = f"{SERVICE}---\n{SLICE}"


def of(text: str | bytes) -> ClusterFiles:
    return read([(text.encode() if isinstance(text, str) else text, "a")])


def as_list(*documents: str) -> str:
    items = "".join("- " + "\n  ".join(text.splitlines()) + "\n" for text in documents)
    return f'apiVersion: v1\nitems:\n{items}kind: List\nmetadata:\n  resourceVersion: ""\n'


def as_typed_lists(*documents: str) -> str:
    made = []
    for text in documents:
        one = yaml.safe_load(text)
        whole = {"apiVersion": one.pop("apiVersion"), "kind": one.pop("kind") + "List", "metadata": {}, "items": [one]}
        made.append(yaml.safe_dump(whole))
    return "---\n".join(made)


def as_json_list(*documents: str) -> str:
    return json.dumps(a_list(*map(yaml.safe_load, documents)), indent=4)


def as_json_in_a_row(*documents: str) -> str:
    return "\n".join(json.dumps(yaml.safe_load(text), indent=4) for text in documents)


FORMS: dict[str, Callable[..., str]] = {
    "documents": lambda *texts: "---\n".join(texts),
    "list": as_list,
    "typed-lists": as_typed_lists,
    "json": as_json_list,
    "json-in-a-row": as_json_in_a_row,
    "json-lines": lambda *texts: "".join(json.dumps(yaml.safe_load(text)) + "\n" for text in texts),
    "flow-style": lambda *texts: yaml.safe_dump_all(map(yaml.safe_load, texts), default_flow_style=True),
}
DRESSES: dict[str, Callable[[str], bytes]] = {
    "bare": str.encode,
    "byte-order-mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "windows-lines": lambda text: text.replace("\n", "\r\n").encode(),
    "no-line-at-the-end": lambda text: text.rstrip("\n").encode(),
    "blank-lines": lambda text: b"\n\n" + text.encode() + b"\n\n",
}
YAML_DRESSES: dict[str, Callable[[str], bytes]] = {
    "documents-without-content": lambda text: f"---\n---\n# nothing\n---\n{text}---\n...\n---\n".encode(),
    "directive": lambda text: f"%YAML 1.1\n---\n{text}...\n".encode(),
}


@pytest.mark.parametrize("dress", [*DRESSES, *YAML_DRESSES])
@pytest.mark.parametrize("form", FORMS)
def test_the_same_objects_are_the_same_in_every_form(form: str, dress: str) -> None:
    if dress in YAML_DRESSES and form.startswith("json"):
        return  # documents are YAML's
    text = FORMS[form](SERVICE, SLICE)
    found = of((DRESSES | YAML_DRESSES)[dress](text))
    (unit,) = units(found.services, found.slices, "ipv4")
    assert (unit.name, str(unit.cluster_ip), unit.port) == ("web", "10.96.0.10", 80)
    assert [(str(one.address), one.port, one.node) for one in unit.endpoints] == [("10.244.1.2", 8080, "node-1")]
    assert not found.skipped


def test_anchors_and_merges_mean_what_they_mean_in_yaml() -> None:
    text = BOTH.replace("  ports:\n  - name", "  ports:\n  - &port\n    name").replace(
        "  selector:\n", "  - {<<: *port, name: more, port: 81}\n  selector:\n"
    )
    assert [(port.name, port.port, port.target_port) for port in of(text).services[0].spec.ports] == [
        ("http", 80, 8080),
        ("more", 81, 8080),
    ]


def test_a_last_applied_configuration_may_be_as_long_as_kubernetes_lets_it_be() -> None:
    for write in (as_json, as_yaml):
        long = a_service() | {"metadata": {"name": "web", "annotations": {"a": "x" * 100_000}, "uid": None}}
        assert of(write(long)).services


def test_a_slice_of_kubernetes_1_20_names_its_node_in_its_topology() -> None:
    old = SLICE.replace("discovery.k8s.io/v1\n", "discovery.k8s.io/v1beta1\n").replace("  nodeName: node-1\n", "")
    for text in (
        old.replace("deprecatedTopology", "topology"),
        as_json_list(old.replace("deprecatedTopology", "topology")),
    ):
        assert of(text).slices[0].endpoints[0].node_name == "node-1"
    assert of(old.replace("deprecatedTopology", "unheardOf")).slices[0].endpoints[0].node_name is None


@WAYS
def test_a_kind_of_another_group_is_not_ours(write: Write) -> None:
    knative = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"a": 1}}
    longhorn = {"apiVersion": "longhorn.io/v1beta2", "kind": "Node", "metadata": {"name": "x"}, "spec": {"podCIDR": 1}}
    found = of(write(knative, longhorn, a_service()))
    assert found.skipped == {"Node of longhorn.io": 1, "Service of serving.knative.dev": 1}
    assert len(found.services) == 1


@WAYS
def test_a_version_of_our_group_that_is_not_known_is_refused(write: Write) -> None:
    with pytest.raises(TopologyError, match=r"apiVersion: 'discovery.k8s.io/v2' is not known; expected discovery"):
        of(write(a_slice(apiVersion="discovery.k8s.io/v2")))


@WAYS
@pytest.mark.parametrize("field", ["apiVersion", "kind"])
@pytest.mark.parametrize("value", [None, "", 5])
def test_an_object_says_what_it_is(field: str, value: object, write: Write) -> None:
    for wrong in (a_service() | {field: value}, {key: part for key, part in a_service().items() if key != field}):
        with pytest.raises(TopologyError, match=rf"^a:\d+:\d+: .*the field {field} is missing; expected"):
            of(write(a_slice(), wrong))


@pytest.mark.parametrize("data", [b"", b"\n", b"# only a comment\n", b"---\n...\n", b"\xef\xbb\xbf"])
def test_a_file_with_nothing_in_it_is_refused(data: bytes) -> None:
    with pytest.raises(TopologyError, match=r"^a: there is nothing in here"):
        of(data)
    assert of(json.dumps(a_list())).services == ()


def test_endpoints_are_skipped_for_kube_proxy_reads_slices() -> None:
    endpoints = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"}, "subsets": [{"a": 1}]}
    assert of(as_json(endpoints, a_service())).skipped == {"Endpoints": 1}


@WAYS
def test_a_service_that_no_cluster_gave_an_address_is_skipped(write: Write) -> None:
    spec = {"ports": [{"port": 80}]}
    found = of(write({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"}, "spec": spec}, a_service()))
    assert found.skipped == {"Service without a clusterIP": 1}
    assert [one.metadata.name for one in found.services] == ["web"]


@WAYS
def test_addresses_of_older_clusters_mean_what_kube_proxy_takes_them_for(write: Write) -> None:
    old = a_service(
        type="LoadBalancer",
        clusterIP="010.096.0.10",
        clusterIPs=["010.096.0.10"],
        externalIPs=["203.000.113.007", "::ffff:203.0.113.8"],
        loadBalancerSourceRanges=[" 198.51.100.7/24 ", "010.0.0.0/08"],
        ports=[{"name": "http", "port": 80}],
    )
    balancer = {"loadBalancer": {"ingress": [{"ip": "203.0.113.011"}, {"hostname": "a.example"}]}}
    found = of(write(old | {"status": balancer}, a_slice(endpoints=[{"addresses": ["010.244.1.2"]}])))
    (unit,) = units(found.services, found.slices, "ipv4")
    assert str(unit.cluster_ip) == "10.96.0.10"
    assert list(map(str, unit.external_ips)) == ["203.0.113.7", "203.0.113.8"]
    assert list(map(str, unit.source_ranges)) == ["198.51.100.0/24", "10.0.0.0/8"]
    assert list(map(str, unit.load_balancer_ips)) == ["203.0.113.11"]
    assert [str(one.address) for one in unit.endpoints] == ["10.244.1.2"]


@WAYS
def test_dual_stack_in_either_order_is_one_address_of_each_family(write: Write) -> None:
    ips = ["fd00:10:96::a", "10.96.0.10"]
    found = of(write(a_service(clusterIP=ips[0], clusterIPs=ips, ipFamilies=["IPv6", "IPv4"])))
    chosen = {family: units(found.services, (), family)[0].cluster_ip for family in FAMILIES}
    assert chosen == {family_of(ip_address(text)): ip_address(text) for text in ips}


@WAYS
def test_a_service_may_begin_with_a_digit_where_the_api_server_lets_it(write: Write) -> None:
    found = of(write(a_service() | {"metadata": {"name": "1st"}}))
    assert found.services[0].metadata.name == "1st"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=8),
    st.sampled_from(["yes", "0x1", "1e3", "~", "<<", "1_0"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=3), st.booleans())
def test_the_quick_reader_says_what_the_careful_one_says_or_nothing(values: list[Any], flow: bool) -> None:
    text = yaml.safe_dump_all(values, default_flow_style=flow, allow_unicode=True)
    quickly = quick.values(text)
    try:
        carefully = [document.value for document in documents(text, "a")[0]]
    except TopologyError:
        assert quickly is None
        return
    assert quickly in (None, carefully)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\n",
        "a: !!str 1\n",
        "a: 1\na: 2\n",
        "{<<: {b: 1}}\n",
        "[a]: 1\n",
        "? {a: b}\n: 1\n",
        "a: [\n",
        "a: \x01\n",
    ],
)
def test_what_is_unusual_is_left_to_the_careful_reader(text: str) -> None:
    assert quick.values(text) is None
    assert quick.values("[" * 65 + "]" * 65) is None
    assert quick.values("a: 1\n") == [{"a": 1}]


@pytest.mark.parametrize("of_kind", ["Service", "EndpointSlice"])
def test_a_mistake_has_its_place_in_every_form(of_kind: str) -> None:
    wrong = {"Service": SERVICE.replace("port: 80\n", "port: 80000\n"), "EndpointSlice": SERVICE}[of_kind]
    other = {"Service": SLICE, "EndpointSlice": SLICE.replace("10.244.1.2", "10.244.1.300")}[of_kind]
    sign = {"Service": "80000", "EndpointSlice": "10.244.1.300"}[of_kind]
    for form, write in FORMS.items():
        text = write(wrong, other, other.replace("web-1", "web-2")) if of_kind == "Service" else write(wrong, other)
        with pytest.raises(TopologyError) as caught:
            of(text)
        (mistake,) = caught.value.mistakes
        line, column = map(int, mistake.split(":")[1:3])
        here = text.splitlines()[line - 1][column - 1 :].lstrip("'\"")
        assert here.startswith(sign), (form, mistake)


def test_the_second_of_two_equal_objects_is_placed_where_it_stands() -> None:
    text = json.dumps(a_list(a_service(), a_slice(), a_service()), indent=1)
    with pytest.raises(TopologyError, match="there is a Service 'web' in the namespace default already") as caught:
        of(text)
    line = int(caught.value.mistakes[0].split(":")[1])
    assert text.splitlines()[line - 1].strip() == '"name": "web"'
    assert line > text.count("\n") // 2


def test_more_mistakes_than_are_kept_hide_no_wrong_field() -> None:
    """Fields that nobody knows are no mistakes: they neither count nor crowd out those that are."""
    many = [{"addresses": ["10.244.1.2"], "novelty": 1} for _ in range(150)]
    with pytest.raises(TopologyError, match=r"endpoints\[150\].addresses\[0\]: not an address"):
        of(as_yaml(a_slice(endpoints=[*many, {"addresses": ["x"]}])))


def test_what_was_skipped_is_said_in_a_sentence() -> None:
    assert cluster_files.skipped_text({"Pod": 2, "Secret": 1}).endswith("2 Pod and 1 Secret")
