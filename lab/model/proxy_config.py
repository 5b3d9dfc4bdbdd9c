"""kube-proxy's configuration, as far as Hairpin reads it.

Source: staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go (v1.36).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from lab.model.part import Part


class DetectLocal(Part, frozen=True, kw_only=True):
    """What tells local traffic in the two interface modes."""

    bridge_interface: str = ""
    interface_name_prefix: str = ""


class IPTablesConfig(Part, frozen=True, kw_only=True):
    """KubeProxyIPTablesConfiguration; the periods are durations, of which nothing waits here."""

    masquerade_all: bool = False
    masquerade_bit: Annotated[int, Meta(ge=0, le=31)] | None = None
    localhost_node_ports: bool | None = None
    sync_period: str = "0s"
    min_sync_period: str = "0s"


class NFTablesConfig(Part, frozen=True, kw_only=True):
    """KubeProxyNFTablesConfiguration; the periods are durations, of which nothing waits here."""

    masquerade_all: bool = False
    masquerade_bit: Annotated[int, Meta(ge=0, le=31)] | None = None
    sync_period: str = "0s"
    min_sync_period: str = "0s"


class ConntrackConfig(Part, frozen=True, kw_only=True):
    """KubeProxyConntrackConfiguration; durations as Go prints them (`24h0m0s`)."""

    max_per_core: Annotated[int, Meta(ge=0)] | None = None
    min: Annotated[int, Meta(ge=0)] | None = None
    tcp_be_liberal: bool = False
    tcp_established_timeout: str | None = None
    tcp_close_wait_timeout: str | None = None
    udp_timeout: str | None = None
    udp_stream_timeout: str | None = None


class KubeProxyConfiguration(Part, frozen=True, kw_only=True):
    """kubeproxy.config.k8s.io/v1alpha1 KubeProxyConfiguration, as in a cluster's kube-proxy ConfigMap."""

    api_version: Literal["kubeproxy.config.k8s.io/v1alpha1"] = "kubeproxy.config.k8s.io/v1alpha1"
    kind: Literal["KubeProxyConfiguration"] = "KubeProxyConfiguration"
    mode: Literal["", "iptables", "nftables"] = ""
    hostname_override: str = ""
    bind_address: str = ""
    healthz_bind_address: str = ""
    metrics_bind_address: str = ""
    config_sync_period: str = "0s"
    oom_score_adj: int | None = None
    cluster_cidr: str = ""
    detect_local_mode: Literal["", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"] = ""
    detect_local: DetectLocal = DetectLocal()
    node_port_addresses: tuple[str, ...] | None = None
    iptables: IPTablesConfig = IPTablesConfig()
    nftables: NFTablesConfig = NFTablesConfig()
    conntrack: ConntrackConfig = ConntrackConfig()
    feature_gates: dict[str, bool] = {}
