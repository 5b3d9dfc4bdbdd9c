"""The endpoints that a node may use are those that kube-proxy would choose (pkg/proxy/topology_test.go's cases)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from lab.model.service import Endpoint
from lab.proxy.endpoints import Selection, select
from tests.units import web


def endpoints(*words: str) -> tuple[Endpoint, ...]:
    """Return endpoints: of each its conditions (r ready, s serving, t terminating), its node, its @zones and #nodes."""
    return tuple(_endpoint(number, *word.split()) for number, word in enumerate(words, start=1))


def _endpoint(number: int, state: str, node: str, *hints: str) -> Endpoint:
    return Endpoint(
        address=ip_address(f"10.0.0.{number}"),
        port=80,
        node=node,
        ready="r" in state,
        serving="s" in state,
        terminating="t" in state,
        zone_hints=frozenset(hint[1:] for hint in hints if hint[0] == "@"),
        node_hints=frozenset(hint[1:] for hint in hints if hint[0] == "#"),
    )


def chosen(*words: str, policy: str = "", node_port: int = 0, zone: str = "zone-a") -> Selection:
    unit = web(
        node_port=node_port,
        internal_local="int" in policy,
        external_local="ext" in policy,
        endpoints=endpoints(*words),
    )
    return select(unit, "us", zone)


def last(chosen_endpoints: tuple[Endpoint, ...]) -> list[int]:
    return [one.address.packed[-1] for one in chosen_endpoints]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rs us", "rs them", "s us"], [1, 2]),  # all ready ones, and no other
        (["st us", "st them", "t us", "s us"], [1, 2]),  # none is ready: those that still serve while they terminate
        (["rs us", "st us"], [1]),
        (["s us", "t us"], []),
        (["rst us"], [1]),  # publishNotReadyAddresses
        ([], []),
    ],
)
def test_policy_cluster_takes_the_ready_else_the_draining(words: list[str], expected: list[int]) -> None:
    found = chosen(*words)
    assert last(found.cluster) == last(found.reachable) == expected
    assert found.local == ()
    assert found.has_endpoints is found.has_internal is found.has_external is bool(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rs us @zone-a", "rs them @zone-b"], [1]),
        (["rs us @zone-a", "rs them"], [1, 2]),  # one has no hint: none counts
        (["rs us @zone-b", "rs them @zone-c"], [1, 2]),  # none is for us: none counts
        (["rs us @zone-b @zone-a", "rs them @zone-b"], [1]),
        (["rs us @zone-a", "rs them @zone-b", "s them"], [1]),  # only ready ones are asked
        (["rs us #them", "rs them #us", "rs them #them"], [2]),  # nodes go first
        (["rs us #us @zone-b", "rs them #them @zone-a"], [1]),
        (["rs us #them @zone-b", "rs them #them @zone-a"], [2]),  # no node hint for us: zones
        (["rs us #us @zone-b", "rs them @zone-a"], [2]),  # not every one has a node hint: zones
        (["st us @zone-a", "st them @zone-b"], [1, 2]),  # draining: hints do not count
    ],
)
def test_hints_count_when_all_have_them_and_one_is_for_us(words: list[str], expected: list[int]) -> None:
    assert last(chosen(*words).cluster) == expected


def test_without_a_zone_zone_hints_do_not_count() -> None:
    assert last(chosen("rs us @zone-a", "rs them @zone-b", zone="").cluster) == [1, 2]


@pytest.mark.parametrize(
    ("words", "local", "has_endpoints"),
    [
        (["rs us", "rs them", "st us"], [1], True),
        (["s us", "st us", "rs them"], [2], True),  # ours is draining, theirs is ready: still ours
        (["rs them"], [], True),
        (["st them"], [], True),
        (["s us", "t them"], [], False),
    ],
)
def test_internal_policy_local_knows_only_this_node(words: list[str], local: list[int], has_endpoints: bool) -> None:
    found = chosen(*words, policy="int")
    assert last(found.local) == last(found.reachable) == local
    assert found.cluster == ()  # nothing leads elsewhere
    assert (found.has_endpoints, found.has_internal, found.has_external) == (has_endpoints, bool(local), has_endpoints)


def test_internal_policy_local_needs_every_endpoint_when_it_is_reached_from_outside() -> None:
    found = chosen("rs us", "rs them", policy="int", node_port=30080)
    assert (last(found.cluster), last(found.local), last(found.reachable)) == ([1, 2], [1], [1, 2])


def test_external_policy_local_keeps_the_cluster_for_pods() -> None:
    found = chosen("rs them", policy="ext", node_port=30080)
    assert (last(found.cluster), last(found.local)) == ([1], [])
    assert (found.has_endpoints, found.has_internal, found.has_external) == (True, True, False)


def test_external_policy_local_means_nothing_without_external_traffic() -> None:
    found = chosen("rs them", policy="ext")
    assert found.local == ()
    assert found.cluster


def test_a_draining_local_endpoint_is_reachable_beside_the_clusters() -> None:
    found = chosen("rs them", "st us", policy="ext", node_port=30080)
    assert (last(found.cluster), last(found.local), last(found.reachable)) == ([1], [2], [1, 2])


def test_hints_never_narrow_local_traffic() -> None:
    found = chosen("rs us @zone-b", "rs them @zone-a", policy="ext", node_port=30080)
    assert (last(found.cluster), last(found.local), last(found.reachable)) == ([2], [1], [1, 2])
