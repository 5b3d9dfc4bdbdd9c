"""A trace does not change what it watches: which endpoint is chosen, and what conntrack holds, by each tool."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from lab import shares
from lab.ask import traffic
from lab.kernel import conntrack, netns
from lab.kernel import trace as recorder
from lab.model.request import Reply, Request, Transport
from lab.model.trace import OWN_TABLE, Job
from lab.packets import trace, tracing
from lab.standing import observe, session
from tests import commandline

TOOLS = {
    "iptables-nft": ("--mode", "iptables", "--iptables", "nft"),
    "iptables-legacy": ("--mode", "iptables", "--iptables", "legacy"),
    "nft": ("--mode", "nftables"),
}
PODS = ("web-1", "web-2")
MANY = 1000  # requests; a fair choice of two gives each 408 to 592 of them, or luck is rarer than shares.FALSE_ALARM
PLACES = ("node-1", "node-2", "client-a", *PODS, "router", "client")
WELL_KNOWN = (53, 80, 5353, 8080)
LOCAL_PORTS = count(20_001)  # none twice: a flow would meet an older one's entry
TIME_WAIT = 7  # enum tcp_conntrack (linux/netfilter/nf_conntrack_tcp.h)
DEADLINE_S = 20
Shape = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=TOOLS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[session.Standing]:
    """Give a lab of the topology `clusterip` with the rules of each tool."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        patch.delenv("HAIRPIN_LAB", raising=False)
        built = commandline.run("lab.up", "clusterip", *TOOLS[request.param])
        assert built.returncode == 0, built.stderr
        yield session.attach()
        commandline.run("lab.down", "--all")


def asked(lab: session.Standing, source: str, to: str, protocol: Transport) -> Request:
    return observe.request(lab.cluster, source, to, port=None, protocol=protocol)[0]


# --- conntrack -------------------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[str, str, Transport]] = {
    "forwarded": ("client-a", "svc/web", "tcp"),
    "masqueraded": ("node-1", "svc/web", "tcp"),
    "datagram": ("client-a", "svc/echo", "udp"),
    "untranslated": ("client-a", "pod/web-2", "tcp"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_conntrack_holds_the_same_entries_with_a_trace_as_without(lab: session.Standing, kind: str) -> None:
    request = asked(lab, *KINDS[kind])
    plain = grown(lab, request, lambda one: lab.call(partial(traffic.requests, [one]))[0])
    assert grown(lab, request, lambda one: trace.of(lab, one).reply) == plain
    entries = [one for held in plain.values() for one in held]
    assert {netns for netns, held in plain.items() if held} == {"node-1", "node-2"}
    assert {(one["mark"], one["zone"]) for one in entries} == {(0, 0)}, entries
    nat = {"forwarded": 1, "masqueraded": 1, "datagram": 1, "untranslated": 0}[kind]
    assert sum(one["original"][:2] != one["reply"][1::-1] for one in entries) == nat


def grown(lab: session.Standing, request: Request, ask: Callable[[Request], Reply]) -> Shape:
    """Return the entries that a request adds, by namespace, without what no two of them share: see `shape`.

    It is repeated until web-2 is who answers (of 40: luck fails once in 10^12).
    """
    for _ in range(40):
        before = lab.call(entries)
        if ask(replace(request, local_port=next(LOCAL_PORTS))).pod == "web-2":
            return settled(lab, before)
    raise AssertionError("web-2 never answered")


def settled(lab: session.Standing, before: dict[str, list[conntrack.Entry]]) -> Shape:
    """Return what is new once both sides have closed."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        after = lab.call(entries)
        new = {name: [one for one in after[name] if one["id"] not in ids(before[name])] for name in PLACES}
        if all(one["tcp_state"] in (-1, TIME_WAIT) for held in new.values() for one in held):
            return {name: sorted(map(shape, held), key=str) for name, held in new.items()}
        assert time.monotonic() < deadline, new


def entries() -> dict[str, list[conntrack.Entry]]:
    found = {}
    for name in PLACES:
        with netns.inside(name):
            found[name] = conntrack.dump()
    return found


def ids(held: list[conntrack.Entry]) -> set[int]:
    return {one["id"] for one in held}


def shape(one: conntrack.Entry) -> dict[str, Any]:
    """Return an entry with 0 for its id and for ports that are chosen anew each time; its time-out in half minutes."""
    ways = {"original": steady(one["original"]), "reply": steady(one["reply"])}
    return {**one, **ways, "id": 0, "timeout_s": (one["timeout_s"] + 15) // 30}


def steady(way: tuple[str, str, int, int]) -> tuple[str, str, int, int]:
    source, destination, *ports = way
    sport, dport = (port if port in WELL_KNOWN else 0 for port in ports)
    return source, destination, sport, dport


# --- shares ----------------------------------------------------------------------------------------------------------


def traced(job: Job) -> tuple[list[Reply], int]:
    """Inside the capsule: make many requests while their packets are traced; return how much was told of them, too."""
    watches = tracing.Before(job).rules.watches
    with recorder.recording(tuple(job.places), watches, f"{OWN_TABLE}-x") as recording:
        replies = traffic.requests([job.request] * MANY)
        recording.stop()
        found = recording.result()
    return replies, len(found.datagrams) + sum(found.lost.values()) + found.left_out


def test_the_choice_of_endpoints_is_as_fair_with_a_trace_as_without(lab: session.Standing) -> None:
    request = asked(lab, "client-a", "svc/web", "tcp")
    low, high = shares.bounds(len(PODS), MANY)
    replies, told = lab.call(partial(traced, trace.job(lab.cluster, request)))
    assert told > MANY  # events: each request had some
    for choices in (replies, lab.call(partial(traffic.requests, [request] * MANY))):
        found = Counter(reply.pod for reply in choices)
        assert set(found) == set(PODS)
        assert low <= found["web-1"] <= high
