"""The kernel holds our nftables table as a real kube-proxy's, and every combination of features as we wrote it.

A listing is compared as JSON, every object of it; what an object's handle is, and the order of elements, mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest

from lab.errors import KernelError
from lab.kernel import command, rules
from lab.model.address import FAMILIES, Family
from lab.model.nft_ruleset import TABLE_FAMILY, NftRuleset
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy.config import Detector, ProxyConfig
from lab.proxy.nftables import render
from tests.test_proxy_nftables_oracle import ruleset
from tests.test_proxy_oracle import CASES

Inside = Callable[..., Any]
Listing = list[dict[str, dict[str, Any]]]


def load(*rulesets: NftRuleset) -> Listing:
    rules.restore([rules.Load(netns="", tool="nft", family=one.family, text=one.restore_text()) for one in rulesets])
    listing: Listing = json.loads(command.check(("nft", "-j", "list", "ruleset"), netns="", timeout_s=30))["nftables"]
    return listing


def view(listing: Listing) -> list[str]:
    """Return all objects without their handles: sets and chains sorted, the rules of each chain in their order."""
    named: list[str] = []
    rows: dict[tuple[str, str], list[str]] = {}
    for entry in listing:
        ((kind, body),) = entry.items()
        if kind == "metainfo":
            continue
        kept = {key: value for key, value in body.items() if key not in ("handle", "index")}
        if "elem" in kept:
            kept["elem"] = sorted(kept["elem"], key=lambda element: json.dumps(element, sort_keys=True))
        text = f"{kind} {json.dumps(kept, sort_keys=True)}"
        if kind == "rule":
            rows.setdefault((body["family"], body["chain"]), []).append(text)
        else:
            named.append(text)
    return sorted(named) + [row for place in sorted(rows) for row in rows[place]]


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_kernel_holds_what_it_held_after_kube_proxy(inside: Inside, case: Path) -> None:
    held = inside(load, *[ruleset(case, family) for family in FAMILIES])
    golden = json.loads((case / "nft.json").read_text(encoding="utf-8"))
    assert view(held) == view(golden)


PREFIXES: dict[Family, tuple[str, str, str]] = {
    "ipv4": ("10.96.", "10.244.", "203.0."),
    "ipv6": ("fd00:96::", "fd00:244:1111:2222:3333:4444:", "2001:db8::"),
}


def address(prefix: str, number: int) -> Any:
    return ip_address(f"{prefix}{number >> 8}{':' if ':' in prefix else '.'}{number & 255}")


def combinations(family: Family) -> Iterator[ServiceUnit]:
    """Yield a service port for each combination of features, in turns of every protocol."""
    services, pods, outside = PREFIXES[family]
    here, there = (Endpoint(address=address(pods, n), port=8080, node=f"node-{n}") for n in (1, 2))
    gone, left = (replace(one, ready=False, terminating=True) for one in (here, there))
    many = tuple(replace(here, address=address(pods, n), node=f"node-{n % 2}") for n in range(256, 296))
    chosen = [
        (),
        (here,),
        (there,),
        (here, there),
        (gone, there),
        (left,),
        many,
    ]
    longest = "x" * 63
    width = 24 if family == "ipv4" else 120
    numbers = count(1)
    for external, internal, affinity, ranges, ways in product(
        (False, True), (False, True), (0, 90), (False, True), range(4)
    ):
        for endpoints in chosen:
            number = next(numbers)
            nets = (ip_network(f"{address(services, 0)}/{width}"), ip_network(f"{address(outside, 9)}/{width + 8}"))
            yield ServiceUnit(
                namespace=longest if number % 5 == 0 else "default",
                name=longest if number % 5 == 0 else f"web-{number}",
                port_name=("", "http", f"p{number}-{longest}"[:63])[number % 3]
                if number % 5
                else f"p{number}-{longest}"[:63],
                protocol=("TCP", "UDP", "SCTP")[number % 3],
                cluster_ip=address(services, number),
                port=80,
                node_port=30000 + number if ways & 1 else 0,
                external_ips=(address(outside, number),) if ways & 2 else (),
                load_balancer_ips=tuple(address(outside, 4096 + number * 2 + n) for n in range(ways)),
                source_ranges=nets if ranges else (),
                external_local=external,
                internal_local=internal,
                affinity_seconds=affinity,
                endpoints=endpoints,
            )


def verdicts(ours: NftRuleset) -> dict[str, set[tuple[str, str, str]]]:
    return {
        one.name: {(element.key, element.verdict, element.comment) for element in one.elements} for one in ours.sets
    }


def element_of(entry: Any) -> tuple[str, str, str]:
    """Return an element of nft's JSON as key, verdict and comment."""
    key, verdict = entry if isinstance(entry, list) else (entry, None)
    comment = ""
    if isinstance(key, dict) and "elem" in key:
        comment, key = key["elem"].get("comment", ""), key["elem"]["val"]
    text = " . ".join(map(str, key["concat"])) if isinstance(key, dict) else str(key)
    if verdict is None:
        return text, "", comment
    ((word, target),) = verdict.items()
    return text, f"goto {target['target']}" if word == "goto" else word, comment


