"""What the transactions of a sync make of a ruleset, by interpreters of iptables-restore's and of nft's words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace as with_

from lab.model.address import FAMILIES, Family
from lab.model.cluster import Cluster
from lab.model.kubernetes import EndpointSlice, ObjectMeta, Service, ServiceSpec, SliceEndpoint
from lab.model.lab import Mode
from lab.model.nft_ruleset import NftRuleset
from lab.model.ruleset import BUILT_IN, Place, Ruleset, TableName
from lab.proxy import partial
from lab.proxy.node import node_rules
from lab.proxy.sync_iptables import SHARED
from tests.changing import NAMES, PORTS, empty, generator, slices

Chains = dict[Place, list[str]]
NODE = "node-1"


def iptables_rules(ruleset: Ruleset) -> Chains:
    return {place: list(chain.rules) for place, chain in ruleset.chains()}


def restore(chains: Chains, text: str) -> Chains:
    """Do what iptables-restore --noflush would: all of it, or an assertion fails."""
    made = {place: list(rules) for place, rules in chains.items()}
    table: Any = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            made[table, line[1:].split()[0]] = []
        elif line != "COMMIT":
            _do(made, table, *line.split(" ", 2))
    jumps = {(table, found[1]) for (table, _), rules in made.items() for one in rules if (found := _jump(one))}
    assert {place for place in jumps if place[1].startswith("KUBE-")} <= set(made)
    return made


def _jump(rule: str) -> re.Match[str] | None:
    return re.search(r"-j (KUBE-\S+)", rule)


def _do(made: Chains, table: TableName, verb: str, chain: str, rule: str = "") -> None:
    rules = made[table, chain]
    match verb:
        case "-A":
            rules.append(rule)
        case "-I":
            number, rule = rule.split(" ", 1)
            assert 0 < int(number) <= len(rules) + 1
            rules.insert(int(number) - 1, rule)
        case "-D" if rule.isdecimal():
            del rules[int(rule) - 1]
        case "-D":
            rules.remove(rule)
        case "-X":
            assert rules == []
            assert not any(f"-j {chain}" in f"{one} " for rules in made.values() for one in rules if table)
            del made[table, chain]
        case _:
            pytest.fail(verb)


def comparable(chains: Chains) -> dict[Place, object]:
    """Return chains so that those are equal that treat every packet alike."""
    return {place: Counter(rules) if place in SHARED else tuple(rules) for place, rules in chains.items()}


def last_is_last(chains: Chains) -> bool:
    rules = [rule.endswith("-j KUBE-NODEPORTS") for rule in chains["nat", "KUBE-SERVICES"]]
    return rules == sorted(rules)


def rules_of(cluster: Cluster, family: Family, node: str = NODE) -> Ruleset | NftRuleset:
    own = node_rules(cluster, node, interfaces=partial.interfaces(cluster, node))
    return own[FAMILIES.index(family)]


def iptables_of(cluster: Cluster, family: Family, node: str = NODE) -> Ruleset:
    found = rules_of(cluster, family, node)
    assert isinstance(found, Ruleset)
    return found


def nft_of(cluster: Cluster, family: Family, node: str = NODE) -> NftRuleset:
    found = rules_of(cluster, family, node)
    assert isinstance(found, NftRuleset)
    return found


Nft = dict[str, tuple[str, object]]


def nft_state(ruleset: NftRuleset) -> tuple[Nft, dict[str, list[str]], dict[str, dict[str, str]]]:
    """Return sets' and chains' shapes, rules by chain, elements by set."""
    shapes: Nft = {one.name: ("set", (one.kind, one.type, one.timeout_s)) for one in ruleset.sets}
    shapes |= {chain.name: ("chain", chain.hook) for chain in ruleset.chains}
    rules = {chain.name: list(chain.rules) for chain in ruleset.chains}
    elements = {one.name: {element.key: str(element) for element in one.elements} for one in ruleset.sets}
    return shapes, rules, elements


class Table:
    """A table on which commands are done as nft would; a reference to what is not there fails."""

    def __init__(self, ruleset: NftRuleset) -> None:
        self.shapes, self.rules, self.elements = nft_state(ruleset)

    def run(self, text: str) -> None:
        for line in text.splitlines():
            verb, thing, family, table, name, *rest = line.split(" ", 5)
            assert (family, table) in {("ip", "kube-proxy"), ("ip6", "kube-proxy")}
            getattr(self, f"{verb}_{thing}")(name, *rest)
            for rules in self.rules.values():
                for rule in rules:
                    self.check(rule)
            for elements in self.elements.values():
                for element in elements.values():
                    self.check(element)

    def check(self, words: str) -> None:
        for target in re.findall(r"(?:goto|jump) ([^\s,}]+)", words):
            assert target in self.rules, words
        for name in re.findall(r"@(\S+)", words):
            assert name in self.elements, words

    def add_set(self, name: str, words: str) -> None:
        assert name not in self.shapes
        timeout = re.search(r"timeout (\d+)s", words)
        kind = re.search(r"type ([^:;]+?)(?: : verdict)?;", words)
        assert kind
        self.shapes[name] = (
            "set",
            ("map" if "verdict" in words else "set", kind[1], int(timeout[1]) if timeout else 0),
        )
        self.elements[name] = {}

    add_map = add_set

    def add_chain(self, name: str, words: str = "") -> None:
        assert name not in self.shapes
        assert not words
        self.shapes[name] = ("chain", None)
        self.rules[name] = []

    def add_rule(self, chain: str, rule: str) -> None:
        self.rules[chain].append(rule)

    def insert_rule(self, chain: str, rule: str) -> None:
        self.rules[chain].insert(0, rule)

    def flush_chain(self, name: str) -> None:
        self.rules[name].clear()

    def delete_chain(self, name: str) -> None:
        assert self.rules.pop(name) == []
        del self.shapes[name]

    def delete_set(self, name: str) -> None:
        del self.elements[name]
        del self.shapes[name]

    delete_map = delete_set

    def add_element(self, name: str, words: str) -> None:
        for element in words.removeprefix("{ ").removesuffix(" }").split(", "):
            key = re.split(r" comment | : ", element)[0]
            assert key not in self.elements[name]
            self.elements[name][key] = element

    def delete_element(self, name: str, words: str) -> None:
        for key in words.removeprefix("{ ").removesuffix(" }").split(", "):
            del self.elements[name][key]


def with_services(*names: str, mode: Mode = "iptables") -> Cluster:
    """Return a cluster with plain Services of one port, each with the pods 2 and 3 behind it."""
    made = []
    for name in names:
        number = 10 + NAMES.index(name)
        ips = (f"10.96.0.{number}", f"fd00:96::{number}")
        spec = ServiceSpec(cluster_ip=ips[0], cluster_ips=ips, ip_families=("IPv4", "IPv6"), ports=PORTS[:1])
        made.append(Service(metadata=ObjectMeta(name=name), spec=spec))
    every = tuple(ends for name in names for ends in endpoints(name, 2, 3))
    return replace(empty(mode), services=tuple(made), slices=every)


def endpoints(name: str, *pods: int) -> tuple[EndpointSlice, ...]:
    """Return a Service's slices in both families with these pods, ready."""
    found = []
    for one, prefix in zip(slices(generator(0), name), ("10.244.{}.{}", "fd00:244:0:{}::{}"), strict=True):
        own = tuple(
            SliceEndpoint(addresses=(ip_address(prefix.format(pod % 2 + 1, pod)),), node_name=f"node-{pod % 2 + 1}")
            for pod in pods
        )
        found.append(with_(one, endpoints=own))
    return tuple(found)


def saved(chains: Chains) -> str:
    """Return chains as iptables-save prints them."""
    text = []
    for table in ("mangle", "filter", "nat"):
        own = {name: rules for (where, name), rules in chains.items() if where == table}
        text += [f"*{table}", *(f":{name} {'ACCEPT' if name in BUILT_IN else '-'} [0:0]" for name in own)]
        text += [f"[1:2] -A {name} {rule}" for name, rules in own.items() for rule in rules]
        text.append("COMMIT")
    return "".join(f"{line}\n" for line in text)
