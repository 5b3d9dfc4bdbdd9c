"""The sysctls that kube-proxy sets when it starts (pkg/proxy/conntrack/sysctls.go, iptables/proxier.go)."""

from __future__ import annotations

from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.sloppy import parse_duration

ROUTE_LOCALNET = "net.ipv4.conf.all.route_localnet"
_CONNTRACK = "net.netfilter.nf_conntrack_"


def sysctls(settings: KubeProxyConfiguration, *, localhost_node_ports: bool) -> tuple[tuple[str, str], ...]:
    """Return (key, value) of each sysctl, in sysctl(8)'s dotted form.

    `localhost_node_ports` is that of the IPv4 `ProxyConfig`: 127.0.0.1 can be a NodePort's address only if packets
    from there may be routed. nf_conntrack_max and its hash size are left out: only the host's own network namespace
    may write them, and a node of ours is never that (kube-proxy in a container is told so by maxPerCore 0).
    Raises `TopologyError` for a timeout that is no duration.
    """
    conntrack = settings.conntrack
    timeouts = (
        ("tcp_timeout_established", conntrack.tcp_established_timeout, "24h"),
        ("tcp_timeout_close_wait", conntrack.tcp_close_wait_timeout, "1h"),
        ("udp_timeout", conntrack.udp_timeout, "0s"),
        ("udp_timeout_stream", conntrack.udp_stream_timeout, "0s"),
    )
    found = {_CONNTRACK + name: parse_duration(default if text is None else text) for name, text, default in timeouts}
    written = [(key, f"{int(seconds)}") for key, seconds in found.items() if seconds > 0]
    if conntrack.tcp_be_liberal:
        written.append((_CONNTRACK + "tcp_be_liberal", "1"))
    if localhost_node_ports:
        written.append((ROUTE_LOCALNET, "1"))
    return tuple(written)
