"""lab.rules, lab.drift and lab.sync as a user types them, on labs that stand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from .conftest import Invoke

Lab = Callable[..., Invoke]


def test_rules_show_the_way_of_a_request_with_its_counters(lab: Lab) -> None:
    invoke = lab("nodeport")
    assert invoke("lab.curl", "client", "node-1:30080", "--count", "5").returncode == 0
    done = invoke("lab.rules", "--service", "web", "--node", "node-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ +5 +300 +-j KUBE-SVC-CDGGSHYLG3RE2FKL$", done.stdout, re.MULTILINE)
    assert "node-2" not in done.stdout
    (block,) = [one for one in json.loads(invoke("lab.rules", "--service", "web", "--json").stdout) if one["lines"]][:1]
    dnat = [line for line in block["lines"] if "-j DNAT" in line["text"]]
    assert sum(line["packets"] for line in dnat) == 5
    assert all(line["packets"] is None for line in block["lines"] if line["kind"] == "chain")


def test_rules_of_nftables_mode_are_counted_by_flows(lab: Lab) -> None:
    invoke = lab("nodeport", "--mode", "nftables")
    assert invoke("lab.curl", "client", "node-1:30080", "--count", "5").returncode == 0
    done = invoke("lab.rules", "--service", "svc/web", "--node", "node-1")
    counted = re.search(
        r"^ +(\d+) +\d+ +element tcp \. 30080 : goto external-SUSTUHLJ-default/web/tcp/http$", done.stdout, re.MULTILINE
    )
    assert counted
    assert int(counted[1]) >= 5 * 4  # a request's packets: the handshake's two, the request, the end
    assert "kube-proxy's nftables rules have no counters" in done.stderr
    lines = json.loads(invoke("lab.rules", "--service", "web", "--node", "node-1", "--json").stdout)[0]["lines"]
    endpoints = [line["packets"] for line in lines if line["kind"] == "endpoint"]
    assert sum(endpoints) == int(counted[1])


@pytest.mark.parametrize(
    ("options", "edit"),
    [
        (("--iptables", "nft"), "iptables-nft -t nat -I KUBE-SERVICES -j RETURN"),
        (("--iptables", "legacy"), "iptables-legacy -t nat -I KUBE-SERVICES -j RETURN"),
        (("--mode", "nftables"), "nft flush chain ip kube-proxy services"),
    ],
    ids=lambda words: words[-1] if isinstance(words, tuple) else "",
)
def test_a_hand_edit_shows_in_drift_and_vanishes_by_sync(lab: Lab, options: tuple[str, ...], edit: str) -> None:
    invoke = lab("clusterip", *options)
    whole = invoke("lab.drift")
    assert (whole.returncode, whole.stdout) == (0, "every rule is as it should be\n")
    assert invoke("lab.exec", "node-1", edit).returncode == 0
    found = invoke("lab.drift")
    assert found.returncode == 1
    assert found.stdout.startswith("node-1, IPv4: ")
    assert invoke("lab.drift", "--node", "node-2").returncode == 0
    assert {one["node"] for one in json.loads(invoke("lab.drift", "--json").stdout)} == {"node-1"}
    assert invoke("lab.sync", "--node", "node-2").stdout == "wrote all rules anew on node-2\n"
    assert invoke("lab.drift").returncode == 1
    assert json.loads(invoke("lab.sync", "--json").stdout) == {"nodes": ["node-1", "node-2"]}
    assert invoke("lab.drift").returncode == 0
    assert invoke("lab.curl", "client-a", "svc/web").returncode == 0


def test_a_service_or_node_that_there_is_not_is_told_with_the_nearest(lab: Lab) -> None:
    invoke = lab("clusterip")
    for words in (("--service", "wep"), ("--node", "node-9")):
        done = invoke("lab.rules", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "did you mean" in done.stderr
