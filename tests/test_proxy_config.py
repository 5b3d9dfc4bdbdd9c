"""A KubeProxyConfiguration means on a node what it means to kube-proxy."""

from __future__ import annotations

from contextlib import nullcontext
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from lab.errors import TopologyError
from lab.model import kubernetes as k8s
from lab.model.address import Family
from lab.model.lab import Mode
from lab.model.proxy_config import DetectLocal, IPTablesConfig, KubeProxyConfiguration, NFTablesConfig
from lab.proxy.config import Detector, ProxyConfig, configure


def a_node(name: str, *addresses: str, pod_cidrs: tuple[str, ...] = (), zone: str = "") -> k8s.Node:
    """Make a node; an address after `x:` is an ExternalIP."""
    return k8s.Node(
        metadata=k8s.ObjectMeta(name=name, labels={"topology.kubernetes.io/zone": zone} if zone else {}),
        spec=k8s.NodeSpec(pod_cidrs=tuple(map(ip_network, pod_cidrs))),
        status=k8s.NodeStatus(
            addresses=tuple(
                k8s.NodeAddress(
                    type="ExternalIP" if text.startswith("x:") else "InternalIP", address=text.removeprefix("x:")
                )
                for text in addresses
            )
        ),
    )


NODE = a_node("node-1", "192.168.0.10", pod_cidrs=("10.244.1.0/24", "fd00:1::/64"), zone="zone-a")
DUAL = a_node("node-1", "192.168.0.10", "fd00::10")


def configured(
    family: Family = "ipv4",
    *,
    nodes: tuple[k8s.Node, ...] = (NODE,),
    mode: Mode = "iptables",
    **fields: Any,
) -> ProxyConfig:
    settings = KubeProxyConfiguration(**{"hostname_override": "node-1", **fields})
    return configure(settings, nodes, family, mode=mode)


def test_the_defaults_are_kube_proxys() -> None:
    assert configured() == ProxyConfig(
        node="node-1",
        family="ipv4",
        zone="zone-a",
        address=ip_address("192.168.0.10"),
        masquerade_mark=0x4000,
        masquerade_all=False,
        detector=None,
        node_port_networks=(),
        node_port_addresses=(),
        localhost_node_ports=True,
        tcp_be_liberal=False,
    )


def test_hostname_override_says_which_node_and_an_argument_overrides_it() -> None:
    nodes = (NODE, a_node("node-2", "192.168.0.11"))
    assert configured(nodes=nodes, hostname_override=" NODE-2 ").address == ip_address("192.168.0.11")
    settings = KubeProxyConfiguration(hostname_override="node-1")
    assert configure(settings, nodes, "ipv4", node="node-2").node == "node-2"


def test_without_a_name_the_only_node_is_meant_and_of_several_none() -> None:
    assert configure(KubeProxyConfiguration(), [NODE], "ipv4").node == "node-1"
    with pytest.raises(TopologyError, match=r"(?s)hostnameOverride.*node-1, node-2"):
        configure(KubeProxyConfiguration(), [NODE, a_node("node-2")], "ipv4")


@pytest.mark.parametrize(
    ("addresses", "ipv4", "ipv6"),
    [
        (("192.168.0.10", "192.168.0.11"), "192.168.0.10", "::1"),
        (("x:203.0.113.1", "192.168.0.10"), "192.168.0.10", "::1"),
        (("x:203.0.113.1",), "203.0.113.1", "::1"),
        (("192.168.0.10", "x:2001:db8::1"), "192.168.0.10", "2001:db8::1"),
        (("fd00::10",), "127.0.0.1", "fd00::10"),
        ((), "127.0.0.1", "::1"),
    ],
)
def test_a_nodes_address_is_its_first_internal_one_else_external_else_loopback(
    addresses: tuple[str, ...], ipv4: str, ipv6: str
) -> None:
    nodes = (a_node("node-1", *addresses),)
    assert configured("ipv4", nodes=nodes).address == ip_address(ipv4)
    assert configured("ipv6", nodes=nodes).address == ip_address(ipv6)


def test_a_node_that_is_not_there_is_loopback() -> None:
    assert configured(nodes=()).address == ip_address("127.0.0.1")


def test_bind_address_overrides_the_address_of_its_family() -> None:
    assert configured(bind_address="10.9.9.9").address == ip_address("10.9.9.9")
    assert configured(bind_address="0.0.0.0").address == ip_address("192.168.0.10")  # noqa: S104 - no socket
    assert configured("ipv6", nodes=(DUAL,), bind_address="10.9.9.9").address == ip_address("fd00::10")


def test_each_mode_reads_its_own_masquerade_fields() -> None:
    fields: dict[str, Any] = {
        "iptables": IPTablesConfig(masquerade_bit=0, masquerade_all=True),
        "nftables": NFTablesConfig(masquerade_bit=31),
    }
    first, second = configured(**fields), configured(mode="nftables", **fields)
    assert (first.masquerade_mark, first.masquerade_all) == (0x1, True)
    assert (second.masquerade_mark, second.masquerade_all) == (0x8000_0000, False)


