"""What kube-proxy would refuse about its configuration, beyond the types of its fields: it would not even start.

Source: validation/validation.go and v1alpha1/defaults.go of pkg/proxy/apis/config.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lab.model import kubernetes as k8s
from lab.model.proxy_config import ConntrackConfig, KubeProxyConfiguration
from lab.parse import sloppy
from lab.parse.mistake import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.parse.mistake import Mistakes, Path

_SYNC_PERIOD_S = 30.0
_MIN_SYNC_PERIOD_S = 1.0
_PRIMARY = "primary"
_HOST_PORT = re.compile(r"(?:\[([^]]*)\]|([^:]*)):([0-9]{1,5})")
_HIGHEST_OOM_SCORE = 1000


def judge(one: KubeProxyConfiguration, at: int, out: Mistakes) -> None:
    """Report what is wrong with a configuration whose fields have the right types."""
    for path, text in _mistakes(one):
        out.add(at, path, text)


def _mistakes(one: KubeProxyConfiguration) -> Iterator[tuple[Path, str]]:
    if one.bind_address and (wrong := sloppy.address(one.bind_address)):
        yield ("bindAddress",), wrong
    yield from _node_port_addresses(one.node_port_addresses or ())
    yield from _local(one)
    yield from _conntrack(one.conntrack)
    yield from _periods(one)
    if one.oom_score_adj is not None and abs(one.oom_score_adj) > _HIGHEST_OOM_SCORE:
        yield ("oomScoreAdj",), f"{one.oom_score_adj} is out of range; expected a whole number from -1000 to 1000"
    if one.healthz_bind_address and (wrong := _host_port(one.healthz_bind_address)):
        yield ("healthzBindAddress",), wrong
    if one.metrics_bind_address and (wrong := _host_port(one.metrics_bind_address)):
        yield ("metricsBindAddress",), wrong


def _node_port_addresses(texts: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for index, text in enumerate(texts):
        path: Path = ("nodePortAddresses", index)
        if text == _PRIMARY and len(texts) > 1:
            yield path, "primary stands beside other entries; expected it alone, or only ranges"
        elif text != _PRIMARY and (wrong := sloppy.cidr(text)):
            yield path, f"{wrong}, or primary"


def _local(one: KubeProxyConfiguration) -> Iterator[tuple[Path, str]]:
    match one.detect_local_mode:
        case "" | "ClusterCIDR":
            if one.cluster_cidr and (wrong := _cluster_cidr(one.cluster_cidr.split(","))):
                yield ("clusterCIDR",), wrong
        case "BridgeInterface":
            if not one.detect_local.bridge_interface:
                yield ("detectLocal", "bridgeInterface"), "it is empty; expected an interface: detectLocalMode needs it"
        case "InterfaceNamePrefix":
            if not one.detect_local.interface_name_prefix:
                text = "it is empty; expected the beginning of interfaces' names: detectLocalMode needs it"
                yield ("detectLocal", "interfaceNamePrefix"), text


def _cluster_cidr(parts: list[str]) -> str | None:
    wrong = next((wrong for part in parts if (wrong := sloppy.cidr(part))), None)
    if wrong:
        return wrong
    if len({sloppy.parse_network(part).version for part in parts}) < len(parts):
        return f"{show(','.join(parts))} is not a range of each family; expected one range, or one of each with a comma"
    return None


def _conntrack(one: ConntrackConfig) -> Iterator[tuple[Path, str]]:
    durations = (
        ("tcpEstablishedTimeout", one.tcp_established_timeout),
        ("tcpCloseWaitTimeout", one.tcp_close_wait_timeout),
        ("udpTimeout", one.udp_timeout),
        ("udpStreamTimeout", one.udp_stream_timeout),
    )
    for name, text in durations:
        if text is not None and (wrong := sloppy.duration(text)):
            yield ("conntrack", name), wrong


def _periods(one: KubeProxyConfiguration) -> Iterator[tuple[Path, str]]:
    """Each is a duration, and the rules are written at most as seldom as they are looked after."""
    if wrong := sloppy.duration(one.config_sync_period):
        yield ("configSyncPeriod",), wrong
    for name, section in (("iptables", one.iptables), ("nftables", one.nftables)):
        periods = {"syncPeriod": section.sync_period, "minSyncPeriod": section.min_sync_period}
        wrongs = {field: wrong for field, text in periods.items() if (wrong := sloppy.duration(text))}
        for field, wrong in wrongs.items():
            yield (name, field), wrong
        if wrongs or name != (one.mode or "iptables"):  # kube-proxy compares those of its own mode
            continue
        every = sloppy.parse_duration(section.sync_period) or _SYNC_PERIOD_S
        least = sloppy.parse_duration(section.min_sync_period) or _MIN_SYNC_PERIOD_S
        if least > every:
            text = f"{section.min_sync_period} is longer than syncPeriod, {every:g}s; expected at most that"
            yield (name, "minSyncPeriod"), text


def _host_port(text: str) -> str | None:
    """Judge an address with or without a port (AppendPortIfNeeded, pkg/proxy/util)."""
    if sloppy.address(text) is None:
        return None
    found = _HOST_PORT.fullmatch(text)
    if found and sloppy.address(found[1] or found[2]) is None and 1 <= int(found[3]) <= k8s.HIGHEST_PORT:
        return None
    return f"not an address with a port: {show(text)}; expected one such as 0.0.0.0:10256 or [::]:10256"
