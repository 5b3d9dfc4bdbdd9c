"""Flows in conntrack when rules are synced."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as with_

from lab.kernel import command, conntrack, netns
from lab.model.cluster import Cluster
from lab.standing import sync
from tests.changing import NODES
from tests.kernel.synced import MODES, Inside, plain, stand
from tests.transactions import endpoints


def flow(
    protocol: str, sport: int, to: str, dport: int, answer: str, answer_port: int, client: str = "10.244.1.9"
) -> None:
    """Put a flow into node-1's conntrack, as if a packet had been translated."""
    words = ("--state", "ESTABLISHED") if protocol == "tcp" else ()
    command.check(
        (
            *("conntrack", "-I", "-p", protocol, "--timeout", "600", *words, "-s", client, "-d", to),
            *("--sport", str(sport), "--dport", str(dport), "--reply-src", answer, "--reply-dst", client),
            *("--reply-port-src", str(answer_port), "--reply-port-dst", str(sport)),
        ),
        netns=NODES[0],
    )


def flows_over_a_change(old: Cluster, new: Cluster) -> tuple[int, set[int]]:
    stand(old)
    flow("udp", 1001, "10.96.0.11", 53, "10.244.1.2", 8053)  # its endpoint goes
    flow("udp", 1002, "10.96.0.11", 53, "10.244.2.3", 8053)  # its endpoint stays
    flow("udp", 1003, "10.96.0.99", 53, "10.244.1.2", 8053)  # is not of the Service
    flow("tcp", 1004, "10.96.0.11", 53, "10.244.1.2", 8053)
    flow("udp", 1005, "192.168.0.10", 30053, "10.244.1.2", 8053)  # by the node port
    done = sync.partial(old, new)
    with netns.inside(NODES[0]):
        return done.flows, {entry["original"][2] for entry in conntrack.dump()}


def with_udp(name: str) -> Cluster:
    cluster = plain(name, "echo")
    (echo,) = cluster.services
    port = with_(echo.spec.ports[0], name="dns", port=53, protocol="UDP", node_port=30053)
    return replace(cluster, services=(with_(echo, spec=with_(echo.spec, type="NodePort", ports=(port,))),))


@pytest.mark.parametrize("name", MODES)
def test_udp_flows_of_gone_endpoints_go_and_all_others_stay(inside: Inside, name: str) -> None:
    old = with_udp(name)
    new = replace(old, slices=endpoints("echo", 3))
    assert inside(flows_over_a_change, old, new) == (2, {1002, 1003, 1004})


@pytest.mark.parametrize("name", MODES)
def test_flows_stay_when_no_endpoint_is_left_or_a_service_goes(inside: Inside, name: str) -> None:
    old = with_udp(name)
    assert inside(flows_over_a_change, old, replace(old, slices=endpoints("echo")))[0] == 0


def flows_over_a_full_sync(cluster: Cluster) -> tuple[int, set[int]]:
    stand(cluster)
    flow("udp", 1001, "10.96.0.11", 53, "10.244.1.2", 8053)
    flow("udp", 1002, "10.96.0.11", 53, "10.244.2.3", 8053)
    flow("tcp", 1003, "10.96.0.11", 53, "10.244.1.2", 8053)
    done = sync.full(cluster)
    with netns.inside(NODES[0]):
        return done.flows, {entry["original"][2] for entry in conntrack.dump()}


def test_a_full_sync_deletes_udp_flows_that_outlived_their_endpoint(inside: Inside) -> None:
    cluster = replace(with_udp("nftables"), slices=endpoints("echo", 3))
    assert inside(flows_over_a_full_sync, cluster) == (1, {1002, 1003})


def delete_twice(to: str, answer: str, client: str) -> tuple[int, int, int]:
    netns.create(NODES[0])
    flow("udp", 1001, to, 53, answer, 8053, client)
    (entry,) = conntrack.dump()
    key = conntrack.Key(protocol=17, original=entry["original"], zone=0, id=entry["id"])
    other = conntrack.Key(protocol=17, original=entry["original"], zone=0, id=entry["id"] ^ 1)
    return conntrack.delete([other]), conntrack.delete([key]), conntrack.delete([key])


@pytest.mark.parametrize(
    "addresses",
    [("10.96.0.11", "10.244.1.2", "10.244.1.9"), ("fd00:96::b", "fd00:244:0:1::2", "fd00:244:0:1::9")],
    ids=["ipv4", "ipv6"],
)
def test_a_flow_is_deleted_once_and_never_by_anothers_id(inside: Inside, addresses: tuple[str, str, str]) -> None:
    assert inside(delete_twice, *addresses) == (0, 1, 0)
