"""lab.graph on a lab that stands: the chains of its nodes, with what has come by them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests import pictures

from .conftest import Invoke

Lab = Callable[..., Invoke]
REQUESTS = 6


def packets(text: str, row: str) -> list[int]:
    """Return the counts of the rows of a picture in letters that hold `row`."""
    found = [re.match(rf" *(\d+)  [│├└─ ]*{row}", line) for line in text.splitlines()]
    return [int(one[1]) for one in found if one]


@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_the_rules_of_a_service_count_its_requests(lab: Lab, variant: str) -> None:
    invoke = lab("nodeport", "--iptables", variant)
    before = invoke("lab.graph", "--service", "web").stdout
    assert f"svc/web on node-1, IPv4, iptables-{variant}" in before
    assert packets(before, "DNAT to ") == [0, 0]
    masqueraded = sum(packets(before, "masquerade"))
    assert invoke("lab.curl", "client", "node-1:30080", "--count", str(REQUESTS)).returncode == 0
    after = invoke("lab.graph", "--service", "web").stdout
    assert packets(after, "port 30080/tcp") == [REQUESTS]
    assert sum(packets(after, "DNAT to ")) == REQUESTS
    assert packets(after, r"KUBE-SVC-\w+ \(above\)") == [REQUESTS]
    assert sum(packets(after, "masquerade")) - masqueraded == REQUESTS
    elsewhere = invoke("lab.graph", "--service", "web", "--node", "node-2").stdout
    assert packets(elsewhere, "DNAT to ") == [0, 0]


def test_in_nftables_mode_the_flows_of_a_service_count(lab: Lab) -> None:
    invoke = lab("nodeport", "--mode", "nftables")
    assert sum(packets(invoke("lab.graph", "--service", "web").stdout, "chance 1/2: DNAT to ")) == 0
    assert invoke("lab.curl", "client", "node-1:30080", "--count", str(REQUESTS)).returncode == 0
    done = invoke("lab.graph", "--service", "web")
    assert "kube-proxy's nftables rules have no counters" in done.stderr
    (counted,) = packets(done.stdout, r"tcp \. 30080")
    assert counted >= REQUESTS * 4  # a request's packets: the handshake's two, the request, the end
    assert sum(packets(done.stdout, "chance 1/2: DNAT to ")) == counted


def test_what_stands_is_drawn_not_what_the_file_says(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert invoke("lab.exec", "node-1", "iptables -t nat -F KUBE-SVC-CDGGSHYLG3RE2FKL").returncode == 0
    text = invoke("lab.graph", "--service", "web").stdout
    assert "KUBE-SVC-CDGGSHYLG3RE2FKL" in text
    assert "KUBE-SEP" not in text
    svg = invoke("lab.graph", "--service", "web", "--svg", "-").stdout
    assert pictures.faults(svg) == []


def test_the_topology_of_a_lab_is_what_it_is_now(lab: Lab) -> None:
    invoke = lab("clusterip")
    assert "web-2" in invoke("lab.graph").stdout
    assert invoke("lab.scale", "web", "--replicas", "1").returncode == 0
    now = invoke("lab.graph").stdout
    assert "web-1" in now
    assert "web-2" not in now
