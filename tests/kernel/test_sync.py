"""The kernel follows: after any change it holds what a fresh load of the new objects' rules would make it hold."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as with_

from lab.kernel import command, netns, rules
from lab.model.cluster import Cluster
from lab.model.labels import SERVICE_NAME
from lab.standing import sync
from tests.changing import NODES, changed, generator
from tests.kernel.synced import MODES, WALKS, Inside, fresh, now, plain, stand
from tests.transactions import endpoints


@pytest.fixture(params=WALKS)
def start(request: pytest.FixtureRequest) -> Cluster:
    """Give an empty cluster of each mode and release."""
    return WALKS[request.param]


def follow(start: Cluster, seed: int, steps: int) -> list[tuple[str, Any, Any]]:
    """Change the cluster at random; return, after each change, what each node holds and what it ought to hold."""
    rng = generator(seed)
    stand(start)
    cluster, seen = start, []
    for _ in range(steps):
        after = changed(rng, cluster)
        done = sync.partial(cluster, after)
        assert done.refused == ()
        cluster = after
        seen += [(node, now(cluster, node), fresh(cluster, node)) for node in NODES[:1]]
    seen.append((NODES[1], now(cluster, NODES[1]), fresh(cluster, NODES[1])))
    assert all(one.differences == () for one in sync.drift(cluster))
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_after_any_changes_the_kernel_holds_what_a_fresh_load_would(inside: Inside, start: Cluster, seed: int) -> None:
    for node, held, wanted in inside(follow, start, seed, 4):
        assert held == wanted, node


def many(name: str) -> Cluster:
    """Return 150 Services of two endpoints: too much for one transaction in a user namespace."""
    one = plain(name, "web")
    (web,) = one.services
    services, slices = [], []
    for number in range(150):
        named, ips = f"web-{number}", (f"10.96.1.{number}", f"fd00:96:1::{number}")
        spec = with_(web.spec, cluster_ip=ips[0], cluster_ips=ips)
        services.append(with_(web, metadata=with_(web.metadata, name=named), spec=spec))
        for part in one.slices:
            meta = with_(part.metadata, name=f"{named}-{part.address_type}", labels={SERVICE_NAME: named})
            slices.append(with_(part, metadata=meta))
    return replace(one, services=tuple(services), slices=tuple(slices))


def there_and_back(few: Cluster, lots: Cluster) -> list[Any]:
    stand(few)
    seen = []
    for old, new in ((few, lots), (lots, few), (few, lots)):
        assert sync.partial(old, new).refused == ()
        seen.append((now(new, NODES[0]), fresh(new, NODES[0])))
    sync.full(lots)
    seen.append((now(lots, NODES[0]), fresh(lots, NODES[0])))
    return seen


@pytest.mark.parametrize("name", MODES)
def test_a_change_of_many_services_is_carried_out_even_in_parts(inside: Inside, name: str) -> None:
    for held, wanted in inside(there_and_back, plain(name, "db"), many(name)):
        assert held == wanted


def count_all(netns_name: str, tool: rules.Tool, to: str) -> None:
    """Give every rule a counter value of its own, as if packets had passed."""
    text = rules.save(netns_name, tool, "ipv4")
    numbers = iter(range(1, 10_000))
    counted = re.sub(r"^\[0:0\]", lambda _: f"[{next(numbers)}:{to}]", text, flags=re.MULTILINE)
    program = f"{tool}-restore"
    command.check((program, "--counters"), netns=netns_name, stdin=counted)


def counters(netns_name: str, tool: rules.Tool) -> dict[str, str]:
    """Return the counters of every rule."""
    lines = [line for line in rules.save(netns_name, tool, "ipv4").splitlines() if line.startswith("[")]
    return {line.split(" ", 1)[1]: line.split(" ", 1)[0] for line in lines}


def count_over_a_change(old: Cluster, new: Cluster) -> tuple[dict[str, str], dict[str, str]]:
    stand(old)
    tool = sync.tool(old)
    count_all(NODES[0], tool, "777")
    before = counters(NODES[0], tool)
    sync.partial(old, new)
    return before, counters(NODES[0], tool)


@pytest.mark.parametrize("name", ["iptables-nft", "iptables-legacy"])
def test_the_counters_of_untouched_rules_survive(inside: Inside, name: str) -> None:
    old = plain(name, "web", "db")
    gone = replace(old, services=old.services[:1], slices=old.slices[:2])
    scaled = replace(old, slices=(*endpoints("web", 2, 3, 4), *old.slices[2:]))
    more = replace(plain(name, "web", "db", "api"))
    for new, lost in ((gone, "default/db"), (scaled, "default/web"), (more, "default/api")):
        before, after = inside(_in_new_nodes, old, new)
        kept = {rule for rule in before if lost not in rule and rule in after}
        assert len(kept) > 15
        assert all(before[rule] == after[rule] != "[0:0]" for rule in kept)
        entries = [rule for rule in before if "cluster IP" in rule and rule.startswith("-A KUBE-SERVICES")]
        if new is scaled:  # even the Service's own way in: only its endpoints changed
            assert all(before[rule] == after[rule] for rule in entries)


def _in_new_nodes(old: Cluster, new: Cluster) -> tuple[dict[str, str], dict[str, str]]:
    try:
        return count_over_a_change(old, new)
    finally:
        for node in NODES:
            netns.remove(node)
