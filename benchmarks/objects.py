"""Objects of a large cluster, made up."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

ENDPOINTS = 4
"""How many endpoints each Service has."""


def objects(services: int) -> dict[str, Any]:
    """Return a List as `kubectl get nodes,services,endpointslices -o json` prints it, with what we have no use for."""
    node = {
        "metadata": {"name": "node-1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.10"}]},
    }
    items = [{"apiVersion": "v1", "kind": "Node", **node}]
    for number in range(services):
        items += [_service(number), _slice(number)]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _meta(name: str, number: int, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "default",
        "labels": labels,
        "uid": f"00000000-0000-4000-8000-{number:012}",
        "resourceVersion": str(number),
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }


def _service(number: int) -> dict[str, Any]:
    name = f"service-{number}"
    address = str(IPv4Address("10.96.0.10") + number)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name, number, {"app": name}),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            "selector": {"app": name},
            "sessionAffinity": "None",
        },
        "status": {"loadBalancer": {}},
    }


def _slice(number: int) -> dict[str, Any]:
    name = f"service-{number}"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta(f"{name}-abcde", number, {"kubernetes.io/service-name": name}),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [str(IPv4Address("10.128.0.2") + number * ENDPOINTS + each)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{each + 1}",
                "targetRef": {"kind": "Pod", "namespace": "default", "name": f"{name}-{each}"},
            }
            for each in range(ENDPOINTS)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def written(services: int, place: Path) -> Path:
    """Return a file with the objects, indented as kubectl does."""
    file = place / f"objects-{services}.json"
    if not file.exists():
        file.write_text(json.dumps(objects(services), indent=4), encoding="utf-8")
    return file
