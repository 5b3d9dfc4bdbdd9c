"""Nodes inside a capsule, the rules that they hold, and those that a fresh load would give."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from lab.kernel import netns, rules
from lab.model.address import FAMILIES
from lab.model.cluster import Cluster
from lab.model.lab import Mode, Variant
from lab.proxy.node import node_rules
from lab.proxy.partial import interfaces
from lab.standing import sync
from tests.changing import NODES, empty
from tests.transactions import with_services

Inside = Callable[..., Any]
MODES: dict[str, tuple[Mode, Variant]] = {
    "iptables-nft": ("iptables", "nft"),
    "iptables-legacy": ("iptables", "legacy"),
    "nftables": ("nftables", "nft"),
}
WALKS: dict[str, Cluster] = {
    **{name: empty(mode, variant) for name, (mode, variant) in MODES.items()},
    "classic": empty(release="classic"),
}
FREE = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"}


def stand(cluster: Cluster) -> None:
    """Make the nodes, without links, and their rules."""
    with netns.scratch():  # to come back from the last one
        for node in NODES:
            netns.create(node)
    sync.full(cluster)


def fresh(cluster: Cluster, node: str) -> list[Any]:
    """Return what the kernel holds when the rules of a node are loaded into a namespace that has none."""
    with netns.scratch():
        made = node_rules(cluster, node, counters=rules.nfacct_available(), interfaces=interfaces(cluster, node))
        loads = [
            rules.Load(netns=None, tool=sync.tool(cluster), family=one.family, text=one.restore_text()) for one in made
        ]
        rules.add_counters(None, ("ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"))
        rules.restore(loads)
        return [view(sync.listing(cluster, None, family)) for family in FAMILIES]


def now(cluster: Cluster, node: str) -> list[Any]:
    return [view(sync.listing(cluster, node, family)) for family in FAMILIES]


def view(text: str) -> Any:
    """Return a listing so that equal ones treat every packet alike, read without any of the code under test."""
    if text.startswith("{"):
        return sorted(json.dumps(row, sort_keys=True) for row in _nft_rows(json.loads(text)["nftables"]))
    chains: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line
        elif line.startswith(":"):
            chains[table, line.split()[0][1:]] = []
        elif line.startswith("["):
            chains[table, line.split()[2]].append(line.split(" ", 1)[1].rstrip())
    found: dict[tuple[str, str], object] = {}
    for (table, chain), own in chains.items():
        tail = [rule for rule in own if rule.endswith("-j KUBE-NODEPORTS")] if table == "*nat" else []
        assert not tail or chain != "KUBE-SERVICES" or own[-len(tail) :] == tail
        # Each jump that was missing is put at the head, as kube-proxy does: their order is as free.
        found[table, chain] = Counter(own) if chain in FREE or (chain.isupper() and "-" not in chain) else own
    return found


def _nft_rows(listing: list[dict[str, dict[str, Any]]]) -> Iterator[Any]:
    numbers: Counter[str] = Counter()
    for entry in listing:
        ((kind, body),) = entry.items()
        kept = {key: value for key, value in body.items() if key not in ("handle", "index")}
        if kind == "rule":
            numbers[body["chain"]] += 1
            kept["number"] = numbers[body["chain"]]
        if "elem" in kept:
            kept["elem"] = sorted(kept["elem"], key=json.dumps)
        if kind != "metainfo":
            yield kind, kept


def plain(name: str, *services: str) -> Cluster:
    mode, variant = MODES[name]
    cluster = with_services(*services, mode=mode)
    return replace(cluster, lab=empty(mode, variant).lab)
