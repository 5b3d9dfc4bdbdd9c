"""For the objects of every golden case the rules of release classic are those that kube-proxy and kubelet 1.20.2 made.

tests/golden/classic/README.md tells how they were made. A case without objects has those of the case of its name in
tests/golden/kube-proxy.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.model.address import Family
from lab.proxy.node import render
from tests import test_proxy_oracle as today

CASES = Path(__file__).parent / "golden" / "classic"
FAMILY: dict[str, Family] = {"iptables-save.txt": "ipv4", "ip6tables-save.txt": "ipv6"}
SAVED = sorted(CASES.glob("*/*-save.txt"))


@pytest.mark.parametrize("saved", SAVED, ids=lambda saved: f"{saved.parent.name}-{FAMILY[saved.name]}")
def test_every_chain_is_the_one_that_1_20_installed(saved: Path) -> None:
    case = saved.parent if (saved.parent / "objects.yaml").exists() else today.CASES / saved.parent.name
    found, (settings,) = today.objects(case / "objects.yaml"), today.objects(case / "proxy.yaml")
    ours = render(*today.sorted_out(found), settings, FAMILY[saved.name], release="classic")
    today.same_chains(today.chains(ours.restore_text()), today.chains(saved.read_text()))


def test_every_case_of_today_was_given_to_1_20_as_well() -> None:
    cases = {saved.parent.name for saved in SAVED if saved.name == "iptables-save.txt"}
    assert cases >= {case.name for case in today.CASES.iterdir()}