def agree(ours: NftRuleset, held: Listing) -> None:
    """Compare every set, element, chain, hook, number of rules and comment."""
    mine = [entry for entry in held if next(iter(entry.values())).get("family") == TABLE_FAMILY[ours.family]]
    sets = {body["name"]: body for entry in mine for kind, body in entry.items() if kind in ("set", "map")}
    assert {name: set(map(element_of, body.get("elem", ()))) for name, body in sets.items()} == verdicts(ours)
    assert {name: body.get("timeout", 0) for name, body in sets.items()} == {x.name: x.timeout_s for x in ours.sets}
    chains = {entry["chain"]["name"]: entry["chain"] for entry in mine if "chain" in entry}
    assert {
        name: (body["type"], body["hook"], body["prio"], body["policy"])
        for name, body in chains.items()
        if "type" in body
    } == {x.name: (x.hook.type, x.hook.hook, x.hook.priority, "accept") for x in ours.chains if x.hook}
    rows: dict[str, list[str]] = {name: [] for name in chains}
    for entry in mine:
        if "rule" in entry:
            rows[entry["rule"]["chain"]].append(entry["rule"].get("comment", ""))
    comments = {x.name: [f"{rule} comment ".split(" comment ")[1].strip('"') for rule in x.rules] for x in ours.chains}
    assert rows == comments


