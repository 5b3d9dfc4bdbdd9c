"""For the objects of every golden case our nftables table is the one that a real kube-proxy v1.36.2 had installed.

The golden text is nft's own listing, which spells a few things differently from what is loaded.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.model import kubernetes as k8s
from lab.model.address import FAMILIES, Family
from lab.model.nft_ruleset import TABLE_FAMILY, NftRuleset
from lab.proxy.node import render
from tests.test_proxy_oracle import CASES, objects, sorted_out

Blocks = dict[str, list[str]]

LISTED = {
    "priority filter;": "priority 0;",
    "priority dstnat;": "priority -100;",
    "priority srcnat;": "priority 100;",
    "priority dstnat - 10;": "priority -110;",
    "timeout 3h": "timeout 10800s",
    " dnat ip to ": " dnat ip addr . port to ",
    " dnat ip6 to ": " dnat ip6 addr . port to ",
    "ip daddr 10.96.0.0/16 drop": "ip daddr { 10.96.0.0/16 } drop",
    "{ 192.0.2.7, 198.51.100.0/24 } drop": "{ 198.51.100.0/24, 192.0.2.7/32 } drop",
}


def blocks(text: str) -> Blocks:
    """Return the lines of each set, map and chain of a table, elements one a line and sorted."""
    found: Blocks = {}
    joined = re.sub(r",\n\s+", ", ", text)
    joined = re.sub(r"elements = \{\s+(.*?)\s+\}", r"elements = { \1 }", joined, flags=re.DOTALL)
    name = ""
    for line in joined.splitlines()[1:-1]:
        words = line.strip()
        if re.fullmatch(r"\t(set|map|chain) \S+ \{", line):
            name = words
            found[name] = []
        elif words.startswith("elements = "):
            found[name] += sorted(words.removeprefix("elements = { ").removesuffix(" }").split(", "))
        elif words not in ("", "}", "size 65535"):
            found.setdefault(name, []).append(words)
    return found


def listed(text: str, family: Family) -> Blocks:
    """Return the blocks of a family's table in nft's listing, spelled as they are loaded."""
    tables = re.findall(r"^table .*?^\}$", text, flags=re.DOTALL | re.MULTILINE)
    (table,) = [table for table in tables if table.startswith(f"table {TABLE_FAMILY[family]} kube-proxy ")]
    for printed, loaded in LISTED.items():
        table = table.replace(printed, loaded)
    return blocks(table)


def ruleset(case: Path, family: Family) -> NftRuleset:
    found, (settings,) = objects(case / "objects.yaml"), objects(case / "proxy.yaml")
    cidrs = [one for one in found if isinstance(one, k8s.ServiceCIDR)]
    made = render(*sorted_out(found), settings, family, mode="nftables", service_cidrs=cidrs)
    assert isinstance(made, NftRuleset)
    return made


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_every_set_map_and_chain_is_the_one_that_kube_proxy_installed(case: Path, family: Family) -> None:
    ours = blocks(ruleset(case, family).restore_text())
    theirs = listed((case / "nft.txt").read_text(encoding="utf-8"), family)
    assert ours == theirs
    fixed = [name for name in theirs if "/" not in name]
    assert [name for name in ours if "/" not in name] == fixed  # in the order that kube-proxy makes them in
