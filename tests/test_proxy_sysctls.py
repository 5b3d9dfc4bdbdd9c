"""kube-proxy's sysctls, and no others."""

from __future__ import annotations

import pytest

from lab.errors import TopologyError
from lab.model.proxy_config import ConntrackConfig, KubeProxyConfiguration
from lab.proxy.sysctls import sysctls

ESTABLISHED = ("net.netfilter.nf_conntrack_tcp_timeout_established", "86400")
CLOSE_WAIT = ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "3600")


def test_by_default_two_timeouts_are_set_and_route_localnet_for_localhost() -> None:
    settings = KubeProxyConfiguration()
    assert sysctls(settings, localhost_node_ports=False) == (ESTABLISHED, CLOSE_WAIT)
    assert sysctls(settings, localhost_node_ports=True)[-1] == ("net.ipv4.conf.all.route_localnet", "1")


def test_zero_leaves_a_timeout_alone_and_others_are_set_when_asked_for() -> None:
    conntrack = ConntrackConfig(
        tcp_established_timeout="0s",
        tcp_close_wait_timeout="1h30m",
        udp_timeout="30s",
        udp_stream_timeout="3m",
        tcp_be_liberal=True,
    )
    assert sysctls(KubeProxyConfiguration(conntrack=conntrack), localhost_node_ports=False) == (
        ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "5400"),
        ("net.netfilter.nf_conntrack_udp_timeout", "30"),
        ("net.netfilter.nf_conntrack_udp_timeout_stream", "180"),
        ("net.netfilter.nf_conntrack_tcp_be_liberal", "1"),
    )


def test_a_timeout_that_is_no_duration_is_refused() -> None:
    with pytest.raises(TopologyError, match="duration"):
        sysctls(KubeProxyConfiguration(conntrack=ConntrackConfig(udp_timeout="soon")), localhost_node_ports=True)
