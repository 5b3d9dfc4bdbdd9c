"""What the API server would refuse about an object, beyond the types of its fields.

Only what every version of it refuses, so that what stands in a real cluster is never refused; and not where a field
means nothing beside others (a node port of type ClusterIP): kube-proxy takes those as they are.
Source: ValidateService, ValidateServiceClusterIPsRelatedFields and ValidateNonSpecialIP in pkg/apis/core/validation,
pkg/apis/discovery/validation, pkg/apis/networking/validation.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from socket import AF_INET, inet_pton
from typing import TYPE_CHECKING

from lab.model import kubernetes as k8s
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse import config_rules, names, sloppy, values
from lab.parse.mistake import Mistakes, listed, show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.model.address import IPAddress
    from lab.parse.mistake import Path

_VERSION = {"IPv4": 4, "IPv6": 6}
_NONE = ("", "None")
_MOST_ADDRESSES = 2  # one of each family
# the first bytes of all that `_not_special` may find, and how far to shift an address to have its first byte
_SPECIAL: dict[int | None, tuple[set[int], int]] = {4: ({0, 127, 169, 224}, 24), 6: ({0, 0xFE, 0xFF}, 120)}
_LOCAL_MULTICAST = (IPv4Network("224.0.0.0/24"), IPv6Network("ff02::/16"))


def judge(one: object, at: int, out: Mistakes) -> None:
    """Report what is wrong with an object of a cluster whose fields have the right types."""
    if isinstance(one, KubeProxyConfiguration):
        config_rules.judge(one, at, out)
    elif isinstance(one, k8s.Service):
        _meta(one.metadata, "Service", at, out)
        service(one, at, out)
        _addresses(one.spec, at, out)
    elif isinstance(one, k8s.EndpointSlice):
        _meta(one.metadata, "EndpointSlice", at, out)
        endpoint_slice(one, at, out)
    elif isinstance(one, k8s.Node):
        _meta(one.metadata, "Node", at, out)
        _node(one, at, out)
    elif isinstance(one, k8s.Pod):
        _meta(one.metadata, "Pod", at, out)
    elif isinstance(one, k8s.ServiceCIDR):
        _meta(one.metadata, "ServiceCIDR", at, out)
        _service_cidr(one, at, out)


def _meta(meta: k8s.ObjectMeta, kind: str, at: int, out: Mistakes) -> None:
    # since 1.34 an API server may be told to let Services' names begin with a digit (RelaxedServiceNameValidation)
    rule = names.label if kind == "Service" else names.BY_KIND[kind]
    expected = _remembered(rule, meta.name)
    if expected:
        out.add(at, ("metadata", "name"), f"{show(meta.name)} cannot be the name of a {kind}; expected {expected}")
    expected = _remembered(names.label, meta.namespace)
    if expected:
        text = f"{show(meta.namespace)} cannot be the name of a namespace; expected {expected}"
        out.add(at, ("metadata", "namespace"), text)
    _labels(meta.labels, at, ("metadata", "labels"), out)


@lru_cache(maxsize=1 << 12)
def _remembered(rule: Callable[[str], str | None], text: str) -> str | None:
    """Return what `rule` says: most of a cluster's labels and namespaces come again and again."""
    return rule(text)


def _labels(labels: Mapping[str, str], at: int, path: Path, out: Mistakes) -> None:
    for key, value in labels.items():
        expected = _remembered(names.label_key, key)
        if expected:
            out.add(at, (*path, key), f"{show(key)} cannot be a label's key; expected {expected}", key=True)
        wrong = _remembered(values.LABEL_VALUE, value)
        if wrong:
            out.add(at, (*path, key), wrong)


def _node(node: k8s.Node, at: int, out: Mistakes) -> None:
    for index, entry in enumerate(node.status.addresses):
        wrong = sloppy.address(entry.address) if entry.type in ("InternalIP", "ExternalIP") else None
        if wrong:
            out.add(at, ("status", "addresses", index, "address"), wrong)


