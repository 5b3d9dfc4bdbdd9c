"""A node between two namespaces: new connections through it, what becomes of them, and what the walk says."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args

import msgspec

from lab.kernel import rules
from lab.model.address import Family, IPAddress, family_of
from lab.model.lab import Mode, Release
from lab.model.service import ServiceUnit
from lab.model.walk import Explanation, Packet, Protocol, Vantage, Way
from lab.parse import saved_rules
from lab.parse.cluster_files import ClusterFiles, load
from lab.proxy.explain import vantage_of
from lab.proxy.node import render
from lab.proxy.services import units
from lab.proxy.walk import explain
from tests.kernel.between import PROTOCOLS, Fate, Try, observe

Inside = Callable[..., Any]
CASES = Path(__file__).parents[1] / "golden" / "kube-proxy"
TOOLS: dict[rules.Tool, Mode] = {"iptables-nft": "iptables", "iptables-legacy": "iptables", "nft": "nftables"}
MISS = 1e-7  # how likely it may be that an endpoint is not seen by chance: a few hundred are looked for


@dataclass(frozen=True, slots=True)
class Case:
    """The rules of a node in one family, and what the walk says of each packet."""

    text: str
    counters: tuple[str, ...]
    found: tuple[Explanation, ...]


def senders(objects: ClusterFiles, vantage: Vantage, family: Family) -> Iterator[IPAddress]:
    """Yield a pod of this node that is an endpoint and one that is none, outsiders, and the node itself."""
    own = next(network for network in vantage.pods if family_of(network) == family)
    yield own.network_address + 2
    yield own.network_address + 99
    outsiders = {"ipv4": ("198.51.100.7", "192.0.2.7", "8.8.8.8"), "ipv6": ("2001:db8:1::7",)}
    yield from map(ip_address, outsiders[family])
    other = {"ipv4": "10.244.2.77", "ipv6": "fd00:10:244:2::77"}
    yield ip_address(other[family])  # another node's pod
    yield next(address for address in node_ips(objects, family))


def node_ips(objects: ClusterFiles, family: Family) -> Iterator[IPAddress]:
    for entry in objects.nodes[0].status.addresses:
        if entry.type == "InternalIP" and family_of(ip_address(entry.address)) == family:
            yield ip_address(entry.address)


def frontends(objects: ClusterFiles, family: Family) -> Iterator[tuple[IPAddress, int, Protocol]]:
    """Yield every address and port that a Service has, ports beside them, and an address that no Service has."""
    (node,) = node_ips(objects, family)
    for unit in units(objects.services, objects.slices, family):
        protocol = protocol_of(unit)
        for address in (unit.cluster_ip, *unit.external_ips, *unit.load_balancer_ips):
            yield address, unit.port, protocol
        yield unit.cluster_ip, 81, protocol
        if protocol in PROTOCOLS:
            yield unit.cluster_ip, unit.port, "udp" if protocol == "tcp" else "tcp"
        if unit.node_port:
            yield node, unit.node_port, protocol
        if unit.health_check_node_port:
            yield node, unit.health_check_node_port, "tcp"
        for endpoint in unit.endpoints[:1]:
            yield endpoint.address, endpoint.port, protocol
    yield ip_address("10.96.200.200" if family == "ipv4" else "fd00:10:96::ffff"), 80, "tcp"
    yield node, 9, "tcp"


def protocol_of(unit: ServiceUnit) -> Protocol:
    return next(one for one in get_args(Protocol) if one.upper() == unit.protocol)


def packets(objects: ClusterFiles, vantage: Vantage, family: Family) -> Iterator[Packet]:
    targets = sorted(set(frontends(objects, family)), key=str)
    for source in senders(objects, vantage, family):
        for destination, port, protocol in targets:
            if vantage.is_pod(source) and vantage.is_pod(destination):
                continue  # they share a namespace here
            if source != destination:
                yield Packet(source=source, destination=destination, destination_port=port, protocol=protocol)
    if family == "ipv4":  # localhost NodePorts
        local = ip_address("127.0.0.1")
        for unit in units(objects.services, objects.slices, family):
            if unit.node_port:
                protocol = protocol_of(unit)
                yield Packet(source=local, destination=local, destination_port=unit.node_port, protocol=protocol)


def case_of(
    folder: Path,
    family: Family,
    mode: Mode,
    *,
    counters: bool,
    release: Release = "1.36",
    **fields: Any,
) -> Case:
    """Return a golden case; `fields` of its configuration may differ."""
    objects = load([str(folder / "objects.yaml"), str(folder / "proxy.yaml")])
    settings = msgspec.structs.replace(objects.settings[0], **fields)
    rendered = render(
        objects.services,
        objects.slices,
        objects.nodes,
        settings,
        family,
        mode=mode,
        release=release,
        service_cidrs=objects.service_cidrs,
        counters=counters,
    )
    vantage = replace(vantage_of(objects, settings, "node-1"), pod_is_bridged=False)  # cbr0 is a veth here
    text = rendered.restore_text()
    tables, _ = saved_rules.read(text, "rules")
    found = tuple(explain(tables, one, vantage) for one in packets(objects, vantage, family))
    return Case(text, getattr(rendered, "counters", ()), found)


def predicted(way: Way) -> Fate:
    fate = way.fate
    if fate.kind != "accept":
        return fate.kind, "", 0, False
    return "accept", str(fate.destination), fate.port, bool(fate.masquerade)


def shares(found: Explanation) -> dict[Fate, float]:
    """Return each fate with its probability."""
    total: defaultdict[Fate, float] = defaultdict(float)
    for way in found.ways:
        total[predicted(way)] += float(way.share)
    return dict(total)


def try_of(found: Explanation, origin: str) -> Try:
    """Return as many connections as it takes to see every fate; each remembers its sender, so senders differ."""
    packet = found.packet
    least = min(shares(found).values())
    times = 1 if least > 0.999 else math.ceil(math.log(MISS) / math.log(1 - least))
    sources = [packet.source] * times
    if times > 1 and any("assumed to be empty" in note for note in found.notes):
        special = origin == "node" or any(str(packet.source) == fate[1] for fate in shares(found))
        sources = [packet.source + number for number in range(1 if special else times)]
    return Try(origin, tuple(map(str, sources)), str(packet.destination), packet.destination_port, packet.protocol)


def _visible(fate: Fate, wanted: dict[Fate, float], times: int) -> Fate:
    """Return a fate as it was: the node is masqueraded as itself, and once in 64,000 times by the same port."""
    masqueraded = (*fate[:3], True)
    return masqueraded if times == 1 and fate not in wanted and masqueraded in wanted else fate


def origin_of(packet: Packet, vantage: Vantage) -> str:
    if vantage.is_local(packet.source):
        return "node"
    return "pods" if vantage.is_pod(packet.source) else "outside"


def compare(inside: Inside, made: Case, family: Family, tool: rules.Tool) -> None:
    tries = [try_of(one, origin_of(one.packet, one.vantage)) for one in made.found]
    expected = [one.ways[0].fate.kind for one in made.found]
    seen = inside(observe, family, tool, made.text, made.counters, tries, expected)
    wrong = []
    for one, asked, fates in zip(made.found, tries, seen, strict=True):
        wanted = shares(one)
        observed = Counter(fates)
        if asked.netns == "node":
            observed = Counter(_visible(fate, wanted, observed[fate]) for fate in fates)
        if not observed.keys() <= wanted.keys() or (len(fates) > 1 and observed.keys() != wanted.keys()):
            wrong.append(f"{asked.sources[0]} -> {asked.destination}:{asked.port}: walk {wanted}, kernel {observed}")
    assert not wrong, "\n".join(wrong)
    assert len(tries) > 10
