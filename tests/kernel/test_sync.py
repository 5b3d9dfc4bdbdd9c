"""The kernel follows: after any change it holds what a fresh load of the new objects' rules would make it hold."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as with_

from lab import sync
from lab.kernel import command, conntrack, netns, rules
from lab.model.address import FAMILIES
from lab.model.cluster import Cluster
from lab.model.lab import Mode, Variant
from lab.model.labels import SERVICE_NAME
from lab.proxy.node import node_rules
from lab.proxy.partial import interfaces
from tests.changing import NODES, changed, empty, generator
from tests.test_sync import endpoints, with_services

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


@pytest.fixture(params=WALKS)
def start(request: pytest.FixtureRequest) -> Cluster:
    """Give an empty cluster of each mode and release."""
    return WALKS[request.param]


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


def view(text: str) -> Any:  # noqa: ANN401 - one shape for each mode
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


# --- counters --------------------------------------------------------------------------------------------------------


def plain(name: str, *services: str) -> Cluster:
    mode, variant = MODES[name]
    cluster = with_services(*services, mode=mode)
    return replace(cluster, lab=empty(mode, variant).lab)


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


# --- what is not ours, and what was edited ---------------------------------------------------------------------------


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


# --- conntrack -------------------------------------------------------------------------------------------------------


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
