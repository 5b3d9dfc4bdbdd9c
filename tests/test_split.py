"""A transaction that is too long for an ordinary user is loaded in parts: after each of them every Service is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.kernel import nft, rules
from lab.model.address import FAMILIES
from lab.model.cluster import Cluster
from lab.model.ruleset import Place
from lab.proxy import partial, sync, sync_iptables, sync_nftables
from tests.changing import changed, empty, generator
from tests.transactions import NODE, Chains, Table, iptables_of, iptables_rules, nft_of, restore

if TYPE_CHECKING:
    import pytest

WAY = re.compile(r"(?P<match>.*?)-j (?P<target>\S+)")
NAT_SERVICES: Place = ("nat", "KUBE-SERVICES")


def whole(chains: Chains, chain: str) -> bool:
    """Return whether all that enters a chain is translated, whatever conditions hold on the way."""
    for rule in chains["nat", chain]:
        if " -j DNAT " in rule:
            return True
        target = rule.rsplit("-j ", 1)[-1] if "-j " in rule else ""
        if re.match("KUBE-(SVC|SVL|EXT|SEP|FW)-", target):
            if not whole(chains, target):
                return False
            if not re.search(r"-m (statistic|recent|addrtype)|(^| )-[si] ", rule):
                return True
    return False


def masquerading(chains: Chains, chain: str) -> list[str]:
    """Return what marks packets before an endpoint is chosen."""
    own = chains["nat", chain]
    until = next((number for number, rule in enumerate(own) if "KUBE-SEP-" in rule), len(own))
    return [rule for rule in own[:until] if rule.endswith("-j KUBE-MARK-MASQ")]


def ways(chains: Chains) -> dict[str, str]:
    """Return where each address and port of a Service leads to: the first rule for it decides."""
    found: dict[str, str] = {}
    for rule in chains[NAT_SERVICES]:
        way = WAY.fullmatch(rule)
        assert way
        found.setdefault(way["match"], way["target"])
    return {match: target for match, target in found.items() if "--dport" in match}


def check_parts(old: Chains, new: Chains, text: str, size: int) -> int:
    """Do a transaction part by part; after each, what leads to endpoints before and after leads to some, and marks."""
    before, after = ways(old), ways(new)
    stay = [one for one in before.keys() & after if whole(old, before[one]) and whole(new, after[one])]
    made, count = old, 0
    for part in rules.parts(text, rules=size):
        made, count = restore(made, part), count + 1
        now = ways(made)
        for one in stay:
            assert whole(made, now[one]), (one, part)
            if before[one] == after[one]:
                marks = {*masquerading(old, before[one])} & {*masquerading(new, after[one])}
                assert marks <= {*masquerading(made, now[one])}
    return count


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_iptables_parts_never_leave_half_a_service(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(sync_iptables, "LONG", 2)
    rng = generator(seed)
    cluster = empty()
    for after in walk(cluster, rng.randint(0, 2**32)):
        told = {one.family: one.text for one in partial.transactions(cluster, after, [NODE])}
        for family in FAMILIES:
            old, new = (iptables_rules(iptables_of(one, family)) for one in (cluster, after))
            check_parts(old, new, told.get(family, ""), 3)
            there = iptables_of(cluster, family)
            check_parts(old, new, sync.repair(iptables_of(after, family), there), 3)
        cluster = after


def translated(table: Table, chain: str) -> bool:
    """Return whether all that enters a chain of a table is translated, whatever conditions hold on the way."""
    for rule in table.rules[chain]:
        if " dnat " in rule:
            return True
        targets = re.findall(r"goto ([^\s,}]+)", rule)
        if not all(translated(table, target) for target in targets):
            return False
        if targets and not re.search("saddr|fib|iifname", rule):
            return True
    return False


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_nft_parts_never_leave_half_a_service(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(sync_nftables, "LONG", 2)
    cluster = empty("nftables")
    for after in walk(cluster, seed):
        told = {one.family: one.text for one in partial.transactions(cluster, after, [NODE])}
        for family in FAMILIES:
            table, new = Table(nft_of(cluster, family)), Table(nft_of(after, family))
            before = {key for key, chain in leads(table).items() if translated(table, chain)}
            stay = before & {key for key, chain in leads(new).items() if translated(new, chain)}
            for part in nft.command_parts(told.get(family, ""), size=1):
                table.run(part)
                assert all(translated(table, leads(table)[key]) for key in stay), part
            assert (table.shapes, table.rules, table.elements) == (new.shapes, new.rules, new.elements)
        cluster = after


def leads(table: Table) -> dict[str, str]:
    """Return the chain that each address and port of a Service leads to."""
    found = table.elements["service-ips"] | table.elements["service-nodeports"]
    return {key: element.rsplit("goto ", 1)[1] for key, element in found.items()}


def walk(cluster: Cluster, seed: int) -> Iterator[Cluster]:
    rng = generator(seed)
    for _ in range(6):
        cluster = changed(rng, cluster)
        yield cluster
