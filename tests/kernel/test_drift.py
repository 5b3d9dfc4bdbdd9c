"""What others wrote beside kube-proxy's rules, and what was edited by hand, when rules are synced."""

from __future__ import annotations

import re

import pytest

from lab.kernel import rules
from lab.model.cluster import Cluster
from lab.standing import sync
from tests.changing import NODES
from tests.kernel.synced import Inside, fresh, now, plain, stand


def with_foreign(old: Cluster, new: Cluster) -> list[list[str]]:
    stand(old)
    tool = sync.tool(old)
    text = "*filter\n-I INPUT 1 -s 192.0.2.1/32 -j DROP\nCOMMIT\n"
    text += "*nat\n:MINE - [0:0]\n-A MINE -d 192.0.2.2/32 -j RETURN\n-I PREROUTING 1 -j MINE\nCOMMIT\n"
    rules.restore([rules.Load(netns=NODES[0], tool=tool, family="ipv4", text=text)])
    seen = []
    for done in (sync.partial, lambda _, cluster: sync.full(cluster)):
        done(old, new)
        lines = rules.save(NODES[0], tool, "ipv4").splitlines()
        seen.append([line.split("] ")[1] for line in lines if re.search(r"192\.0\.2|-j MINE", line)])
        assert all(one.differences == () for one in sync.drift(new))
        hooks = [line.split("] ")[1] for line in lines if re.search(r"-A [A-Z]+ ", line) and "-j KUBE" in line]
        assert len(hooks) == len(set(hooks)) > 5
    return seen


@pytest.mark.parametrize("name", ["iptables-nft", "iptables-legacy"])
def test_rules_of_others_survive_every_sync(inside: Inside, name: str) -> None:
    expected = ["-A INPUT -s 192.0.2.1/32 -j DROP", "-A PREROUTING -j MINE", "-A MINE -d 192.0.2.2/32 -j RETURN"]
    for seen in inside(with_foreign, plain(name, "web", "db"), plain(name, "web")):
        assert seen == expected


def edited(cluster: Cluster, text: str) -> tuple[list[str], list[str]]:
    """Edit node-1's rules by hand; return what drift says, before a full sync and after it."""
    stand(cluster)
    rules.restore([rules.Load(netns=NODES[0], tool=sync.tool(cluster), family="ipv4", text=text)])
    first = [str(one) for drift in sync.drift(cluster) for one in drift.differences]
    sync.full(cluster, NODES[:1])
    second = [str(one) for drift in sync.drift(cluster) for one in drift.differences]
    assert now(cluster, NODES[0]) == fresh(cluster, NODES[0])
    return first, second


REORDERED = """\
*nat
-D KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
COMMIT
"""


@pytest.mark.parametrize("name", ["iptables-nft", "iptables-legacy"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "*nat\n-A KUBE-MARK-MASQ -s 192.0.2.9/32 -j RETURN\nCOMMIT\n",
            "nat KUBE-MARK-MASQ: rule that nobody wants: -s 192.0.2.9/32 -j RETURN",
        ),
        (
            "*nat\n-F KUBE-POSTROUTING\nCOMMIT\n",
            "nat KUBE-POSTROUTING: rule is missing: -j MARK --set-xmark 0x4000/0x0",
        ),
        (
            '*filter\n-D FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD\nCOMMIT\n',
            'filter FORWARD: jump is missing: -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
        ),
        ("*nat\n:KUBE-SVC-NOBODYSSERVICE1 - [0:0]\nCOMMIT\n", "nat KUBE-SVC-NOBODYSSERVICE1: chain that nobody wants"),
        ("*mangle\n-X KUBE-PROXY-CANARY\nCOMMIT\n", "mangle KUBE-PROXY-CANARY: chain is missing"),
        (
            REORDERED,
            "nat KUBE-POSTROUTING: rules are in another order",
        ),
    ],
)
def test_a_hand_edit_shows_as_drift_and_vanishes_by_a_full_sync(
    inside: Inside, name: str, text: str, said: str
) -> None:
    first, second = inside(edited, plain(name, "web"), text)
    assert said in first
    assert second == []


REHOOKED = """\
flush chain ip kube-proxy nat-output
delete chain ip kube-proxy nat-output
add chain ip kube-proxy nat-output { type nat hook output priority -99; }
add rule ip kube-proxy nat-output jump services
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "add rule ip kube-proxy services ip saddr 192.0.2.9 drop",
            "ip kube-proxy services: rule that nobody wants: ip saddr 192.0.2.9 drop",
        ),
        ("flush chain ip kube-proxy masquerading", "masquerading: rule is missing: ct status dnat"),
        (
            "delete element ip kube-proxy cluster-ips { 10.96.0.10 }",
            "ip kube-proxy cluster-ips: element is missing: 10.96.0.10",
        ),
        (
            "add element ip kube-proxy no-endpoint-services { 10.96.0.99 . tcp . 80 : drop }",
            "ip kube-proxy no-endpoint-services: element that nobody wants: 10.96.0.99 . tcp . 80 : drop",
        ),
        ("add chain ip kube-proxy mine", "ip kube-proxy mine: chain that nobody wants"),
        ("add set ip kube-proxy mine { type ipv4_addr; }", "ip kube-proxy mine: set that nobody wants"),
        ("delete table ip kube-proxy", "ip kube-proxy: table is missing"),
        (
            "flush chain ip kube-proxy nat-output\ndelete chain ip kube-proxy nat-output",
            "ip kube-proxy nat-output: chain is missing",
        ),
        (
            REHOOKED,
            "ip kube-proxy nat-output: chain is not as it should be: its hook or its priority",
        ),
    ],
)
def test_a_hand_edit_of_the_table_shows_as_drift_and_vanishes_by_a_full_sync(
    inside: Inside, text: str, said: str
) -> None:
    first, second = inside(edited, plain("nftables", "web"), f"{text}\n")
    assert any(said in one for one in first), first
    assert second == []


def broken_then_changed(old: Cluster, new: Cluster, text: str) -> sync.Synced:
    stand(old)
    rules.restore([rules.Load(netns=NODES[0], tool=sync.tool(old), family="ipv4", text=text)])
    done = sync.partial(old, new)
    assert all(one.differences == () for one in sync.drift(new))
    return done


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("iptables-nft", "*nat\n-F KUBE-SERVICES\nCOMMIT\n"),
        ("iptables-legacy", "*nat\n-F KUBE-SERVICES\nCOMMIT\n"),
        ("nftables", "delete table ip kube-proxy\n"),
    ],
)
def test_a_node_that_refuses_a_change_gets_all_rules_anew(inside: Inside, name: str, text: str) -> None:
    done = inside(broken_then_changed, plain(name, "web", "db"), plain(name, "web"), text)
    assert (done.fully, done.partly) == (("node-1",), ("node-2",))
    assert len(done.refused) == 1
