"""The kernel holds our rules word for word as we print them, in both of iptables' variants.

tests/test_proxy_oracle.py shows that the same text is kube-proxy's; here it passes through the real iptables-restore
and comes back from iptables-save, with every table, every policy and the order of every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from lab.kernel import rules
from lab.model.address import FAMILIES
from lab.model.ruleset import Ruleset
from lab.model.service import Endpoint, ServiceUnit
from lab.proxy import classic, iptables
from lab.proxy.config import LOOPBACK, Detector, ProxyConfig
from lab.proxy.node import render
from tests.rendered_iptables import chains_of
from tests.test_proxy_oracle import CASES, objects, sorted_out

Inside = Callable[..., Any]
Chains = dict[tuple[str, str], list[str]]

TOOLS: tuple[rules.Tool, ...] = ("iptables-nft", "iptables-legacy")


def held(dump: str) -> Chains:
    """Return the rules of every chain that has rules or is not built in, without packet counts."""
    found: Chains = {}
    table = ""
    for line in dump.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy, _ = line[1:].split()
            assert policy == ("-" if name.startswith("KUBE-") else "ACCEPT")
            found[table, name] = []
        elif line.startswith("["):
            _, _, chain, rule = line.split(" ", 3)
            found[table, chain].append(rule.rstrip())
    return {place: found[place] for place in found if found[place] or place[1].startswith("KUBE-")}


def load(ruleset: Ruleset, tool: rules.Tool) -> str:
    rules.add_counters("", ruleset.counters)
    rules.restore([rules.Load(netns="", tool=tool, family=ruleset.family, text=ruleset.restore_text())])
    return rules.save("", tool, ruleset.family)


def check(inside: Inside, make: Callable[[bool], Iterator[Ruleset]], tool: rules.Tool) -> None:
    """Load the rulesets of both families one after the other, and look at both when both are there."""
    rulesets = list(make(inside(rules.nfacct_available)))
    for ruleset in rulesets:
        inside(load, ruleset, tool)
    for ruleset in rulesets:
        dump = inside(rules.save, "", tool, ruleset.family)
        assert held(dump) == {place: list(chain.rules) for place, chain in ruleset.chains()}


def case_rulesets(case: Path, *, counters: bool) -> Iterator[Ruleset]:
    found, (settings,) = objects(case / "objects.yaml"), objects(case / "proxy.yaml")
    for family in FAMILIES:
        ruleset = render(*sorted_out(found), settings, family, counters=counters)
        assert isinstance(ruleset, Ruleset)
        yield ruleset


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_kernel_holds_every_golden_case_as_printed(inside: Inside, case: Path, tool: rules.Tool) -> None:
    check(inside, lambda counters: case_rulesets(case, counters=counters), tool)


def everything(base: str, endpoint: str, outside: str) -> Iterator[ServiceUnit]:
    """Yield service ports with every feature, in every protocol, of the family of the three address prefixes."""
    many = tuple(
        Endpoint(address=ip_address(f"{endpoint}{n}"), port=8080, node=f"node-{n % 2 + 1}") for n in range(10, 50)
    )
    plain = ServiceUnit(
        namespace="default",
        name="web",
        port_name="",
        protocol="TCP",
        cluster_ip=ip_address(f"{base}10"),
        port=80,
        endpoints=many,
    )
    yield plain
    bits = 24 if plain.cluster_ip.version == 4 else 64
    full = replace(
        plain,
        name="full",
        protocol="UDP",
        cluster_ip=ip_address(f"{base}11"),
        node_port=30001,
        external_ips=(ip_address(f"{outside}7"), ip_address(f"{outside}8")),
        load_balancer_ips=(ip_address(f"{outside}11"), ip_address(f"{outside}12")),
        source_ranges=(ip_network(f"{outside}0/{bits}"), ip_network(f"{base}0/{bits}")),
        affinity_seconds=90,
        endpoints=many[:3],
    )
    yield full
    yield replace(
        full,
        name="local",
        port_name="sctp",
        protocol="SCTP",
        node_port=30002,
        external_local=True,
        internal_local=True,
        health_check_node_port=32000,
    )
    yield replace(full, name="remote", protocol="TCP", external_local=True, node_port=30003, endpoints=many[1::2])
    yield replace(full, name="none", protocol="TCP", node_port=30004, endpoints=())
    longest = "x" * 63
    yield replace(full, namespace=longest, name=longest, port_name=longest, external_local=True)


def everywhere(config: ProxyConfig, *, counters: bool, spare: int = 0, classical: bool = False) -> Iterator[Ruleset]:
    """Yield the rulesets of both families; `spare`: additional endpoints that are not ready."""
    prefixes = {"ipv4": ("10.96.0.", "10.244.1.", "203.0.113."), "ipv6": ("fd00:96::", "fd00:244::", "2001:db8::")}
    for family in FAMILIES:
        first, *rest = everything(*prefixes[family])
        idle = replace(first.endpoints[0], ready=False, serving=False)
        units = (replace(first, endpoints=(*first.endpoints, *[idle] * spare)), *rest)
        own = config if family == "ipv4" else replace(config, family=family, localhost_node_ports=False)
        address = ip_address(f"{prefixes[family][0]}1")
        own = replace(own, address=address)
        yield classic.render(units, own) if classical else iptables.render(units, own, counters=counters)


CONFIG = ProxyConfig(node="node-1", family="ipv4", address=LOOPBACK["ipv4"])
CONFIGS = {
    "interface": replace(CONFIG, detector=Detector(interface="cbr0")),
    "prefix": replace(CONFIG, detector=Detector(interface="veth", prefix=True), masquerade_mark=1 << 31),
    "none": replace(CONFIG, masquerade_mark=1, tcp_be_liberal=True),
    "all": replace(CONFIG, masquerade_all=True, localhost_node_ports=False),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_kernel_holds_every_feature_as_printed(inside: Inside, config: ProxyConfig, tool: rules.Tool) -> None:
    check(inside, lambda counters: everywhere(config, counters=counters), tool)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_kernel_holds_the_large_form_as_printed(inside: Inside, tool: rules.Tool) -> None:
    check(inside, lambda counters: everywhere(CONFIG, counters=counters, spare=iptables.LARGE_CLUSTER), tool)


@pytest.mark.parametrize("tool", TOOLS)
def test_rules_load_without_nfacct(inside: Inside, tool: rules.Tool) -> None:
    check(inside, lambda _: everywhere(CONFIG, counters=False), tool)


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("spare", [0, iptables.LARGE_CLUSTER], ids=["small", "large"])
@pytest.mark.parametrize("config", [CONFIGS["interface"], CONFIGS["all"]], ids=["interface", "all"])
def test_the_kernel_holds_the_classic_release_as_printed(
    inside: Inside, config: ProxyConfig, spare: int, tool: rules.Tool
) -> None:
    check(inside, lambda _: everywhere(config, counters=False, spare=spare, classical=True), tool)


def test_a_chance_is_what_the_kernel_makes_of_kube_proxys_decimals(inside: Inside) -> None:
    endpoints = tuple(Endpoint(address=ip_address("10.244.0.0") + n, port=80) for n in range(700))
    (unit, *_) = everything("10.96.0.", "10.244.1.", "203.0.113.")
    ruleset = iptables.render([replace(unit, endpoints=endpoints)], CONFIG, counters=False)
    chain = next(chain for chain in chains_of(ruleset) if "SVC" in chain.name)
    ours = [rule.split("--probability ")[1].split()[0] for rule in chain.rules[:-1]]
    written = [f"-A A -m statistic --mode random --probability {1 / count:.10f}\n" for count in range(700, 1, -1)]
    text = "".join(("*nat\n", ":A - [0:0]\n", *written, "COMMIT\n"))
    load_text = rules.Load(netns="", tool="iptables-legacy", family="ipv4", text=text)
    inside(rules.restore, [load_text])
    dump = inside(rules.save, "", "iptables-legacy", "ipv4")
    assert [line.split("--probability ")[1].split()[0] for line in dump.splitlines() if "statistic" in line] == ours
