"""The rules of a plan are loaded, whole, in every mode, and Services answer through them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from lab import topology
from lab.errors import KernelError
from lab.kernel import command, netns, rules
from lab.model.ops import Op, Rules
from lab.plan import plan
from tests.kernel.built import EMPTY, LAB, Inside, made, of, ops


@pytest.mark.parametrize("tool", ["iptables-nft", "iptables-legacy"])
def test_the_rules_of_each_node_and_family_are_loaded(inside: Inside, tool: rules.Tool) -> None:
    wanted = [replace(op, tool=tool) if isinstance(op, Rules) else op for op in ops()]

    def saved() -> dict[tuple[str, str], str]:
        return {(op.netns, op.family): rules.save(op.netns, tool, op.family) for op in of(Rules, wanted)}

    seen = inside(made, wanted, saved)
    assert len(seen) == 4
    for op in of(Rules, wanted):
        kept = seen[op.netns, op.family]
        assert {line for line in op.text.splitlines() if line.startswith("-A")} <= {
            line.partition("] ")[2] for line in kept.splitlines() if line.startswith("[")
        }


def nftables_ops() -> tuple[Op, ...]:
    settings = "---\napiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n"
    return plan(topology.read(LAB.format(network=EMPTY) + settings, "lab.yaml").cluster).ops


def test_in_nftables_mode_each_node_has_a_table_of_each_family_and_nothing_of_iptables(inside: Inside) -> None:
    def listed() -> dict[str, str]:
        return {node: command.check(("nft", "list", "ruleset"), netns=node) for node in ("node-1", "node-2")}

    for listing in inside(made, nftables_ops(), listed).values():
        tables = sorted(re.findall(r"^table .*", listing, flags=re.MULTILINE))
        assert tables == ["table ip kube-proxy {", "table ip6 kube-proxy {"]
        assert "10.96.0.10 . tcp . 80 : goto service-" in listing


@pytest.mark.parametrize("planned_ops", [ops, nftables_ops])
def test_a_service_answers_through_the_rules_also_when_client_and_endpoint_share_a_bridge(
    inside: Inside, planned_ops: Callable[[], tuple[Op, ...]]
) -> None:
    def seen() -> set[str]:
        found = set()
        for _ in range(20):
            with netns.inside("web-1"), socket.socket() as one, netns.inside("web-2"), socket.socket() as two:
                for listener in (one, two):
                    listener.bind(("", 80))
                    listener.listen()
                with netns.inside("client-a"), socket.create_connection(("10.96.0.10", 80), timeout=2) as caller:
                    caller.settimeout(2)
                    found.add(caller.getpeername()[0])
        return found

    assert inside(made, planned_ops(), seen) == {"10.96.0.10"}


def test_counters_that_exist_are_left_and_the_kernel_is_asked_whether_it_has_any(inside: Inside) -> None:
    def twice() -> bool:
        netns.create("node")
        for _ in range(2):
            rules.add_counters("node", ["first", "second"])
        return rules.nfacct_available()

    assert inside(twice) is True


def test_a_rule_set_larger_than_one_transaction_may_be_is_loaded_whole(inside: Inside) -> None:
    count = 1200
    lines = [f":KUBE-SEP-{number} - [0:0]\n" for number in range(count)]
    lines += [f'-A KUBE-SVC -m comment --comment "to {n}" -j KUBE-SEP-{n}\n' for n in range(count)]
    lines += [f'-A KUBE-SEP-{n} -p tcp -m comment --comment "pod {n}" -j RETURN\n' for n in range(count)]
    text = "*nat\n:KUBE-SVC - [0:0]\n" + "".join(lines) + "-A PREROUTING -j KUBE-SVC\nCOMMIT\n"

    def load() -> str:
        netns.create("node")
        rules.restore([rules.Load(netns="node", tool="iptables-nft", family="ipv4", text=text)])
        return rules.save("node", "iptables-nft", "ipv4")

    kept = [line.partition("] ")[2] + "\n" for line in inside(load).splitlines() if line.startswith("[")]
    assert [line for line in kept if " KUBE-SVC " in line] == [line for line in lines if "-A KUBE-SVC " in line]
    assert len(kept) == 2 * count + 1


def test_rules_that_are_refused_are_named_with_their_node(inside: Inside) -> None:
    text = "*nat\n:KUBE-SVC - [0:0]\n-A KUBE-SVC -j NOWHERE\nCOMMIT\n"

    def load() -> None:
        netns.create("node-9")
        rules.restore([rules.Load(netns="node-9", tool="iptables-nft", family="ipv4", text=text)])

    with pytest.raises(KernelError, match=r"in node-9: iptables-nft-restore .*: exit \d+: (.|\n)*NOWHERE"):
        inside(load)