def _service_cidr(one: k8s.ServiceCIDR, at: int, out: Mistakes) -> None:
    versions = [cidr.version for cidr in one.spec.cidrs]
    if not versions:
        out.add(at, ("spec", "cidrs"), "it is missing; expected one range, or one of each family")
    if len(set(versions)) < len(versions):
        out.add(at, ("spec", "cidrs"), "two ranges of one family; expected one, or one of each family")


def service(one: k8s.Service, at: int, out: Mistakes) -> None:
    """Report what is wrong with a Service, be it in a cluster or only to be created: its addresses may be missing."""
    spec = one.spec
    path: Path = ("spec",)
    headless = "None" in (spec.cluster_ip, *spec.cluster_ips)
    if spec.type == "ExternalName":
        if not spec.external_name:
            out.add(at, (*path, "externalName"), "it is missing; expected a name: the type is ExternalName")
    elif not spec.ports and not headless:
        out.add(at, (*path, "ports"), "it is missing; expected at least one port", certain=False)
    if headless and spec.type in ("NodePort", "LoadBalancer"):
        text = f"a headless Service (clusterIP None) cannot be of type {spec.type}; expected type ClusterIP"
        out.add(at, (*path, "type"), text)
    _ports(spec.ports, at, out)
    _labels(spec.selector, at, (*path, "selector"), out)
    for index, address in enumerate(spec.external_ips):
        _not_special(address, at, (*path, "externalIPs", index), out)
    for index, text in enumerate(spec.load_balancer_source_ranges):
        wrong = sloppy.source_range(text)
        if wrong:
            out.add(at, (*path, "loadBalancerSourceRanges", index), wrong)


def _addresses(spec: k8s.ServiceSpec, at: int, out: Mistakes) -> None:
    """The ClusterIPs are addresses, one of each family at most, as ipFamilies has them; clusterIP is the first."""
    if spec.type == "ExternalName":
        return
    good = True
    texts: list[tuple[Path, str]] = [(("clusterIPs", index), text) for index, text in enumerate(spec.cluster_ips)]
    if spec.cluster_ip not in spec.cluster_ips:
        texts.append((("clusterIP",), spec.cluster_ip))
    for path, text in texts:
        wrong = None if _is_address(text) else _cluster_ip(text)
        if wrong:
            good = False
            out.add(at, ("spec", *path), wrong)
    if len(set(spec.ip_families)) < len(spec.ip_families):
        out.add(at, ("spec", "ipFamilies"), f"{spec.ip_families[0]} is here twice; expected each family once")
    if good:
        _families(spec, at, out)


def _families(spec: k8s.ServiceSpec, at: int, out: Mistakes) -> None:
    ips: Path = ("spec", "clusterIPs")
    first = spec.cluster_ips[0] if spec.cluster_ips else spec.cluster_ip
    if spec.cluster_ip != first:
        what = f"{show(spec.cluster_ip)} is not the first of clusterIPs" if spec.cluster_ip else "it is missing"
        out.add(at, ("spec", "clusterIP"), f"{what}; expected {first}")
    if "None" in spec.cluster_ips and len(spec.cluster_ips) > 1:
        out.add(at, ips, "None is not alone; expected addresses, or None alone for a headless Service")
        return
    versions = [_version(text) for text in spec.cluster_ips or (spec.cluster_ip,) if text not in _NONE]
    if len(versions) > _MOST_ADDRESSES or len(set(versions)) < len(versions):
        out.add(at, ips, f"{listed(spec.cluster_ips, last='and')} are not one of each family; expected that")
    for index, (version, family) in enumerate(zip(versions, spec.ip_families, strict=False)):
        if version != _VERSION[family]:
            path: Path = (*ips, index) if spec.cluster_ips else ("spec", "clusterIP")
            text = spec.cluster_ips[index] if spec.cluster_ips else spec.cluster_ip
            out.add(at, path, f"{text} is no {family} address, as ipFamilies[{index}] says; expected one")


