"""Rules that are too many for one transaction: loaded in parts, the kernel holds what it would hold of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.kernel import command, netns, nft, rules
from lab.model.lab import Mode
from lab.model.proxy_config import KubeProxyConfiguration
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy import iptables, nftables
from lab.proxy.config import configure
from tests.kernel.synced import view

Inside = Callable[..., Any]
pytestmark = pytest.mark.root  # the whole, beside which the parts are held, is more than others may send at once

ENDPOINTS = tuple(Endpoint(address=IPv4Address("10.244.0.2") + number, port=8080) for number in range(200))


def unit(number: int, endpoints: int, affinity_seconds: int = 0) -> ServiceUnit:
    return ServiceUnit(
        namespace="default",
        name=f"web-{number}",
        port_name="http",
        protocol="TCP",
        cluster_ip=IPv4Address("10.96.0.10") + number,
        port=80,
        affinity_seconds=affinity_seconds,
        endpoints=ENDPOINTS[:endpoints],
    )


UNITS = (unit(0, 200), unit(1, 200, 60), unit(2, 1), unit(3, 0))


def text(mode: Mode) -> str:
    config = configure(KubeProxyConfiguration(), (), "ipv4", node="node-1", mode=mode)
    if mode == "nftables":
        return nftables.render(UNITS, config).restore_text()
    return iptables.render(UNITS, config, counters=False).restore_text()


def held(argv: tuple[str, ...], texts: Iterable[str], tool: rules.Tool) -> Any:
    """Load texts one after the other, and return what the kernel then holds."""
    with netns.scratch():
        for one in texts:
            command.check(argv, stdin=one)
        return view(rules.save(None, tool, "ipv4"))


def test_a_table_of_nft_in_parts(inside: Inside) -> None:
    whole, argv = text("nftables"), ("nft", "-f", "-")
    pieces = list(nft.parts(whole, size=4000))
    assert sum("\tchain service-" in piece and "web-1/" in piece for piece in pieces) > 3  # one chain is cut itself
    assert inside(held, argv, pieces, "nft") == inside(held, argv, [whole], "nft")


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_the_tables_of_iptables_in_parts(inside: Inside, tool: rules.Tool) -> None:
    whole, argv = text("iptables"), (f"{tool}-restore", "--noflush")
    pieces = list(rules.parts(whole))
    assert len(pieces) > 5
    assert inside(held, argv, pieces, tool) == inside(held, argv, [whole], tool)
