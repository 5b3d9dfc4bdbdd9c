"""What is no name, address or number is refused by whoever would print it, though nothing reads it in this far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from lab.errors import TopologyError
from tests import rendered_iptables, rendered_nftables
from tests.units import HERE, web

Rendered = Callable[..., Any]
MODES: dict[str, Rendered] = {"iptables": rendered_iptables.rendered, "nftables": rendered_nftables.rendered}
HOSTILE = [
    {"name": 'web" -j ACCEPT'},
    {"name": 'web" drop'},
    {"namespace": "a\nb"},
    {"port_name": "h\\"},
    {"port_name": "h }"},
    {"protocol": "tcp -j ACCEPT"},
    {"protocol": "tcp drop"},
    {"cluster_ip": ip_address("fe80::1%a b")},
    {"endpoints": (replace(HERE, address=ip_address('fe80::1%"')),)},
    {"external_ips": (ip_address("fe80::1%-"),)},
    {"load_balancer_ips": (ip_address("fe80::1%\n"),)},
]
FIELDS = [(mode, field) for mode in MODES for field in ("port", "node_port", "affinity_seconds")]
FIELDS.append(("iptables", "health_check_node_port"))  # in nftables mode a health check is no rule


@pytest.mark.parametrize("rendered", MODES.values(), ids=MODES)
@pytest.mark.parametrize("changes", HOSTILE, ids=str)
def test_nothing_hostile_is_printed(changes: dict[str, Any], rendered: Rendered) -> None:
    with pytest.raises(TopologyError):
        rendered(web(**changes))


@pytest.mark.parametrize(("mode", "field"), FIELDS)
def test_a_number_that_is_none_is_not_printed(mode: str, field: str) -> None:
    with pytest.raises(ValueError, match="format code 'd'"):
        MODES[mode](web(**{field: "80 -j ACCEPT"})).restore_text()