def _cluster_ip(text: str) -> str | None:
    wrong = sloppy.address(text) if text not in _NONE else None
    return f"{wrong}, or None for a headless Service" if wrong else None


def _is_address(text: str) -> bool:
    """Return whether a text is an IPv4 address, as nearly all are: at a tenth of the cost of saying what is wrong."""
    try:
        return bool(inet_pton(AF_INET, text))
    except (OSError, ValueError):
        return False


def _version(text: str) -> int:
    return 4 if _is_address(text) else sloppy.parse_address(text).version


def _ports(ports: tuple[k8s.ServicePort, ...], at: int, out: Mistakes) -> None:
    called: dict[str, int] = {}
    numbers: dict[tuple[int, str], int] = {}
    for index, port in enumerate(ports):
        path: Path = ("spec", "ports", index)
        wrong = _remembered(names.service_port_name, port.name)
        if wrong:
            text = f"{show(port.name)} cannot be the name of a Service's port; expected {wrong}"
            out.add(at, (*path, "name"), text)
        if len(ports) > 1 and not port.name:
            out.add(at, (*path, "name"), "it is missing; expected a name for each port where there are several")
        elif called.setdefault(port.name, index) != index:
            out.add(at, (*path, "name"), f"the port name {show(port.name)} is here twice; expected each once")
        other = numbers.setdefault((port.port, port.protocol), index)
        if other != index:
            text = f"the port {port.port}/{port.protocol} is here twice, as ports[{other}] already; expected each once"
            out.add(at, (*path, "port"), text)
        _target_port(port.target_port, at, (*path, "targetPort"), out)


def _target_port(target: int | str | None, at: int, path: Path, out: Mistakes) -> None:
    if isinstance(target, str):
        wrong = values.target_port(target)
        if wrong:
            out.add(at, path, wrong)
    elif target is not None and not 1 <= target <= k8s.HIGHEST_PORT:
        text = f"{target} is out of range; expected a whole number from 1 to {k8s.HIGHEST_PORT}, or a port's name"
        out.add(at, path, text)


def endpoint_slice(one: k8s.EndpointSlice, at: int, out: Mistakes) -> None:
    """Report what is wrong with an EndpointSlice."""
    version = _VERSION.get(one.address_type)
    special, shift = _SPECIAL.get(version, _SPECIAL[4])
    for index, endpoint in enumerate(one.endpoints):
        path: Path = ("endpoints", index, "addresses")
        if not endpoint.addresses:
            out.add(at, path, "an empty list; expected an address")
        for number, address in enumerate(endpoint.addresses):
            if address.version != version:
                text = f"{address} is no {one.address_type} address, as addressType says; expected one slice per family"
                out.add(at, (*path, number), text)
            elif int(address) >> shift in special:  # a few, and this is asked of each endpoint
                _not_special(address, at, (*path, number), out)
    called: dict[str, int] = {}
    for index, port in enumerate(one.ports):
        name = port.name or ""
        wrong = _remembered(names.service_port_name, name)
        if wrong:
            text = f"{show(name)} cannot be the name of an endpoint's port; expected {wrong}"
            out.add(at, ("ports", index, "name"), text)
        if called.setdefault(name, index) != index:
            text = f"the port name {show(name)} is here twice; expected each once"
            out.add(at, ("ports", index, "name"), text)


def _not_special(address: IPAddress, at: int, path: Path, out: Mistakes) -> None:
    """No endpoint and no external IP is an address that means something else on every machine."""
    kinds = (
        (address.is_unspecified, "unspecified"),
        (address.is_loopback, "loopback"),
        (address.is_link_local, "link-local"),
        (any(address in network for network in _LOCAL_MULTICAST), "link-local multicast"),
    )
    for holds, what in kinds:
        if holds:
            out.add(at, path, f"{address} is {what}; expected an address that others can reach")