CONFIG = ProxyConfig(node="node-1", family="ipv4", address=ip_address("10.96.0.77"))
CONFIGS = {
    "interface": replace(CONFIG, detector=Detector(interface="cbr0")),
    "prefix": replace(CONFIG, detector=Detector(interface="veth", prefix=True), masquerade_mark=1 << 31),
    "none": replace(CONFIG, masquerade_mark=1),
    "all": replace(CONFIG, masquerade_all=True),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_kernel_holds_every_combination_as_printed(inside: Inside, config: ProxyConfig) -> None:
    ranges = tuple(map(ip_network, ("10.96.0.0/16", "10.96.4.0/24", "10.97.0.0/16", "fd00:96::/112", "fd00:96::/108")))
    both = []
    for family in FAMILIES:
        services = PREFIXES[family][0]
        own = replace(config, family=family, address=address(services, 77))
        both.append(render(combinations(family), own, service_cidrs=ranges))
    held = inside(load, *both)
    for ours in both:
        agree(ours, held)


RANGES = {  # as they stand in a Service -> as the kernel holds them
    ("198.51.100.0/24", "198.51.100.0/24"): ["198.51.100.0/24"],
    ("192.0.2.6/32", "192.0.2.7/32"): ["192.0.2.6/31"],
    ("10.0.0.0/8", "10.244.0.0/16", "10.96.0.77/32"): ["10.0.0.0/8", "203.0.16.1"],  # the node's among them
    ("10.96.0.0/16", "203.0.16.0/24"): ["10.96.0.0/16", "203.0.16.0/24"],
    ("0.0.0.0/1", "128.0.0.0/1"): ["0.0.0.0/0"],
}


def test_the_kernel_merges_ranges_that_meet(inside: Inside) -> None:
    base = replace(next(combinations("ipv4")), load_balancer_ips=(ip_address("203.0.16.1"),) * 2)
    units = [
        replace(base, name=f"web-{number}", source_ranges=tuple(map(ip_network, written)))
        for number, written in enumerate(RANGES)
    ]
    listing = inside(load, render(units, CONFIG))
    held = []
    for rule in (entry["rule"] for entry in listing if "rule" in entry and "/" in entry["rule"]["chain"]):
        match = rule["expr"][0]["match"]
        assert match["op"] == "!="
        members = match["right"]["set"] if "set" in match["right"] else [match["right"]]
        held.append(["{addr}/{len}".format(**one["prefix"]) if "prefix" in one else one for one in members])
    assert held == list(RANGES.values())


def test_the_kernel_takes_what_is_as_long_as_it_may_be(inside: Inside) -> None:
    """Names of 63 letters, a prefix of interfaces of 14, an affinity of a day, and a Service of 1500 endpoints."""
    unit = next(one for one in combinations("ipv6") if one.affinity_seconds and one.name == "x" * 63)
    many = tuple(
        Endpoint(address=address("fd00:244:1111:2222:3333:4444:", number), port=65535, node=f"node-{number % 9}")
        for number in range(1500)
    )
    units = (
        replace(unit, affinity_seconds=86_400, endpoints=many[:10]),
        replace(unit, name="y" * 63, cluster_ip=address("fd00:96::", 9999), node_port=0, endpoints=()),
        replace(unit, name="many", cluster_ip=address("fd00:96::", 9998), affinity_seconds=0, endpoints=many),
    )
    config = replace(CONFIG, family="ipv6", detector=Detector(interface="v" * 14, prefix=True))
    ours = render(units, config)
    agree(ours, inside(load, ours))


def test_limited_node_ports_are_looked_up_on_addresses_of_both_families(inside: Inside) -> None:
    both = []
    for family, wide in zip(FAMILIES, ("10.0.0.0/8", "fd00::/8"), strict=True):
        own = tuple(address(PREFIXES[family][0], n) for n in (7, 8))
        limited = replace(CONFIG, node_port_networks=(ip_network(wide),), node_port_addresses=own)
        both.append(render((), replace(limited, family=family)))
    held = inside(load, *both)
    for ours in both:
        agree(ours, held)
        assert len(verdicts(ours)["nodeport-ips"]) == 2


def test_a_table_larger_than_one_transaction_may_be_is_loaded_whole(inside: Inside) -> None:
    """Root's transactions have no limit: there it is the length that cuts it."""
    (unit, *_) = (one for one in combinations("ipv4") if len(one.endpoints) == 2 and not one.affinity_seconds)
    units = [replace(unit, name=f"web-{n}", cluster_ip=address("10.96.", n)) for n in range(2400)]
    ours = render(units, CONFIG)
    assert len(ours.restore_text()) > rules._NFT_LETTERS
    agree(ours, inside(load, ours))


def test_what_nft_refuses_is_told(inside: Inside) -> None:
    bad = rules.Load(
        netns="", tool="nft", family="ipv4", text="table ip kube-proxy {\n\tchain a {\n\t\tgoto b\n\t}\n}\n"
    )
    with pytest.raises(KernelError, match=r"nft -f -: exit 1: (.|\n)*goto b"):
        inside(rules.restore, [bad])


def test_a_table_is_read_back_as_json(inside: Inside) -> None:
    ours = render((), replace(CONFIG, family="ipv6"))
    inside(load, ours)
    agree(ours, json.loads(inside(rules.save, "", "nft", "ipv6"))["nftables"])
