"""Transactions, applied by a small interpreter of iptables-restore and nft, lead from one ruleset to the other.

The interpreter refuses what the kernel would; tests/kernel/test_sync.py asks the kernel itself.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_

from lab.errors import TopologyError
from lab.model.address import FAMILIES, Family
from lab.model.cluster import Cluster
from lab.model.drift import Difference
from lab.model.kubernetes import EndpointSlice, SliceEndpoint
from lab.model.lab import Mode, Release
from lab.parse import held
from lab.proxy import partial, sync, sync_nftables
from tests.changing import NODES, changed, empty, generator
from tests.rendered_iptables import chains_of
from tests.transactions import (
    NODE,
    Table,
    comparable,
    endpoints,
    iptables_of,
    iptables_rules,
    last_is_last,
    nft_of,
    nft_state,
    restore,
    rules_of,
    saved,
    with_services,
)

# --- random changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["1.36", "classic"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_iptables_transactions_lead_from_each_ruleset_to_the_next(release: Release, seed: int) -> None:
    rng = generator(seed)
    cluster = empty(release=release)
    chains = {family: iptables_rules(iptables_of(cluster, family)) for family in FAMILIES}
    for _ in range(6):
        after = changed(rng, cluster)
        told = {one.family: one.text for one in partial.transactions(cluster, after, [NODE])}
        for family in FAMILIES:
            old, new = iptables_of(cluster, family), iptables_of(after, family)
            made = restore(chains[family], told.get(family, ""))
            assert comparable(made) == comparable(iptables_rules(new))
            assert last_is_last(made)
            assert comparable(restore(iptables_rules(old), sync.changes(old, new))) == comparable(iptables_rules(new))
            chains[family] = made
        cluster = after


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nft_transactions_lead_from_each_table_to_the_next(seed: int) -> None:
    rng = generator(seed)
    cluster = empty("nftables")
    tables = {family: Table(nft_of(cluster, family)) for family in FAMILIES}
    for _ in range(6):
        after = changed(rng, cluster)
        told = {one.family: one.text for one in partial.transactions(cluster, after, [NODE])}
        for family in FAMILIES:
            old, new = nft_of(cluster, family), nft_of(after, family)
            table = tables[family]
            table.run(told.get(family, ""))
            assert (table.shapes, table.rules, table.elements) == nft_state(new)
            other = Table(old)
            other.run(sync.changes(old, new))
            assert (other.shapes, other.rules, other.elements) == nft_state(new)
        cluster = after


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_full_sync_leads_from_anything_to_what_is_wanted(seed: int) -> None:
    rng = generator(seed)
    one, other = changed(rng, changed(rng, empty())), changed(rng, changed(rng, empty()))
    for family in FAMILIES:
        there, wanted = iptables_of(one, family), iptables_of(other, family)
        for text in (sync.full(wanted, there), sync.repair(wanted, there)):
            assert comparable(restore(iptables_rules(there), text)) == comparable(iptables_rules(wanted))
    one, other = (replace(made, proxy=with_(made.proxy, mode="nftables")) for made in (one, other))
    for family in FAMILIES:
        table, now = Table(nft_of(one, family)), nft_of(other, family)
        text = sync.full(now, nft_of(one, family))
        table.run(text)
        assert (table.shapes, table.rules, table.elements) == nft_state(now)


# --- what a transaction touches --------------------------------------------------------------------------------------


def one_text(old: Cluster, new: Cluster, family: Family = "ipv4") -> str:
    return next((one.text for one in partial.transactions(old, new, [NODE]) if one.family == family), "")


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_nothing_is_said_when_nothing_changes(mode: Mode) -> None:
    cluster = with_services("web", "db", mode=mode)
    assert partial.transactions(cluster, replace(cluster), [NODE]) == []
    renamed = tuple(with_(one, metadata=with_(one.metadata, labels={"a": "b"})) for one in cluster.services)
    assert partial.transactions(cluster, replace(cluster, services=renamed), NODES) == []
    ruleset = rules_of(cluster, "ipv4")
    assert sync.changes(ruleset, ruleset) == ""


def test_a_change_of_endpoints_touches_no_chain_that_services_share() -> None:
    old = with_services("web", "db")
    new = replace(old, slices=(*endpoints("web", 3), *old.slices[2:]))
    text = one_text(old, new)
    assert re.findall(r"^\*\w+", text, re.MULTILINE) == ["*nat"]
    chains = re.findall(r"^:(\S+)", text, re.MULTILINE)
    assert sorted(chain[:9] for chain in chains) == [
        "KUBE-SEP-",
        "KUBE-SVC-",
    ]  # the one that changes, the one that goes
    assert "-D" not in text.split()
    assert "-I" not in text.split()
    assert len(re.findall(r"^-X KUBE-SEP-", text, re.MULTILINE)) == 1


def test_a_service_that_goes_takes_one_rule_out_of_a_shared_chain() -> None:
    old = with_services("web", "db")
    text = one_text(old, replace(old, services=old.services[:1], slices=old.slices[:2]))
    (rule,) = re.findall(r"^-D .*", text, re.MULTILINE)
    assert rule.startswith('-D KUBE-SERVICES -d 10.96.0.12/32 -p tcp -m comment --comment "default/db:http cluster IP"')
    assert ":KUBE-SERVICES" not in text


def test_a_pod_behind_two_services_stays_a_hairpin_when_one_of_them_goes() -> None:
    old = with_services("web", "db", mode="nftables")
    alone = replace(old, services=old.services[:1], slices=old.slices[:2])
    assert "hairpin-connections" not in one_text(old, alone)
    assert "hairpin-connections" in one_text(alone, replace(alone, services=(), slices=()))


def test_an_endpoint_of_another_node_changes_one_chain_of_the_table() -> None:
    old = with_services("web", "db", mode="nftables")
    new = replace(old, slices=(*endpoints("web", 2, 3, 5), *old.slices[2:]))
    lines = one_text(old, new).splitlines()
    assert [line.split()[:2] for line in lines] == [["flush", "chain"], ["add", "rule"]]


def test_a_long_chain_of_a_table_leads_to_an_endpoint_from_its_first_rule_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_nftables, "LONG", 2)
    old = with_services("web", mode="nftables")
    spec = with_(old.services[0].spec, session_affinity="ClientIP")
    text = one_text(old, replace(old, services=(with_(old.services[0], spec=spec),)))
    verbs = [line.split()[0] for line in text.splitlines() if " service-" in line]
    assert verbs == ["flush", "add", "insert", "insert"]
    assert re.search(r"^add rule ip kube-proxy service-\S+ numgen random mod 2 vmap", text, re.MULTILINE)


def test_deletions_can_wait_for_a_second_transaction() -> None:
    old = with_services("web", "db", mode="nftables")
    text = one_text(old, replace(old, services=old.services[:1], slices=old.slices[:2]))
    first, second = sync_nftables.without_removals(text)
    assert first + second == text
    assert re.findall(r"^(?:delete|flush) (?:chain|set)", first, re.MULTILINE) == ["flush chain"]
    assert re.findall(r"^\w+ \w+", second, re.MULTILINE) == ["delete chain"]
    assert sync_nftables.without_removals(first) == (first, "")


def test_above_1000_endpoints_all_rules_lose_their_comments_and_get_them_back() -> None:
    few = with_services("web")
    many = replace(few, slices=(with_(few.slices[0], endpoints=_many(few.slices[0], 1001)), *few.slices[1:]))
    text = one_text(few, many)
    assert "default/web:http ->" not in text
    assert text.count("\n:KUBE-SEP-") == 1001 + 2  # the two that stay, too
    assert "default/web:http ->" in one_text(many, few)
    same = replace(many, slices=(with_(many.slices[0], endpoints=many.slices[0].endpoints[1:]), *many.slices[1:]))
    text = one_text(many, same)
    assert text.count("\n:") == 1  # the endpoint's chain that goes
    assert "default/web:http ->" not in text
    # The Service's own chain is too long for a transaction that an ordinary user may make: it is never empty.
    chains = chains_of(iptables_of(same, "ipv4"))
    assert text.count("\n-I KUBE-SVC-") == max(len(one.rules) for one in chains) == 1003
    assert text.count("\n-D KUBE-SVC-") == 1004


def _many(one: EndpointSlice, count: int) -> tuple[SliceEndpoint, ...]:
    more = (SliceEndpoint(addresses=(ip_address("10.244.8.0") + n,), node_name=NODE) for n in range(count))
    return (*one.endpoints, *more)


def test_the_rulesets_of_two_modes_are_not_compared() -> None:
    one, other = with_services("web"), with_services("web", mode="nftables")
    with pytest.raises(TypeError, match="NftRuleset and Ruleset are rules of two modes"):
        sync.changes(rules_of(other, "ipv4"), rules_of(one, "ipv4"))


# --- full syncs, and what is held ------------------------------------------------------------------------------------


def test_a_full_sync_leaves_alone_what_is_not_ours() -> None:
    wanted = iptables_of(with_services("web"), "ipv4")
    there = iptables_rules(wanted)
    there["filter", "INPUT"] = ["-s 192.0.2.1/32 -j DROP", *there["filter", "INPUT"][1:]]  # a jump is missing
    there["nat", "PREROUTING"].append("-s 192.0.2.1/32 -j KUBE-SVC-OLD")
    there["nat", "MINE"] = ["-j RETURN"]
    there["nat", "KUBE-SVC-OLD"] = ["-j RETURN"]
    there["nat", "KUBE-SEP-OLD"] = ["-j RETURN"]
    there["mangle", "KUBE-KUBELET-CANARY"] = []
    text = sync.full(wanted, held.iptables(saved(there), "ipv4"))
    made = restore(there, text)
    assert made["filter", "INPUT"] == ["-j KUBE-FIREWALL", *there["filter", "INPUT"]]
    assert made["nat", "MINE"] == ["-j RETURN"]
    assert made["nat", "KUBE-SVC-OLD"] == []  # somebody jumps there
    assert ("nat", "KUBE-SEP-OLD") not in made
    assert ("mangle", "KUBE-KUBELET-CANARY") in made
    assert text.count("-j KUBE-POSTROUTING\n") == 0
    ours = set(wanted.tables[2].chains[3:])
    assert all(made["nat", chain.name] == list(chain.rules) for chain in ours)


def test_what_is_saved_and_read_again_has_no_drift() -> None:
    wanted = iptables_of(with_services("web", "db"), "ipv4")
    assert sync.drift(wanted, held.iptables(saved(iptables_rules(wanted)), "ipv4")) == ()


def test_the_order_of_a_shared_chain_is_free_but_for_its_last_rule() -> None:
    wanted = iptables_of(with_services("web", "db"), "ipv4")
    there = iptables_rules(wanted)
    first, second, last = there["nat", "KUBE-SERVICES"]
    there["nat", "KUBE-SERVICES"] = [second, first, last]
    assert sync.drift(wanted, held.iptables(saved(there), "ipv4")) == ()
    there["nat", "KUBE-SERVICES"] = [last, first, second]
    now = held.iptables(saved(there), "ipv4")
    assert sync.drift(wanted, now) == (Difference("order", "rules", "nat", "KUBE-SERVICES"),)
    assert restore(there, sync.repair(wanted, now))["nat", "KUBE-SERVICES"][-1] == last


def test_a_text_that_no_program_saved_is_refused() -> None:
    with pytest.raises(TopologyError, match="line 2: 'hello' is not what iptables-save prints"):
        held.iptables("*nat\nhello\n", "ipv4")


def test_a_listing_without_the_table_is_a_table_that_is_missing() -> None:
    wanted = nft_of(with_services("web", mode="nftables"), "ipv4")
    assert held.nft("", "ipv4") is None
    assert sync.drift(wanted, held.nft('{"nftables": []}', "ipv4")) == (
        Difference("missing", "table", "ip kube-proxy", ""),
    )
    assert sync.full(wanted, None) == wanted.restore_text()
