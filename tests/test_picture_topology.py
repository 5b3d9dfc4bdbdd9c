"""A cluster's picture: complete where it is small, folded where it is large, and legible for every topology."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import catalogue
from lab.picture import topology
from lab.picture.topology import Scene
from lab.report.table import Look
from tests import pictures
from tests.pictures import SVG

NAMES = [entry.name for entry in catalogue.entries()]
HOSTILE = st.text(st.characters(codec="utf-8") | st.sampled_from('<>&"#`%;[]|{}\n\x1b'), min_size=1, max_size=80)


@cache  # the large one takes most of a second
def scene(name: str, **settings: str) -> Scene:
    return topology.scene(catalogue.choose(name, **settings).cluster)


def words(picture: str) -> list[str]:
    """Return the texts of an SVG."""
    root = ET.fromstring(picture)
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def classes(picture: str) -> list[str]:
    """Return the classes of an SVG's lines that are about endpoints."""
    root = ET.fromstring(picture)
    return [path.attrib["class"] for group in root.iter(f"{SVG}g") for path in group.findall(f"{SVG}path")]


@pytest.mark.parametrize("name", NAMES)
def test_every_topology_is_legible(name: str) -> None:
    drawn = scene(name)
    assert pictures.faults(topology.svg(drawn)) == []
    assert pictures.mermaid_faults(topology.mermaid(drawn)) == []


@pytest.mark.parametrize("settings", [{"plugin": "ptp"}, {"overlay": "vxlan"}, {"plugin": "ptp", "overlay": "vxlan"}])
def test_every_wiring_is_legible(settings: dict[str, str]) -> None:
    drawn = scene("dual-stack", **settings)
    assert pictures.faults(topology.svg(drawn)) == []
    shown = words(topology.svg(drawn))
    assert ("cbr0" in shown, "veths" in shown) == (("plugin" not in settings), ("plugin" in settings))
    assert ("flannel.1" in shown) == ("flannel-v6.1" in shown) == ("overlay" in settings)


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", NAMES)
def test_in_letters_it_fits_the_terminal(name: str, width: int) -> None:
    for look in (Look(width=width), Look(width=width, unicode=False)):
        text = topology.text(scene(name), look)
        assert max(map(len, text.splitlines())) <= width
        assert look.unicode or text.isascii()


def test_all_of_a_small_cluster_is_there() -> None:
    shown = words(topology.svg(scene("clusterip")))
    for text in ("node-1", "node-2", "web-1", "10.244.1.2", "client-a", "web", "10.96.0.10", "http 80/TCP → 8080",
                 "cbr0", "10.244.2.1", "eth0", "192.168.0.11", "router", "client", "198.51.100.10"):  # fmt: skip
        assert text in shown
    assert not any("more" in text for text in shown)


def test_what_cannot_be_read_is_counted() -> None:
    drawn = scene("large")
    shown = words(topology.svg(drawn))
    assert "and 16 more nodes, with 800 pods" in shown
    assert shown.count("and 46 more pods") == 4
    assert "and 492 more Services" in shown
    (wide, high) = re.findall(r'(?:width|height)="([\d.]+)"', topology.svg(drawn))[:2]
    assert float(wide) < 1200
    assert float(high) < 1600
    counted = sum(len(node.pods) + node.more for node in drawn.nodes) + drawn.more_pods
    assert (counted, len(drawn.nodes) + drawn.more_nodes, len(drawn.services) + drawn.more_services) == (1000, 20, 500)


def test_a_service_that_is_drawn_has_its_endpoints_drawn_first() -> None:
    drawn = scene("session-affinity")
    assert {pod.name for node in drawn.nodes for pod in node.pods} >= {"web-1", "web-2"}
    assert sum(len(node.pods) + node.more for node in drawn.nodes) == 28
    assert any(node.more for node in drawn.nodes)


STATES = """apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: states}
spec: {nodes: [node-1]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.244.1.10], nodeName: node-1}
- {addresses: [10.244.1.11], nodeName: node-1, conditions: {ready: false}}
- {addresses: [10.244.1.12], nodeName: node-1, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [203.0.113.9]}
---
apiVersion: v1
kind: Pod
metadata: {name: one}
spec: {nodeName: node-1, containers: [{ports: [{containerPort: 8080}]}]}
status: {podIP: 10.244.1.10}
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec: {nodeName: node-1}
status: {podIP: 10.244.1.11, conditions: [{type: Ready, status: "False"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: three, deletionTimestamp: "2026-01-01T00:00:00Z"}
spec: {nodeName: node-1}
status: {podIP: 10.244.1.12}
"""


def test_endpoints_are_told_apart_by_their_state() -> None:
    drawn = topology.scene(catalogue.choose(STATES).cluster)
    picture = topology.svg(drawn)
    assert sorted(classes(picture)) == ["way-amber dashed", "way-green", "way-red dotted"]
    assert {"terminating", "not ready", "outside: 203.0.113.9:8080"} <= set(words(picture))
    assert pictures.faults(picture) == []
    text = topology.text(drawn)
    assert re.search(r"├─ two +10\.244\.1\.11:8080  not ready", text)
    assert re.search(r"├─ three +10\.244\.1\.12:8080  terminating", text)
    assert "└─ outside of the cluster: 203.0.113.9:8080" in text
    mermaid = topology.mermaid(drawn)
    assert {" --> ", " -.-> ", " -.-x "} <= set(re.findall(r" -[.-]*[->x]+ ", mermaid.replace("|", " |")))


def test_a_page_lights_a_service_with_its_endpoints() -> None:
    root = ET.fromstring(topology.svg(scene("clusterip")))
    groups = {one.attrib["data-key"]: one.attrib["data-of"].split() for one in root.iter() if "data-key" in one.attrib}
    web = next(key for key in groups if key == "service-0")
    ends = set(groups[web]) - {web}
    assert len(ends) == 2
    assert all(web in groups[end] for end in ends)
    lines = [one.attrib["data-of"] for one in root.iter() if "data-of" in one.attrib and "data-key" not in one.attrib]
    assert {f"{web} {end}" for end in ends} <= set(lines)


@given(HOSTILE)
def test_no_name_becomes_anything_else_than_text(name: str) -> None:
    whole = scene("clusterip")
    node = replace(
        whole.nodes[0], name=name, pods=(replace(whole.nodes[0].pods[0], name=name), *whole.nodes[0].pods[1:])
    )
    service = replace(whole.services[0], name=name, notes=(name,))
    drawn = replace(whole, name=name, nodes=(node, whole.nodes[1]), services=(service, whole.services[1]))
    assert pictures.faults(topology.svg(drawn)) == []
    assert pictures.mermaid_faults(topology.mermaid(drawn)) == []
    assert topology.page(drawn).count("<script>") == 1
    text = topology.text(drawn)
    assert len(text.splitlines()) == len(topology.text(whole).splitlines())
    assert all(line.isprintable() for line in text.split("\n"))
