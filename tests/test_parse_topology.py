from __future__ import annotations

import os
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.parse.files import MAX_BYTES, data_of, decode_text
from lab.topology import load, read

ERRORS = Path(__file__).with_name("golden") / "errors"
TOPOLOGIES = sorted((Path(__file__).parent.parent / "topologies").glob("*/lab.yaml"))
LAB = "apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {name: test}\n"
SHOW_NO_ENDPOINTS = {"no-endpoints", "ipv6"}  # the topologies that have a Service without any, on purpose
QUICK_S = 5.0  # of CPU time, for any input at all: a busy machine does not count against it


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        read(text, "lab.yaml")
    return caught.value.mistakes


def cluster(text: str) -> Cluster:
    return read(f"{LAB}---\n{text}", "lab.yaml").cluster


@pytest.mark.parametrize("case", sorted(ERRORS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_of_a_file_is_said_in_the_order_of_the_file(case: Path) -> None:
    with pytest.raises(TopologyError) as caught:
        read(case.read_text(encoding="utf-8"), case.name)
    assert f"{caught.value}\n" == case.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_error_text_has_its_file() -> None:
    assert {path.stem for path in ERRORS.glob("*.txt")} == {path.stem for path in ERRORS.glob("*.yaml")}


@pytest.mark.parametrize("file", TOPOLOGIES, ids=lambda path: path.parent.name)
def test_the_topologies_have_no_mistake_and_nothing_that_surprises(file: Path) -> None:
    found = load(file)
    assert found.cluster.name == file.parent.name
    allowed = "which no pod has: it has no endpoints" if file.parent.name in SHOW_NO_ENDPOINTS else None
    assert [one for one in found.notes if not (allowed and one.endswith(allowed))] == []


def test_a_folder_means_its_lab_yaml(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text(LAB)
    assert load(tmp_path).cluster == load(tmp_path / "lab.yaml").cluster


def test_the_same_file_gives_the_same_cluster() -> None:
    text = TOPOLOGIES[0].read_text(encoding="utf-8")
    assert read(text, "a").cluster == read(text, "b").cluster


def test_nulls_mean_absent_as_kubectl_prints_them() -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: web-1, creationTimestamp: null, labels: null}
spec: {nodeName: null, containers: null}
status: null
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
nodePortAddresses: null
"""
    assert cluster(text).pods[0].metadata.labels == {}
    assert cluster(text).proxy.node_port_addresses is None


def test_fields_that_kubernetes_knows_and_hairpin_does_not_use_are_read_over() -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: {name: web-1, uid: x, managedFields: [{manager: kubectl}], ownerReferences: []}
spec:
  serviceAccountName: default
  tolerations: [{key: a}]
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: nginx
    resources: {limits: {cpu: 1}}
    env: [{name: A, value: b}]
    livenessProbe: {httpGet: {port: 80}}
status: {phase: Running, conditions: [{type: Ready}], startTime: "2026-01-01T00:00:00Z"}
"""
    assert [pod.metadata.name for pod in cluster(text).pods] == ["web-1"]


def test_what_kubectl_prints_of_a_real_cluster_is_read_as_it_is() -> None:
    found = load(Path(__file__).with_name("golden") / "kubectl" / "kind.yaml")
    assert found.notes == ()
    pods = {one.metadata.name: str(one.status.pod_ip) for one in found.cluster.pods}
    assert pods == {"coredns-76f75df574-abcde": "10.244.0.3", "kube-proxy-x": "172.18.0.3"}
    assert [one.spec.cluster_ip for one in found.cluster.services] == ["10.96.0.10", "10.96.0.1"]
    assert [one.metadata.name for one in found.cluster.slices] == ["kubernetes", "kube-dns-abcde"]


CASES = sorted((Path(__file__).with_name("golden") / "kube-proxy").glob("*/objects.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.parent.name)
def test_the_objects_that_a_kube_proxy_was_given_are_read(case: Path) -> None:
    six = case.parent.name == "dual-stack"
    network = {
        "podCIDR": "10.244.0.0/16" + ",fd00:10:244::/56" * six,
        "serviceCIDR": ("172.20" if case.parent.name == "seed-octopus" else "10.96")
        + ".0.0/16"
        + ",fd00:10:96::/112" * six,
        "nodeCIDR": "192.168.0.0/24" + ",fd00:c0a8::/64" * six,
    }
    docs = [LAB + f"spec: {{network: {network}}}", case.read_text(), case.with_name("proxy.yaml").read_text()]
    services = read("\n---\n".join(docs), "lab.yaml").cluster.services
    assert [one.metadata.name for one in services] == [
        one["metadata"]["name"] for one in yaml.safe_load_all(case.read_text()) if one["kind"] == "Service"
    ]


def test_a_list_holds_objects_and_so_does_a_list_of_one_kind() -> None:
    text = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
---
apiVersion: v1
kind: PodList
items:
- metadata: {name: c}
"""
    assert [pod.metadata.name for pod in cluster(text).pods] == ["a", "b", "c"]


def test_json_is_yaml() -> None:
    text = '{\n\t"apiVersion": "hairpin/v1alpha1",\n\t"kind": "Lab",\n\t"metadata": {"name": "a\\u002db"}\n}\n'
    assert read(text, "lab.json").cluster.name == "a-b"


def test_anchors_and_merges_work_and_are_not_shared() -> None:
    text = """
apiVersion: v1
kind: Pod
metadata: &meta {name: web-1, labels: &labels {app: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: &both {tier: front, <<: {app: web}}}
  template:
    metadata: {labels: *both}
"""
    assert [pod.metadata.labels for pod in cluster(text).pods] == [{"app": "web"}, {"tier": "front", "app": "web"}]


def test_a_mistake_in_a_merged_mapping_stands_where_it_was_written() -> None:
    text = f"{LAB}spec:\n  clients:\n  - &c {{name: a, adresses: []}}\n  - {{<<: *c, name: b}}\n"
    assert [one.split(" ")[0] for one in mistakes(text)] == ["lab.yaml:6:18:"] * 2


def test_a_mistake_does_not_hide_the_lab_s_own_and_makes_no_false_ones() -> None:
    text = f"""{LAB}spec:
  nods: [node-7]
  network: {{podCIDR: 10.96.0.0/12}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web-1}}
spec: {{nodeName: node-7}}
"""
    said = mistakes(text)
    assert len(said) == 2
    assert "unknown field 'nods'" in said[0]
    assert "overlaps podCIDR" in said[1]


def test_when_there_are_very_many_mistakes_the_first_are_said_and_the_others_counted() -> None:
    text = f"{LAB}spec:\n" + "".join(f"  field{number}: 1\n" for number in range(5000))
    said = mistakes(text)
    assert len(said) == 101
    assert said[-1] == "lab.yaml: and 4900 more mistakes"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x7fELF\0\0", "this is a binary file; expected YAML"),
        (b"kind: Lab\nname: \xff\xfe\n", "lab.yaml:2:7: the byte 0xff is not UTF-8"),
        ("kind: Läb\nname: ü".encode("latin-1"), "lab.yaml:1:8: the byte 0xe4 is not UTF-8"),
    ],
)
def test_what_is_not_text_is_said_to_be_none(data: bytes, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        decode_text(data, "lab.yaml")


def test_a_byte_order_mark_is_forgiven() -> None:
    assert read(decode_text(b"\xef\xbb\xbf" + LAB.encode(), "lab.yaml"), "lab.yaml").cluster.name == "test"


def test_a_control_character_is_named_with_its_place() -> None:
    assert mistakes("kind: Lab\nname: a\x1b[31m") == (
        "lab.yaml:2:8: the character '\\x1b' is not allowed in YAML; expected text",
    )


@pytest.mark.parametrize("name", ["missing.yaml", "a" * 300, "a\0b", "folder"])
def test_a_file_that_cannot_be_read_is_the_user_s_mistake(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(TopologyError, match=r"no such file|cannot be read"):
        load(tmp_path / name)
    with pytest.raises(TopologyError, match="this is a folder"):
        data_of(str(tmp_path), most=MAX_BYTES, hint="")


def test_a_file_name_cannot_mess_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"\\x1b"):
        load(tmp_path / "\x1b[31m.yaml")


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    with file.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    began = time.process_time()
    with pytest.raises(TopologyError, match="larger than 8 MiB"):
        load(file)
    assert time.process_time() - began < 1
    assert MAX_BYTES == 8 * 1024 * 1024


def test_a_pipe_or_a_device_without_end_is_refused() -> None:
    with pytest.raises(TopologyError, match="larger than"):
        load(Path("/dev/zero"))


def _laughs() -> str:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 1_000_000, "levels of nesting"),
        ("- " * 1_000_000, "levels of nesting"),
        ("{a: " * 100_000, "levels of nesting"),
        ("? " * 100_000, "levels of nesting"),
        (_laughs(), "values, with those that its aliases repeat"),
        ("- a\n" * 2_000_000, "more than 300000 values"),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000)), "levels of nesting"),
        ("a: &a [x]\nb: [" + "*a, " * 500_000 + "]", "values, with those that its aliases repeat"),
        ("a: " + "9" * 100_000, "there is no Lab|kind"),
        ("? " + "k" * 1_000_000 + "\n: x", "kind"),
        ("kind: " + "Pod" * 100_000, "is no kind"),
        (f"{LAB}spec: {{nodes: [{', '.join('n' * 300 for _ in range(1000))}]}}", "cannot be the name of a node"),
        (f"{LAB}spec: {{network: {{podCIDR: '{'1' * 1_000_000}'}}}}", "too long"),
        (f"{LAB}spec: {{{', '.join('x' * 500 + f'{n}: 1' for n in range(2000))}}}", "unknown field"),
    ],
    ids=range(14),
)
def test_an_attack_is_refused_quickly(text: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(TopologyError, match=message):
        read(text, "lab.yaml")
    assert time.process_time() - began < QUICK_S


def test_no_control_character_of_a_value_reaches_the_terminal() -> None:
    text = f'{LAB}---\napiVersion: v1\nkind: "\\e[2J\\n\\u202e"\nmetadata: {{name: a}}\n'
    assert all(line.isprintable() for line in mistakes(text))


# --- garbage ---------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *("apiVersion", "kind", "metadata", "name", "spec", "v1", "Pod", "Lab", "Service", "ports", "items", "List"),
        *("nodes", "clusterIP", "hairpin/v1alpha1", "10.0.0.1", "10.244.0.0/16", "fd00::1", "web", "expect", "<<"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | WORDS, inner, max_size=4),
    max_leaves=20,
)


def survives(resolve: Callable[[], object]) -> None:
    """Do it: nothing but a `TopologyError` may come of it, in printable lines, and soon."""
    began = time.process_time()
    said: tuple[str, ...] = ("nothing",)
    try:
        resolve()
    except TopologyError as error:
        said = error.mistakes
    assert said
    assert all(line.isprintable() for line in said)
    assert time.process_time() - began < QUICK_S


def dumped(values: list[Any]) -> str:
    return str(yaml.dump_all(values, Dumper=yaml.CSafeDumper, allow_unicode=True))


@settings(deadline=None)
@given(st.text() | st.text(alphabet="[]{}:,-&*!|>'\"%@`? \n\t#ab1<"))
def test_garbage_is_a_topology_error(text: str) -> None:
    survives(lambda: read(text, "lab.yaml").notes)


@settings(deadline=None)
@given(st.binary())
def test_garbage_bytes_are_a_topology_error(data: bytes) -> None:
    survives(lambda: read(decode_text(data, "lab.yaml"), "lab.yaml"))


@settings(deadline=None)
@given(st.lists(VALUES, max_size=3))
def test_garbage_structures_are_a_topology_error(values: list[Any]) -> None:
    survives(lambda: read(dumped(values), "lab.yaml").notes)


def _paths(value: object, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [here]
    if isinstance(value, dict):
        found += [path for key in value for path in _paths(value[key], (*here, key))]
    elif isinstance(value, list):
        found += [path for index, item in enumerate(value) for path in _paths(item, (*here, index))]
    return found


SMALL = 16 * 1024  # characters; a larger topology has the same fields, only more often
KUBECTL = Path(__file__).with_name("golden") / "kubectl" / "kind.yaml"
GOOD = [text for file in (*TOPOLOGIES, KUBECTL) if len(text := file.read_text(encoding="utf-8")) < SMALL]
DOCUMENTS = [list(yaml.load_all(text, Loader=yaml.CSafeLoader)) for text in GOOD]


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_garbage_within_a_good_topology_is_a_topology_error(data: st.DataObject) -> None:
    docs = deepcopy(data.draw(st.sampled_from(DOCUMENTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([path for path in _paths(docs) if path]))
        parent = docs
        for step in path[:-1]:
            parent = parent[step]
        if data.draw(st.booleans()):
            parent[path[-1]] = data.draw(VALUES)
        elif isinstance(parent, dict):
            parent[data.draw(st.text(max_size=10))] = parent.pop(path[-1])
        else:
            parent.append(parent[path[-1]])
    survives(lambda: read(dumped(docs), "lab.yaml").notes)


def test_a_text_with_lone_surrogates_is_a_topology_error() -> None:
    survives(lambda: read("a: \ud800", "lab.yaml"))
    survives(lambda: read(os.fsdecode(b"a: \xff"), "lab.yaml"))


def test_kinds_that_do_not_matter_are_passed_over_and_counted() -> None:
    others = "".join(
        f"---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n" for kind in ("Namespace", "Secret", "Secret")
    )
    done = read(LAB + others, "lab.yaml")
    assert done.notes == ("passed over, since nothing here depends on it: 1 Namespace and 2 Secret",)
    with pytest.raises(TopologyError, match="'DaemonSet' is no kind that Hairpin reads"):
        read(LAB + others.replace("Secret", "DaemonSet"), "lab.yaml")
