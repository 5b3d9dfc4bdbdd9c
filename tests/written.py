"""Topologies written in a line, and the addresses that controllers gave."""

from __future__ import annotations

import pytest

from lab.errors import TopologyError
from lab.model.cluster import Cluster, node_addresses, pod_addresses
from lab.topology import read

DUAL = "{podCIDR: '10.244.0.0/16,fd00:10:244::/56', serviceCIDR: '10.96.0.0/16,fd00:10:96::/112'}"
SIX = "{podCIDR: 'fd00:10:244::/56', serviceCIDR: 'fd00:10:96::/112'}"


def build(text: str = "", spec: str = "{nodes: [node-1, node-2]}") -> Cluster:
    """Return the cluster of a Lab spec and of objects, which are separated by `---`."""
    lab = f"apiVersion: hairpin/v1alpha1\nkind: Lab\nmetadata: {{name: test}}\nspec: {spec}\n"
    return read(f"{lab}---\n{text}" if text else lab, "lab.yaml").cluster


def mistakes(text: str = "", spec: str = "{nodes: [node-1, node-2]}") -> str:
    with pytest.raises(TopologyError) as caught:
        build(text, spec)
    return caught.value.message


def pod(name: str, spec: str = "{}", *, labels: str = "{}", namespace: str = "default", status: str = "{}") -> str:
    meta = f"{{name: {name}, namespace: {namespace}, labels: {labels}}}"
    return f"apiVersion: v1\nkind: Pod\nmetadata: {meta}\nspec: {spec}\nstatus: {status}\n---\n"


def service(name: str, spec: str = "{ports: [{port: 80}]}", *, namespace: str = "default") -> str:
    meta = f"{{name: {name}, namespace: {namespace}}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {meta}\nspec: {spec}\n---\n"


def deployment(name: str, replicas: int, spec: str = "{}", *, labels: str = "{app: web}") -> str:
    template = f"{{metadata: {{labels: {labels}}}, spec: {spec}}}"
    meta = f"{{name: {name}}}"
    spec = f"{{replicas: {replicas}, selector: {{matchLabels: {labels}}}, template: {template}}}"
    return f"apiVersion: apps/v1\nkind: Deployment\nmetadata: {meta}\nspec: {spec}\n---\n"


def node(name: str, spec: str = "{}", *, labels: str = "{}", status: str = "{}") -> str:
    meta = f"{{name: {name}, labels: {labels}}}"
    return f"apiVersion: v1\nkind: Node\nmetadata: {meta}\nspec: {spec}\nstatus: {status}\n---\n"


def ips(cluster: Cluster) -> dict[str, list[str]]:
    """Return the addresses of all machines by name."""
    found = {one.metadata.name: node_addresses(one) for one in cluster.nodes}
    found |= {one.metadata.name: pod_addresses(one) for one in cluster.pods}
    found |= {one.name: one.addresses for one in cluster.spec.clients}
    return {name: [str(address) for address in addresses] for name, addresses in found.items()}


def cluster_ips(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    return {one.metadata.name: one.spec.cluster_ips for one in cluster.services}


WEB = "{containers: [{ports: [{name: http, containerPort: 8080}]}]}"
ZONE = "{{topology.kubernetes.io/zone: {}}}"
ZONES = node("node-1", labels=ZONE.format("a")) + node("node-2", labels=ZONE.format("b")) + node("node-3")
ZONES += deployment("web", 3, WEB)
SLICE = """apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.9], nodeName: node-1}]
ports: [{port: 80}]
"""
