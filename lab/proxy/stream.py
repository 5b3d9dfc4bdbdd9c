"""The rules of a whole cluster as text, piece by piece: whoever loads it begins before the end is there."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.address import Family
from lab.model.lab import Mode, Release
from lab.model.proxy_config import KubeProxyConfiguration
from lab.parse.cluster_files import ClusterFiles
from lab.proxy import iptables
from lab.proxy.config import configure
from lab.proxy.node import render
from lab.proxy.services import units


def stream(
    objects: ClusterFiles,
    settings: KubeProxyConfiguration,
    family: Family,
    *,
    node: str = "",
    mode: Mode | None = None,
    release: Release = "1.36",
    counters: bool = True,
) -> Iterator[str]:
    """Yield complete input for iptables-restore, ip6tables-restore or `nft -f` on a clean node.

    It loads as what `lab.proxy.node.render` returns for the same arguments does. In today's iptables mode the chains of
    one service port come after those of another; for the rest all is rendered before the first piece.
    Raises what `render` raises, before the first piece but for names that cannot stand in a rule.
    """
    mode = mode or settings.mode or "iptables"
    if mode == "iptables" and release == "1.36":
        config = configure(settings, objects.nodes, family, node=node, mode=mode)
        external_ips = settings.feature_gates.get("AllowServiceExternalIPs", True)
        found = units(objects.services, objects.slices, family, external_ips=external_ips)
        yield from iptables.pieces(found, config, counters=counters)
        return
    ruleset = render(
        objects.services,
        objects.slices,
        objects.nodes,
        settings,
        family,
        node=node,
        mode=mode,
        release=release,
        service_cidrs=objects.service_cidrs,
        counters=counters,
    )
    yield ruleset.restore_text()
