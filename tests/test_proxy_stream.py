"""What is printed piece by piece is what is rendered as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.model.address import FAMILIES, Family
from lab.model.lab import Mode, Release
from lab.model.ruleset import BUILT_IN
from lab.parse import cluster_files
from lab.proxy import iptables
from lab.proxy.node import render
from lab.proxy.stream import stream
from tests.test_proxy_oracle import CASES, chains


@pytest.mark.parametrize("counters", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("mode", "release"), [("iptables", "1.36"), ("iptables", "classic"), ("nftables", "1.36")])
@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_the_pieces_are_the_whole(case: Path, mode: Mode, release: Release, family: Family, *, counters: bool) -> None:
    found = cluster_files.load([str(case / "objects.yaml")])
    settings, _ = cluster_files.settings(str(case / "proxy.yaml"))
    pieces = list(stream(found, settings, family, mode=mode, release=release, counters=counters))
    whole = render(
        found.services,
        found.slices,
        found.nodes,
        settings,
        family,
        mode=mode,
        release=release,
        service_cidrs=found.service_cidrs,
        counters=counters,
    ).restore_text()
    if mode == "nftables" or release == "classic":
        assert pieces == [whole]
        return
    assert chains("".join(pieces)) == chains(whole)
    known = set(BUILT_IN | {"ACCEPT", "DROP", "REJECT", "RETURN", "MARK", "MASQUERADE", "DNAT"})
    for line in "".join(pieces).splitlines():
        words = line.split()
        if line.startswith(":"):
            known.add(words[0][1:])
        elif " -j " in line:
            assert words[1] in known
            assert words[words.index("-j") + 1] in known, f"nobody knows yet where this jumps to: {line}"


def test_service_ports_are_printed_before_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iptables, "PIECE", 0)
    found = cluster_files.load([str(CASES / "clusterip-multiport" / "objects.yaml")])
    settings, _ = cluster_files.settings(str(CASES / "clusterip-multiport" / "proxy.yaml"))
    pieces = list(stream(found, settings, "ipv4"))
    assert sum(":KUBE-SVC-" in piece for piece in pieces) == sum(piece.count(":KUBE-SVC-") for piece in pieces) > 1
