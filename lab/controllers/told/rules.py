"""What a node's rules say of Services: their names, addresses and ports, and who is behind them.

kube-proxy writes names into comments (iptables) and chains (nftables); what a chain leads to in the end is what DNAT
sends to. Source: pkg/proxy/iptables/proxier.go and pkg/proxy/nftables/proxier.go.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from lab.model.address import IPAddress
from lab.model.kubernetes import Protocol
from lab.model.netfilter import (
    Chain,
    Container,
    Decide,
    Dnat,
    Draw,
    Lookup,
    Match,
    Range,
    Rule,
    Statement,
    Table,
    Verdict,
)

Open = tuple[Protocol, int]
Way = Literal["cluster IP", "external IP", "loadbalancer IP", "node port"]

_PROTOCOLS: dict[str, Protocol] = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
_NAMED = re.compile(
    r"([a-z0-9][-a-z0-9.]*)/([a-z0-9][-a-z0-9]*)(?::([-a-z0-9]+))?"
    r"(?: (cluster IP|external IP|loadbalancer IP|has no endpoints|has no local endpoints))?"
)
_CHAIN = re.compile(r"(service|local|external|firewall)-[A-Z2-7]{8}-([^/]+)/([^/]+)/(tcp|udp|sctp)/([^/]*)")
_SERVICE_PORT = re.compile(r"([a-z0-9][-a-z0-9.]*)/([a-z0-9][-a-z0-9]*)(?::([-a-z0-9]+))?")
_WAYS: dict[str, Way] = {"external IP": "external IP", "loadbalancer IP": "loadbalancer IP"}
_TO_MARK = "KUBE-MARK-MASQ"
_SERVICES, _NODE_PORTS = "KUBE-SERVICES", "KUBE-NODEPORTS"
_HEALTH = " health check node port"
_LOCAL = ("KUBE-SVL-", "local-")
_SHORT_CUTS = ("pod traffic for ", "short-circuit pod traffic")


@dataclass(frozen=True, slots=True)
class Name:
    """A Service's port: kube-proxy's unit of work."""

    namespace: str
    service: str
    port: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Door:
    """Where a Service's port is asked for: an address (none: the node's own) and a port."""

    way: Way
    address: IPAddress | None
    port: int


@dataclass(slots=True)
class Targets:
    """Everything that rules tell: each Service port's doors, and where it leads; and all that anything leads to.

    `local`: the Services that serve what comes from outside by the node's own endpoints alone; `inside`: those that
    serve what asks for their ClusterIP so; `health`: the ports of their health checks. `clusters`: the ranges that are
    taken for pods'. `own`: the node's addresses, as far as they are named. `interfaces`: those asked for.
    """

    doors: dict[Name, dict[Door, None]] = field(default_factory=dict)
    behind: dict[Name, dict[tuple[IPAddress, int], None]] = field(default_factory=dict)
    open: dict[IPAddress, dict[Open, None]] = field(default_factory=dict)
    local: set[tuple[str, str]] = field(default_factory=set)
    inside: set[tuple[str, str]] = field(default_factory=set)
    health: dict[tuple[str, str], int] = field(default_factory=dict)
    clusters: tuple[IPv4Network | IPv6Network, ...] = ()
    own: dict[IPAddress, None] = field(default_factory=dict)
    interfaces: dict[str, None] = field(default_factory=dict)


def targets(tables: Iterable[Table]) -> Targets:
    """Return what the rules of `tables` tell; raises `TopologyError` for a line that is no rule."""
    found = Targets()
    ranges: Counter[IPv4Network | IPv6Network] = Counter()
    for table in tables:
        for chain in table.chains.values():
            for rule in chain.rules:
                _look(found, ranges, rule)
                _iptables(found, table, chain, rule)
        _nftables(found, table)
    widest = {net.version: net for net, _ in reversed(ranges.most_common())}
    found.clusters = tuple(widest[version] for version in sorted(widest))
    return found


def _look(found: Targets, ranges: Counter[IPv4Network | IPv6Network], rule: Rule) -> None:
    """Note what a rule alone shows: where it sends to, which range it sets apart from all others, which interface."""
    protocols = _protocols(rule)
    for one in rule.statements:
        if isinstance(one, Dnat):
            for address, port in one.choices.values():
                if port:
                    found.open.setdefault(address, {}).update(((protocol, port), None) for protocol in protocols)
        elif isinstance(one, Match) and one.field == "source" and one.negated:
            wide = [
                span for span in one.among if isinstance(span, (IPv4Network, IPv6Network)) and span.num_addresses > 1
            ]
            ranges.update(wide if len(one.among) == 1 and not any(span.is_loopback for span in wide) else ())
        elif isinstance(one, Match) and one.field in ("in-interface", "out-interface"):
            found.interfaces.update((span, None) for span in one.among if isinstance(span, str))


def _protocols(rule: Rule) -> tuple[Protocol, ...]:
    """Return the protocols that a rule is for; TCP and UDP if it does not say."""
    said = (one for one in rule.statements if isinstance(one, Match) and one.field == "protocol" and not one.negated)
    names = [_PROTOCOLS[span] for one in said for span in one.among if isinstance(span, str) and span in _PROTOCOLS]
    return tuple(names) or ("TCP", "UDP")


def _iptables(found: Targets, table: Table, chain: Chain, rule: Rule) -> None:
    """Note the door that one of kube-proxy's rules of iptables is."""
    named = _NAMED.fullmatch(rule.comment)
    if rule.comment.startswith(_SHORT_CUTS[0]):
        _note_local(found, rule.comment.removeprefix(_SHORT_CUTS[0]))
    if rule.comment.endswith(_HEALTH) and (asked := _SERVICE_PORT.match(rule.comment)):
        found.health[asked[1], asked[2]] = _destination(rule)[1]
    if not named or chain.name not in (_SERVICES, _NODE_PORTS):
        return
    address, port = _destination(rule)
    target = next((one.verdict.target for one in rule.statements if isinstance(one, Decide)), "")
    for protocol in _protocols(rule)[:1] if port else ():
        name = Name(named[1], named[2], named[3] or "", protocol)
        if chain.name == _NODE_PORTS and not named[4] and target:
            _door(found, name, Door("node port", None, port), table, target)
        elif chain.name == _SERVICES and address and target != _TO_MARK:
            _door(found, name, Door(_WAYS.get(named[4], "cluster IP"), address, port), table, target)