@pytest.mark.parametrize(
    ("texts", "family", "networks", "localhost"),
    [
        (None, "ipv4", (), True),
        (("192.168.0.0/24",), "ipv4", ("192.168.0.0/24",), False),
        (("192.168.0.0/24",), "ipv6", (), False),  # no CIDR of the family: all
        (("192.168.0.0/24", "127.0.0.0/8"), "ipv4", ("192.168.0.0/24", "127.0.0.0/8"), True),
        (("127.0.0.1/32",), "ipv4", ("127.0.0.1/32",), True),
        (("0.0.0.0/0", "10.0.0.0/8"), "ipv4", (), True),
        (("64.0.0.0/2",), "ipv4", ("64.0.0.0/2",), True),  # holds 127.0.0.0/8
        (("primary",), "ipv4", ("192.168.0.10/32",), False),
        (("primary",), "ipv6", (), False),  # the node has no IPv6 address
        (("::/0",), "ipv6", (), False),
    ],
)
def test_node_port_addresses_limit_their_family_and_localhost(
    texts: tuple[str, ...] | None,
    family: Family,
    networks: tuple[str, ...],
    localhost: bool,
) -> None:
    config = configured(family, node_port_addresses=texts)
    assert tuple(map(str, config.node_port_networks)) == networks
    assert config.localhost_node_ports is localhost


def test_primary_is_the_default_of_nftables_mode_only() -> None:
    assert configured(mode="nftables").node_port_networks == (ip_network("192.168.0.10/32"),)
    assert not configured(mode="nftables").localhost_node_ports
    assert configured("ipv6", nodes=(DUAL,), mode="nftables").node_port_networks == (ip_network("fd00::10/128"),)


def test_localhost_node_ports_can_be_switched_off() -> None:
    assert not configured(iptables=IPTablesConfig(localhost_node_ports=False)).localhost_node_ports


def test_primary_among_ranges_is_refused() -> None:
    with pytest.raises(TopologyError, match="primary"):
        configured(node_port_addresses=("primary", "10.0.0.0/8"))


def test_node_port_addresses_select_among_the_machines_own() -> None:
    settings = KubeProxyConfiguration(node_port_addresses=("10.0.0.0/8", "10.244.0.0/16", "127.0.0.0/8"))
    own = [ip_address(text) for text in ("127.0.0.1", "192.168.0.10", "10.244.1.1", "10.9.0.1", "::1")]
    found = configure(settings, [NODE], "ipv4", interfaces=own).node_port_addresses
    assert found == tuple(map(ip_address, ("10.9.0.1", "10.244.1.1", "127.0.0.1")))
    assert configure(settings, [NODE], "ipv4").node_port_addresses == (ip_address("127.0.0.1"),)


def test_cluster_cidr_is_found_by_family() -> None:
    both = "10.244.0.0/16, fd00:10:244::/56"
    assert configured(cluster_cidr=both).detector == Detector(network=ip_network("10.244.0.0/16"))
    assert configured("ipv6", cluster_cidr=both).detector == Detector(network=ip_network("fd00:10:244::/56"))
    assert configured("ipv6", cluster_cidr="10.244.0.0/16").detector is None
    assert configured(cluster_cidr="").detector is None


def test_node_cidr_is_the_nodes_own_range() -> None:
    assert configured(detect_local_mode="NodeCIDR").detector == Detector(network=ip_network("10.244.1.0/24"))
    assert configured("ipv6", detect_local_mode="NodeCIDR").detector == Detector(network=ip_network("fd00:1::/64"))
    assert configured(nodes=(DUAL,), detect_local_mode="NodeCIDR").detector is None
    with pytest.raises(TopologyError, match="NodeCIDR"):
        configured(nodes=(), detect_local_mode="NodeCIDR")


def test_interfaces_detect_in_both_families() -> None:
    for family in ("ipv4", "ipv6"):
        bridge = configured(
            family, detect_local_mode="BridgeInterface", detect_local=DetectLocal(bridge_interface="cbr0")
        )
        assert bridge.detector == Detector(interface="cbr0")
        prefix = configured(
            family, detect_local_mode="InterfaceNamePrefix", detect_local=DetectLocal(interface_name_prefix="veth")
        )
        assert prefix.detector == Detector(interface="veth", prefix=True)


@pytest.mark.parametrize("mode", ["BridgeInterface", "InterfaceNamePrefix"])
def test_an_interface_mode_without_an_interface_is_refused(mode: str) -> None:
    with pytest.raises(TopologyError, match="empty"):
        configured(detect_local_mode=mode)


def test_a_prefix_that_leaves_no_letter_to_match_is_refused() -> None:
    for prefix, refused in (("v" * 14, False), ("v" * 15, True)):
        detect = DetectLocal(interface_name_prefix=prefix)
        with pytest.raises(TopologyError, match="at most 14") if refused else nullcontext():
            configured(detect_local_mode="InterfaceNamePrefix", detect_local=detect)


def test_a_hostile_interface_is_refused() -> None:
    with pytest.raises(TopologyError, match="interface"):
        configured(detect_local_mode="BridgeInterface", detect_local=DetectLocal(bridge_interface="br0 -j ACCEPT"))
