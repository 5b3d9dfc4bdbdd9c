"""What the API server would refuse about an object of a cluster, beyond the types of its fields.

Source: pkg/apis/core/validation, pkg/apis/discovery/validation.
"""

from __future__ import annotations

from collections.abc import Iterable
from socket import AF_INET, inet_pton
from typing import TYPE_CHECKING

from lab.model import kubernetes as k8s
from lab.parse import names, values
from lab.parse.mistake import Mistakes, show

if TYPE_CHECKING:
    from lab.parse.mistake import Path

_VERSION = {"IPv4": 4, "IPv6": 6}
_NONE = ("", "None")


def judge(one: object, out: Mistakes) -> None:
    """Report what is wrong with an object whose fields have the right types."""
    if isinstance(one, k8s.KubeProxyConfiguration):
        return
    if isinstance(one, k8s.Service):
        _name(one.metadata, "Service", out)
        _service(one, out)
    elif isinstance(one, k8s.EndpointSlice):
        _name(one.metadata, "EndpointSlice", out)
        _slice(one, out)
    elif isinstance(one, k8s.Node):
        _name(one.metadata, "Node", out)
        _node(one, out)


def _name(meta: k8s.ObjectMeta, kind: str, out: Mistakes) -> None:
    expected = names.BY_KIND[kind](meta.name)
    if expected:
        out.add(0, ("metadata", "name"), f"{show(meta.name)} cannot be the name of a {kind}; expected {expected}")
    expected = names.label(meta.namespace)
    if expected:
        text = f"{show(meta.namespace)} cannot be the name of a namespace; expected {expected}"
        out.add(0, ("metadata", "namespace"), text)


def _node(node: k8s.Node, out: Mistakes) -> None:
    for index, entry in enumerate(node.status.addresses):
        wrong = values.address(entry.address) if entry.type in ("InternalIP", "ExternalIP") else None
        if wrong:
            out.add(0, ("status", "addresses", index, "address"), wrong)


def _service(service: k8s.Service, out: Mistakes) -> None:
    spec = service.spec
    if spec.type == "ExternalName":
        return
    for index, text in enumerate(spec.cluster_ips):
        wrong = None if _is_address(text) else values.cluster_ip(text)
        if wrong:
            out.add(0, ("spec", "clusterIPs", index), wrong)
    if spec.cluster_ip not in spec.cluster_ips:
        wrong = values.cluster_ip(spec.cluster_ip)
        if wrong:
            out.add(0, ("spec", "clusterIP"), wrong)
    for index, text in enumerate(spec.load_balancer_source_ranges):
        wrong = values.source_range(text)
        if wrong:
            out.add(0, ("spec", "loadBalancerSourceRanges", index), wrong)
    if not out.kept:
        _families(spec, out)
    _ports(spec.ports, ("spec", "ports"), out)


def _is_address(text: str) -> bool:
    """Return whether a text is an IPv4 address, as nearly all are: at a tenth of the cost of saying what is wrong."""
    try:
        return bool(inet_pton(AF_INET, text))
    except (OSError, ValueError):
        return False


def _families(spec: k8s.ServiceSpec, out: Mistakes) -> None:
    """Each ClusterIP has the family that stands at its place in ipFamilies, and the first one is clusterIP."""
    first = spec.cluster_ips[0] if spec.cluster_ips else spec.cluster_ip
    if spec.cluster_ip and spec.cluster_ip != first:
        text = f"{show(spec.cluster_ip)} is not the first of clusterIPs; expected {first}"
        out.add(0, ("spec", "clusterIP"), text)
    for index, text in enumerate(spec.cluster_ips or (spec.cluster_ip,)):
        if text in _NONE or index >= len(spec.ip_families):
            continue
        family = spec.ip_families[index]
        if (6 if ":" in text else 4) != _VERSION[family]:
            path: Path = ("spec", "clusterIPs", index) if spec.cluster_ips else ("spec", "clusterIP")
            out.add(0, path, f"{text} is no {family} address, as ipFamilies[{index}] says; expected one")
    if len(set(spec.ip_families)) < len(spec.ip_families):
        out.add(0, ("spec", "ipFamilies"), f"{spec.ip_families[0]} is here twice; expected each family once")


def _ports(ports: Iterable[k8s.ServicePort], path: Path, out: Mistakes) -> None:
    ports = tuple(ports)
    seen: dict[str, int] = {}
    numbers: dict[tuple[int, str], int] = {}
    for index, port in enumerate(ports):
        wrong = names.service_port_name(port.name)
        if wrong:
            text = f"{show(port.name)} cannot be the name of a Service's port; expected {wrong}"
            out.add(0, (*path, index, "name"), text)
        if len(ports) > 1 and not port.name:
            text = "the field name is missing; expected a name for each port where there are several"
            out.add(0, (*path, index), text)
        elif seen.setdefault(port.name, index) != index:
            out.add(0, (*path, index, "name"), f"the port name {show(port.name)} is here twice; expected each once")
        if numbers.setdefault((port.port, port.protocol), index) != index:
            text = f"the port {port.port}/{port.protocol} is here twice; expected each once"
            out.add(0, (*path, index, "port"), text)


def _slice(one: k8s.EndpointSlice, out: Mistakes) -> None:
    version = _VERSION.get(one.address_type)
    for index, endpoint in enumerate(one.endpoints):
        if not endpoint.addresses:
            out.add(0, ("endpoints", index, "addresses"), "an empty list; expected an address")
        for number, address in enumerate(endpoint.addresses):
            if address.version != version:
                text = f"{address} is no {one.address_type} address, as addressType says; expected one slice per family"
                out.add(0, ("endpoints", index, "addresses", number), text)
    seen: dict[str, int] = {}
    for index, port in enumerate(one.ports):
        name = port.name or ""
        wrong = names.service_port_name(name)
        if wrong:
            out.add(0, ("ports", index, "name"), f"{show(name)} cannot be the name of a port; expected {wrong}")
        if seen.setdefault(name, index) != index:
            out.add(0, ("ports", index, "name"), f"the port name {show(name)} is here twice; expected each once")
