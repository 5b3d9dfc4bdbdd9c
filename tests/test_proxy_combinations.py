"""Features of a Service together: which rules the reference (pkg/proxy/iptables/proxier.go, topology.go) asks for.

Rules are shortened to what they match and where they lead; their wording is tested elsewhere. Chains of a service port
lose prefix and hash, a KUBE-SEP chain is called by its endpoint.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise
from textwrap import dedent
from typing import Any

import pytest
from msgspec.structs import replace

from lab.model import kubernetes as k8s
from lab.model.address import FAMILIES, Family
from lab.model.proxy_config import DetectLocal, IPTablesConfig, KubeProxyConfiguration
from lab.model.ruleset import Ruleset
from lab.proxy.node import render

NODE = k8s.Node(
    metadata=k8s.ObjectMeta(name="node-1", labels={"topology.kubernetes.io/zone": "zone-a"}),
    status=k8s.NodeStatus(
        addresses=tuple(
            k8s.NodeAddress(type="InternalIP", address=address) for address in ("192.168.0.10", "10.9.0.1", "fd00::10")
        )
    ),
)
SETTINGS = KubeProxyConfiguration(hostname_override="node-1", cluster_cidr="fd00:10:244::/56,10.244.0.0/16")
HTTP = k8s.ServicePort(name="http", port=80, node_port=30080)
DNS = k8s.ServicePort(name="dns", port=53, protocol="UDP", node_port=30053)
SPEC = k8s.ServiceSpec(
    type="LoadBalancer",
    cluster_ip="10.96.0.10",
    cluster_ips=("10.96.0.10", "fd00:10:96::a"),
    ip_families=("IPv4", "IPv6"),
    ports=(HTTP,),
    health_check_node_port=32000,
)
RANGES = ("192.168.0.0/24", "2001:db8::/32")
FAMILIES_OF = {"IPv4": "10.244.{}.2", "IPv6": "fd00:10:244:{}::2"}

READY = k8s.EndpointConditions(ready=True, serving=True, terminating=False)
DRAINING = k8s.EndpointConditions(ready=False, serving=True, terminating=True)
GONE = k8s.EndpointConditions(ready=False, serving=False, terminating=True)


def addresses(*texts: str) -> Any:
    return tuple(map(ip_address, texts))


def hints(zones: str = "", nodes: str = "") -> k8s.EndpointHints:
    return k8s.EndpointHints(
        for_zones=tuple(k8s.HintName(name=name) for name in zones.split()),
        for_nodes=tuple(k8s.HintName(name=name) for name in nodes.split()),
    )


def on(node: int, conditions: k8s.EndpointConditions = READY, of: k8s.EndpointHints | None = None) -> dict[str, Any]:
    """Describe an endpoint, one on each node: 10.244.NODE.2, or fd00:10:244:NODE::2."""
    return {"node_name": f"node-{node}", "conditions": conditions, "hints": of}


def a_slice(family: Any, endpoints: tuple[dict[str, Any], ...]) -> k8s.EndpointSlice:
    return k8s.EndpointSlice(
        metadata=k8s.ObjectMeta(name=f"web-{family.lower()}", labels={"kubernetes.io/service-name": "web"}),
        address_type=family,
        endpoints=tuple(
            k8s.SliceEndpoint(addresses=addresses(FAMILIES_OF[family].format(one["node_name"][-1])), **one)
            for one in endpoints
        ),
        ports=(k8s.EndpointPort(name="http", port=8080),),
    )


def made(
    endpoints: tuple[dict[str, Any], ...],
    spec: dict[str, Any],
    vips: tuple[str, ...] = (),
    settings: dict[str, Any] | None = None,
    family: Family = "ipv4",
) -> Ruleset:
    ingress = tuple(k8s.LoadBalancerIngress(ip=ip_address(vip)) for vip in vips)
    service = k8s.Service(
        metadata=k8s.ObjectMeta(name="web"),
        spec=replace(SPEC, **spec),
        status=k8s.ServiceStatus(load_balancer=k8s.LoadBalancerStatus(ingress=ingress)),
    )
    slices = [a_slice(each, endpoints) for each in FAMILIES_OF]
    ruleset = render([service], slices, [NODE], replace(SETTINGS, **settings or {}), family)
    assert isinstance(ruleset, Ruleset)
    return ruleset


def outline(ruleset: Ruleset) -> list[str]:
    """Return the rules about Services, chain by chain; which endpoints have a chain comes last."""
    named = {
        chain.name: chain.rules[1].split()[-1].removesuffix(":8080").strip("[]")
        for _, chain in ruleset.chains()
        if chain.name.startswith("KUBE-SEP-")
    }
    found = []
    for (_, name), chain in ruleset.chains():
        if name not in named and name.startswith("KUBE-"):
            about = [rule for rule in chain.rules if chain.owner or "default/web" in rule]
            found += [" ".join((f"{short(name, named)}:", *said(rule, named))) for rule in about]
    return [*found, f"endpoints: {' '.join(sorted(named.values()))}".strip()]


def short(chain: str, named: dict[str, str]) -> str:
    return named.get(chain) or re.sub(r"^KUBE-((?:SVC|SVL|EXT|FW)(?=-)|.*).*", r"\1", chain)


def said(rule: str, named: dict[str, str]) -> Iterator[str]:
    words = shlex.split(rule)
    option = dict(pairwise(words))
    for key, word in (("-s", "from"), ("-i", "in"), ("--src-type", "from"), ("-d", "to"), ("--dst-type", "to")):
        if key in option:
            negated = "!" if words[words.index(key) - 1] == "!" else ""
            yield f"{word} {negated}{re.sub('/(32|128)$', '', option[key])}"
    if "--dport" in option:
        yield f"{option['-p']} {option['--dport']}"
    if "--rcheck" in words:
        yield "again"
    if "-j" in option:
        yield f"-> {short(option['-j'], named)}"


OUTSIDE = {"external_ips": addresses("198.51.100.1", "2001:db8:1::1"), "external_traffic_policy": "Local"}
VIPS = ("203.0.113.1", "2001:db8:2::1")
TOGETHER: dict[str, tuple[Any, ...]] = {
    "source ranges, affinity and policy Local, and no endpoint here": (
        (on(2), on(3)),
        {**OUTSIDE, "load_balancer_source_ranges": RANGES, "session_affinity": "ClientIP"},
        VIPS,
        """
        EXTERNAL-SERVICES: to 198.51.100.1 tcp 80 -> DROP
        EXTERNAL-SERVICES: to 203.0.113.1 tcp 80 -> DROP
        EXTERNAL-SERVICES: to LOCAL tcp 30080 -> DROP
        NODEPORTS: tcp 32000 -> ACCEPT
        PROXY-FIREWALL: to 203.0.113.1 tcp 80 -> DROP
        SERVICES: to 10.96.0.10 tcp 80 -> SVC
        SERVICES: to 198.51.100.1 tcp 80 -> EXT
        SERVICES: to 203.0.113.1 tcp 80 -> FW
        NODEPORTS: to 127.0.0.0/8 tcp 30080 -> EXT
        NODEPORTS: tcp 30080 -> EXT
        EXT: from 10.244.0.0/16 -> SVC
        EXT: from LOCAL -> MARK-MASQ
        EXT: from LOCAL -> SVC
        FW: from 192.168.0.0/24 -> EXT
        FW: from 203.0.113.1 -> EXT
        FW:
        SVC: from !10.244.0.0/16 to 10.96.0.10 tcp 80 -> MARK-MASQ
        SVC: again -> 10.244.2.2
        SVC: again -> 10.244.3.2
        SVC: -> 10.244.2.2
        SVC: -> 10.244.3.2
        endpoints: 10.244.2.2 10.244.3.2
        """,
    ),
    "both policies Local, and what is here drains": (
        (on(1, DRAINING), on(2)),
        {
            "ports": (replace(HTTP, node_port=0),),
            "external_traffic_policy": "Local",
            "internal_traffic_policy": "Local",
        },
        VIPS,
        """
        NODEPORTS: tcp 32000 -> ACCEPT
        SERVICES: to 10.96.0.10 tcp 80 -> SVL
        SERVICES: to 203.0.113.1 tcp 80 -> EXT
        EXT: from 10.244.0.0/16 -> SVC
        EXT: from LOCAL -> MARK-MASQ
        EXT: from LOCAL -> SVC
        EXT: -> SVL
        SVC: -> 10.244.2.2
        SVL: from !10.244.0.0/16 to 10.96.0.10 tcp 80 -> MARK-MASQ
        SVL: -> 10.244.1.2
        endpoints: 10.244.1.2 10.244.2.2
        """,
    ),
    "internal policy Local with no endpoint here, external policy Cluster": (
        (on(2), on(1, GONE)),
        {"internal_traffic_policy": "Local"},
        (),
        """
        SERVICES: to 10.96.0.10 tcp 80 -> DROP
        NODEPORTS: to 127.0.0.0/8 tcp 30080 -> EXT
        NODEPORTS: tcp 30080 -> EXT
        EXT: -> MARK-MASQ
        EXT: -> SVC
        SVC: -> 10.244.2.2
        endpoints: 10.244.2.2
        """,
    ),
    "internal policy Local with nothing but a draining endpoint elsewhere": (
        (on(2, DRAINING),),
        {"type": "ClusterIP", "ports": (replace(HTTP, node_port=0),), "internal_traffic_policy": "Local"},
        (),
        """
        SERVICES: to 10.96.0.10 tcp 80 -> DROP
        endpoints:
        """,
    ),
    "only draining endpoints, and none here": (
        (on(2, DRAINING), on(3, GONE), on(1, replace(GONE, terminating=False))),
        {"ports": (replace(HTTP, node_port=0),), **OUTSIDE},
        (),
        """
        EXTERNAL-SERVICES: to 198.51.100.1 tcp 80 -> DROP
        NODEPORTS: tcp 32000 -> ACCEPT
        SERVICES: to 10.96.0.10 tcp 80 -> SVC
        SERVICES: to 198.51.100.1 tcp 80 -> EXT
        EXT: from 10.244.0.0/16 -> SVC
        EXT: from LOCAL -> MARK-MASQ
        EXT: from LOCAL -> SVC
        SVC: from !10.244.0.0/16 to 10.96.0.10 tcp 80 -> MARK-MASQ
        SVC: -> 10.244.2.2
        endpoints: 10.244.2.2
        """,
    ),
    "endpoints that neither are ready nor serve": (
        (on(1, GONE), on(2, replace(DRAINING, terminating=False))),
        {**OUTSIDE, "load_balancer_source_ranges": RANGES, "internal_traffic_policy": "Local"},
        VIPS,
        """
        SERVICES: to 10.96.0.10 tcp 80 -> REJECT
        EXTERNAL-SERVICES: to 198.51.100.1 tcp 80 -> REJECT
        EXTERNAL-SERVICES: to 203.0.113.1 tcp 80 -> REJECT
        EXTERNAL-SERVICES: to LOCAL tcp 30080 -> REJECT
        NODEPORTS: tcp 32000 -> ACCEPT
        endpoints:
        """,
    ),
    "one port of two has endpoints": (
        (on(1),),
        {"ports": (HTTP, DNS), "external_traffic_policy": "Local", "load_balancer_source_ranges": RANGES},
        VIPS,
        """
        SERVICES: to 10.96.0.10 udp 53 -> REJECT
        EXTERNAL-SERVICES: to 203.0.113.1 udp 53 -> REJECT
        EXTERNAL-SERVICES: to LOCAL udp 30053 -> REJECT
        NODEPORTS: tcp 32000 -> ACCEPT
        NODEPORTS: tcp 32000 -> ACCEPT
        PROXY-FIREWALL: to 203.0.113.1 tcp 80 -> DROP
        SERVICES: to 10.96.0.10 tcp 80 -> SVC
        SERVICES: to 203.0.113.1 tcp 80 -> FW
        NODEPORTS: to 127.0.0.0/8 tcp 30080 -> EXT
        NODEPORTS: tcp 30080 -> EXT
        EXT: from 10.244.0.0/16 -> SVC
        EXT: from LOCAL -> MARK-MASQ
        EXT: from LOCAL -> SVC
        EXT: -> SVL
        FW: from 192.168.0.0/24 -> EXT
        FW: from 203.0.113.1 -> EXT
        FW:
        SVC: from !10.244.0.0/16 to 10.96.0.10 tcp 80 -> MARK-MASQ
        SVC: -> 10.244.1.2
        SVL: -> 10.244.1.2
        endpoints: 10.244.1.2
        """,
    ),
    "hints send elsewhere what policy Local keeps here": (
        (on(1, of=hints("zone-b")), on(2, of=hints("zone-a", "node-2")), on(3, of=hints("zone-b zone-c", "node-1"))),
        {"ports": (replace(HTTP, node_port=0),), "external_traffic_policy": "Local"},
        VIPS,
        """
        NODEPORTS: tcp 32000 -> ACCEPT
        SERVICES: to 10.96.0.10 tcp 80 -> SVC
        SERVICES: to 203.0.113.1 tcp 80 -> EXT
        EXT: from 10.244.0.0/16 -> SVC
        EXT: from LOCAL -> MARK-MASQ
        EXT: from LOCAL -> SVC
        EXT: -> SVL
        SVC: from !10.244.0.0/16 to 10.96.0.10 tcp 80 -> MARK-MASQ
        SVC: -> 10.244.2.2
        SVL: -> 10.244.1.2
        endpoints: 10.244.1.2 10.244.2.2
        """,
    ),
    "a ClusterIP Service with what was left of its past": (
        (on(2),),
        {"type": "ClusterIP", "external_traffic_policy": "Local"},
        VIPS,
        """
        SERVICES: to 10.96.0.10 tcp 80 -> SVC
        SERVICES: to 203.0.113.1 tcp 80 -> EXT
        NODEPORTS: to 127.0.0.0/8 tcp 30080 -> EXT
        NODEPORTS: tcp 30080 -> EXT
        EXT: -> MARK-MASQ
        EXT: -> SVC
        SVC: from !10.244.0.0/16 to 10.96.0.10 tcp 80 -> MARK-MASQ
        SVC: -> 10.244.2.2
        endpoints: 10.244.2.2
        """,
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_features_go_together_as_in_kube_proxy(name: str) -> None:
    endpoints, spec, vips, expected = TOGETHER[name]
    assert outline(made(endpoints, spec, vips)) == dedent(expected).strip().splitlines()


def test_ipv6_takes_its_own_half_of_every_list() -> None:
    spec = {**OUTSIDE, "load_balancer_source_ranges": RANGES[:1], "internal_traffic_policy": "Local"}
    found = outline(made((on(1), on(2)), spec, VIPS, family="ipv6"))
    assert found == [
        "NODEPORTS: tcp 32000 -> ACCEPT",
        "SERVICES: to fd00:10:96::a tcp 80 -> SVL",
        "SERVICES: to 2001:db8:1::1 tcp 80 -> EXT",
        "SERVICES: to 2001:db8:2::1 tcp 80 -> EXT",  # the only range is of the other family: as if there were none
        "NODEPORTS: tcp 30080 -> EXT",
        "EXT: from fd00:10:244::/56 -> SVC",
        "EXT: from LOCAL -> MARK-MASQ",
        "EXT: from LOCAL -> SVC",
        "EXT: -> SVL",
        "SVC: -> fd00:10:244:1::2",
        "SVC: -> fd00:10:244:2::2",
        "SVL: from !fd00:10:244::/56 to fd00:10:96::a tcp 80 -> MARK-MASQ",
        "SVL: -> fd00:10:244:1::2",
        "endpoints: fd00:10:244:1::2 fd00:10:244:2::2",
    ]


ALL = IPTablesConfig(masquerade_all=True)
BRIDGE = {"detect_local_mode": "BridgeInterface", "detect_local": DetectLocal(bridge_interface="cni0")}
PREFIX = {"detect_local_mode": "InterfaceNamePrefix", "detect_local": DetectLocal(interface_name_prefix="veth")}


@pytest.mark.parametrize(
    ("settings", "mark", "pods"),
    [
        (BRIDGE, "SVL: in !cni0 to 10.96.0.10 tcp 80 -> MARK-MASQ", ["EXT: in cni0 -> SVC"]),
        (PREFIX, "SVL: in !veth+ to 10.96.0.10 tcp 80 -> MARK-MASQ", ["EXT: in veth+ -> SVC"]),
        ({**PREFIX, "iptables": ALL}, "SVL: to 10.96.0.10 tcp 80 -> MARK-MASQ", ["EXT: in veth+ -> SVC"]),
        ({"cluster_cidr": "", "iptables": ALL}, "SVL: to 10.96.0.10 tcp 80 -> MARK-MASQ", []),
        ({"cluster_cidr": "fd00:10:244::/56"}, None, []),  # nothing of this family: no telling
    ],
)
def test_what_is_local_decides_what_is_marked_and_what_takes_the_short_cut(
    settings: dict[str, Any], mark: str | None, pods: list[str]
) -> None:
    spec = {"external_traffic_policy": "Local", "internal_traffic_policy": "Local"}
    found = outline(made((on(1),), spec, settings=settings))
    assert [line for line in found if line.startswith("SVL: ")] == [*([mark] if mark else []), "SVL: -> 10.244.1.2"]
    marked = ["EXT: from LOCAL -> MARK-MASQ", "EXT: from LOCAL -> SVC", "EXT: -> SVL"]
    assert [line for line in found if line.startswith("EXT: ")] == [*pods, *marked]


EVERYWHERE, NOT_LOCALHOST = IPTablesConfig(), IPTablesConfig(localhost_node_ports=False)


@pytest.mark.parametrize(
    ("texts", "section", "ipv4", "ipv6"),
    [
        (("primary",), EVERYWHERE, "192.168.0.10", "fd00::10"),
        (("192.168.0.0/24", "10.0.0.0/8"), EVERYWHERE, "10.9.0.1 192.168.0.10", "!::1 LOCAL"),
        (("127.0.0.0/8", "10.0.0.0/8", "::1/128"), EVERYWHERE, "10.9.0.1 127.0.0.1", ""),
        (("127.0.0.0/8", "10.0.0.0/8", "fd00::/16"), NOT_LOCALHOST, "10.9.0.1", "fd00::10"),
        (("fd00::/16", "::/0"), NOT_LOCALHOST, "!127.0.0.0/8 LOCAL", "!::1 LOCAL"),
        (("172.16.0.0/12",), EVERYWHERE, "", "!::1 LOCAL"),
    ],
)
def test_each_family_finds_its_node_port_addresses(
    texts: tuple[str, ...], section: IPTablesConfig, ipv4: str, ipv6: str
) -> None:
    limited = {"node_port_addresses": texts, "iptables": section}
    for family, expected in zip(FAMILIES, (ipv4, ipv6), strict=True):
        chains = {place: chain.rules for place, chain in made((on(1),), {}, settings=limited, family=family).chains()}
        last = [rule for rule in chains["nat", "KUBE-SERVICES"] if rule.endswith("-j KUBE-NODEPORTS")]
        found = " ".join(word for rule in last for word in said(rule, {}))
        assert found.replace("to ", "").replace(" -> NODEPORTS", "") == expected
        answering = family == "ipv4" and "127.0.0.1" in ipv4
        assert len(chains["filter", "KUBE-FIREWALL"]) == answering
        assert len(chains["nat", "KUBE-NODEPORTS"]) == 1 + answering
