"""For the objects of every golden case our rules are those that a real kube-proxy v1.36.2 had installed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab.model import kubernetes as k8s
from lab.model.address import FAMILIES, Family
from lab.parse.check import convert
from lab.parse.mistake import Mistakes
from lab.parse.yaml import documents
from lab.proxy.node import render

CASES = Path(__file__).parent / "golden" / "kube-proxy"
SAVED: dict[Family, str] = {"ipv4": "iptables-save.txt", "ipv6": "ip6tables-save.txt"}
LAST = "must be the last rule"
# kube-proxy walks its Services in random order: in these chains only which rules there are means something.
UNORDERED = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"}

Chains = dict[tuple[str, str], list[str]]


def objects(file: Path) -> list[Any]:
    mistakes = Mistakes()
    read = [
        convert(getattr(k8s, document.value["kind"]), document.value, number, mistakes)
        for number, document in enumerate(documents(file.read_text(), file.name)[0])
    ]
    assert not mistakes.kept
    return read


def sorted_out(objects: list[Any]) -> tuple[list[k8s.Service], list[k8s.EndpointSlice], list[k8s.Node]]:
    services = [one for one in objects if isinstance(one, k8s.Service)]
    slices = [one for one in objects if isinstance(one, k8s.EndpointSlice)]
    return services, slices, [one for one in objects if isinstance(one, k8s.Node)]


def chains(dump: str) -> Chains:
    """Return the rules of every chain that has rules or is not built in, by table and name."""
    found: Chains = {}
    table = ""
    for line in dump.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":KUBE-"):
            found[table, line[1:].split()[0]] = []
        elif line.startswith(":"):
            assert line.split()[1] == "ACCEPT"  # kube-proxy never sets a policy
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            found.setdefault((table, chain), []).append(rule)
    return found


def same_chains(ours: Chains, theirs: Chains) -> None:
    """Fail unless every chain has the same rules, in the same order where the order means something."""
    assert ours.keys() == theirs.keys()
    for place, rules in theirs.items():
        if place[1] in UNORDERED:
            assert Counter(ours[place]) == Counter(rules)
            assert [LAST in rule for rule in ours[place]] == sorted(LAST in rule for rule in rules)
        else:
            assert ours[place] == rules


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_every_chain_is_the_one_that_kube_proxy_installed(case: Path, family: Family) -> None:
    found, (settings,) = objects(case / "objects.yaml"), objects(case / "proxy.yaml")
    ours = chains(render(*sorted_out(found), settings, family).restore_text())
    theirs = chains((case / SAVED[family]).read_text())
    same_chains(ours, theirs)


def test_no_case_is_missing() -> None:
    assert len(list(CASES.glob("*/objects.yaml"))) == 17
