"""What single texts must look like beyond their type: addresses, ranges, names. None when good, else what is wrong."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from lab.model import kubernetes as k8s
from lab.model import lab as model
from lab.model.address import IPAddress, IPNetwork
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse import names, sloppy
from lab.parse.mistake import show
from lab.parse.sloppy import ADDRESS, RANGE

if TYPE_CHECKING:
    from collections.abc import Callable


def address(text: str) -> str | None:
    """Judge an address; a zone (`fe80::1%eth0`) is refused."""
    try:
        good = "%" not in text and bool(ip_address(text))
    except ValueError:
        good = False
    return None if good else f"not an address: {show(text)}; expected {ADDRESS}"


def cidr(text: str) -> str | None:
    """Judge a range; one whose address has bits beyond its prefix is refused, with the range that was meant."""
    try:
        if "%" in text or "/" not in text:
            raise ValueError  # noqa: TRY301 - as any other text that is no range
        loose = ip_network(text, strict=False)
    except ValueError:
        return f"not a range: {show(text)}; expected {RANGE}"
    if ip_address(text.partition("/")[0]) == loose.network_address:
        return None
    return f"not a range: {show(text)} has bits set beyond its prefix; did you mean {loose}?"


def cidrs(text: str) -> str | None:
    """Judge one or two ranges of different families, separated by a comma."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        wrong = cidr(part)
        if wrong:
            return wrong
    if len({ip_network(part).version for part in parts}) < len(parts):
        return f"{show(text)} is not a range of each family; expected one of IPv4, one of IPv6, or both with a comma"
    return None


def cluster_ip(text: str) -> str | None:
    """Judge a Service's clusterIP: an address, None for a headless Service, or nothing."""
    wrong = address(text) if text not in ("", "None") else None
    return f"{wrong}, or None for a headless Service" if wrong else None


def _named(rule: Callable[[str], str | None], what: str) -> Callable[[str], str | None]:
    def judge(text: str) -> str | None:
        expected = rule(text)
        return f"{show(text)} cannot be {what}; expected {expected}" if expected else None

    return judge


def target_port(text: str) -> str | None:
    """Judge a targetPort that is a name."""
    if text.isdecimal():
        return f"{show(text)} is a text; expected the number {show(int(text[:6]))} without quotes, or a port's name"
    return _named(names.port_name, "the name of a container's port")(text)


LABEL_VALUE = _named(names.label_value, "a label's value")

# (type, field on the wire) -> rule; of a list each item, of labels each value.
RULES: dict[tuple[type, str], Callable[[str], str | None]] = {
    (k8s.ObjectMeta, "namespace"): _named(names.label, "the name of a namespace"),
    (k8s.ObjectMeta, "labels"): LABEL_VALUE,
    (k8s.TemplateMeta, "labels"): LABEL_VALUE,
    (k8s.LabelSelector, "matchLabels"): LABEL_VALUE,
    (k8s.ServiceSpec, "selector"): LABEL_VALUE,
    (k8s.ContainerPort, "name"): _named(names.port_name, "the name of a container's port"),
    (k8s.ServicePort, "name"): _named(names.service_port_name, "the name of a Service's port"),
    (k8s.ServicePort, "targetPort"): target_port,
    (k8s.EndpointPort, "name"): _named(names.service_port_name, "the name of an endpoint's port"),
    (k8s.ServiceSpec, "clusterIP"): cluster_ip,
    (k8s.ServiceSpec, "clusterIPs"): cluster_ip,
    (k8s.ServiceSpec, "loadBalancerSourceRanges"): sloppy.source_range,
    (model.Network, "podCIDR"): cidrs,
    (model.Network, "serviceCIDR"): cidrs,
    (model.Network, "nodeCIDR"): cidrs,
    (model.Network, "clientCIDR"): cidrs,
    (model.Step, "after"): sloppy.duration,
    (model.Client, "name"): _named(names.label, "the name of a client"),
    (model.LabSpec, "nodes"): _named(names.subdomain, "the name of a node"),
}

# (type, field on the wire, value) -> why this value, known elsewhere, is not taken here.
REASONS: dict[tuple[type, str, str], str] = {
    (KubeProxyConfiguration, "mode", "ipvs"): "kube-proxy gave IPVS up (deprecated in 1.35), Hairpin never had it",
    (KubeProxyConfiguration, "mode", "userspace"): "kube-proxy dropped it in 1.26",
    (KubeProxyConfiguration, "mode", "kernelspace"): "it is for Windows",
}

# A type that msgspec cannot make itself -> its rule, and what is expected.
CUSTOM: dict[Any, tuple[Callable[[str], str | None], str]] = {IPAddress: (address, ADDRESS), IPNetwork: (cidr, RANGE)}
SLOPPY: dict[Any, Callable[[str], str | None]] = {IPAddress: sloppy.address, IPNetwork: cidr}


def decode(kind: type, value: Any) -> Any:
    """Make an address or a range of a text that its rule found good."""
    return ip_address(value) if kind == IPAddress else ip_network(value)


def decode_sloppily(kind: type, value: Any) -> Any:
    """Make an address or a range of a text as kube-proxy does; `ValueError` if it is none."""
    if not isinstance(value, str) or (kind != IPAddress and cidr(value)):
        raise ValueError(value)
    return sloppy.address_of(value) if kind == IPAddress else ip_network(value)