def _note_local(found: Targets, rest: str) -> None:
    named = _SERVICE_PORT.match(rest)
    if named:
        found.local.add((named[1], named[2]))


def _destination(rule: Rule) -> tuple[IPAddress | None, int]:
    """Return the one address and the one port that a rule is about; None and 0 where it is about several."""
    address: IPAddress | None = None
    port = 0
    for one in rule.statements:
        if not isinstance(one, Match) or one.negated or len(one.among) != 1:
            continue
        (span,) = one.among
        if one.field == "destination" and isinstance(span, (IPv4Network, IPv6Network)) and span.num_addresses == 1:
            address = span.network_address
        elif one.field == "destination port" and isinstance(span, Range) and span.first == span.last:
            port = span.first if isinstance(span.first, int) else 0
    return address, port


def _door(found: Targets, name: Name, door: Door, table: Table, target: str) -> None:
    found.doors.setdefault(name, {})[door] = None
    behind = found.behind.setdefault(name, {})
    seen: set[str] = set()
    behind.update((one, None) for one in _reached(table, target, seen))
    if any(chain.startswith(_LOCAL) for chain in seen):
        (found.inside if door.way == "cluster IP" else found.local).add((name.namespace, name.service))


def _nftables(found: Targets, table: Table) -> None:
    """Note the doors that the maps of kube-proxy's nftables are."""
    virtual = table.containers.get("cluster-ips", Container("")).exact
    for key, verdict in _elements(table, "service-ips"):
        named = _CHAIN.fullmatch(verdict.target)
        if named and len(key) == 3 and isinstance(key[0], (IPv4Address, IPv6Address)) and isinstance(key[2], int):  # noqa: PLR2004 - address, protocol, port
            way: Way = "cluster IP" if (key[0],) in virtual else "external IP"
            _door(found, _named(named), Door(way, key[0], key[2]), table, verdict.target)
            _nft_local(found, table, verdict.target, named)
    for key, verdict in _elements(table, "service-nodeports"):
        named = _CHAIN.fullmatch(verdict.target)
        if named and isinstance(key[-1], int):
            _door(found, _named(named), Door("node port", None, key[-1]), table, verdict.target)
    for key, verdict in _elements(table, "no-endpoint-services"):
        said = _SERVICE_PORT.fullmatch(verdict.comment)
        if said and isinstance(key[0], (IPv4Address, IPv6Address)) and isinstance(key[-1], int):
            name = Name(said[1], said[2], said[3] or "", _PROTOCOLS.get(str(key[1]), "TCP"))
            way = "cluster IP" if (key[0],) in virtual else "external IP"
            _door(found, name, Door(way, key[0], key[-1]), table, "")
    for own in table.containers.get("nodeport-ips", Container("")).exact:
        if isinstance(own[0], (IPv4Address, IPv6Address)) and not own[0].is_loopback:
            found.own[own[0]] = None


def _named(named: re.Match[str]) -> Name:
    return Name(named[2], named[3], named[5], _PROTOCOLS[named[4]])


def _nft_local(found: Targets, table: Table, chain: str, named: re.Match[str]) -> None:
    if chain in table.chains and any(rule.comment.startswith(_SHORT_CUTS) for rule in table.chains[chain].rules):
        found.local.add((named[2], named[3]))


def _elements(table: Table, name: str) -> Iterator[tuple[tuple[object, ...], Verdict]]:
    held = table.containers.get(name, Container(""))
    return ((key, verdict) for key, verdict in held.exact.items() if verdict is not None)


def _reached(table: Table, chain: str, seen: set[str]) -> Iterator[tuple[IPAddress, int]]:
    """Yield all that a chain's rules send to, by way of others too."""
    if chain in seen or chain not in table.chains:
        return
    seen.add(chain)
    for rule in table.chains[chain].rules:
        for one in rule.statements:
            if isinstance(one, Dnat):
                yield from one.choices.values()
            for target in _led_to(one):
                yield from _reached(table, target, seen)


def _led_to(one: Statement) -> Iterator[str]:
    """Yield the chains that a statement may lead to."""
    if isinstance(one, Decide):
        yield one.verdict.target
    elif isinstance(one, Draw):
        yield from (verdict.target for verdict in one.choices.values())
    elif isinstance(one, Lookup) and one.verdict and isinstance(one.container, Container):
        wide = [verdict for _, verdict in one.container.wide]
        yield from (verdict.target for verdict in (*one.container.exact.values(), *wide) if verdict)
