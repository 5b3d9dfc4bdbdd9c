"""The benchmark does the same work in both ways, and says how long each took."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from lab.errors import TopologyError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "up.py"


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_both_ways_are_timed_side_by_side_and_kept(
    bench: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results" / "up.json"
    bench["main"]("3", 2, str(out), "build")
    (row,) = json.loads(out.read_text())["build"]
    assert {way: len(seconds) for way, seconds in row["seconds"].items()} == {
        "hairpin": 2,
        "iproute2": 2,
        "whole_plan": 2,
    }
    assert all(second > 0 for seconds in row["seconds"].values() for second in seconds)
    assert "| 3 | " in capsys.readouterr().out


def test_iproute2_is_given_as_few_processes_as_there_can_be(bench: dict[str, Any]) -> None:
    common = [op for op in bench["_ops"](6) if type(op).__name__ in {"Namespace", "Bridge", "Veth", "Address"}]
    script = bench["batches"](common)
    machines = 6 + 1 + 2 + 1  # pods, router, nodes, client
    near_ends = 1 + 1 + 2  # the capsule's own namespace, router, nodes
    assert script.count(" -batch - <<") == (
        1 + near_ends + machines + 2  # and `bridge` on each node
    )
    assert script.index("netns add") < script.index("link add") < script.index("address add")


def test_what_the_benchmark_cannot_do_is_told(bench: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="'many' is not a list of numbers"):
        bench["main"]("many", 1, str(tmp_path / "x"), "build")
    with pytest.raises(TopologyError, match="'speed' is not a part"):
        bench["main"]("4", 1, str(tmp_path / "x"), "speed")


RULES = Path(__file__).parents[2] / "benchmarks" / "rules.py"


@pytest.fixture(scope="module")
def rules() -> dict[str, Any]:
    return runpy.run_path(str(RULES))


def test_rules_are_loaded_in_every_way_and_all_figures_kept(
    rules: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rules.json"
    rules["main"]("20", 1, str(out), "")
    results = json.loads(out.read_text())
    (row,) = results["load"]
    tools = {"iptables-nft", "iptables-legacy", "nft"}
    for kind in ("seconds", "processors"):
        assert set(row[kind]) == set(results["change"][kind]) == tools
        for ways in row[kind].values():
            assert set(ways) == {"hairpin", "bare", "command"}
            assert all(len(values) == 1 and values[0] > 0 for values in ways.values())
    assert all(peak > 1 << 20 for peak in results["memory"]["peak"].values())
    assert set(results["yaml"]["seconds"]) == {"json", "yaml"}
    printed = capsys.readouterr().out
    assert printed.count("| 20 | ") == 2 * len(tools)
    assert "from YAML" in printed


def test_the_growth_from_the_fewest_services_to_the_most_is_stated(rules: dict[str, Any]) -> None:
    def row(services: int, ours: float, bare: float) -> dict[str, Any]:
        ways = {"nft": {"hairpin": [ours], "bare": [bare], "command": [1.0]}}
        return {"services": services, "seconds": ways, "processors": ways}

    printed = rules["table"]({"endpoints": 4, "load": [row(1000, 0.1, 0.1), row(3000, 0.9, 0.2), row(2000, 1.5, 4.0)]})
    assert "| a Service of 3000 to one of 1000 | " in printed
    assert "\n| nft | 3.00 | 0.67 |" in printed
    assert "a Service of" not in rules["table"]({"endpoints": 4, "load": [row(1000, 0.1, 0.1)]})


def test_what_the_benchmark_of_rules_cannot_do_is_told(rules: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="'many' is not a list of numbers"):
        rules["main"]("many", 1, str(tmp_path / "x"), "load")
    with pytest.raises(TopologyError, match="'speed' is not a part"):
        rules["main"]("4", 1, str(tmp_path / "x"), "speed")


@pytest.mark.once
def test_what_a_trace_costs_is_measured_in_every_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "trace.json"
    runpy.run_path(str(SCRIPT.with_name("trace.py")))["main"](1, str(out), "journey")
    kept = json.loads(out.read_text())["journey"]
    assert list(kept) == ["iptables-nft", "iptables-legacy", "nft"]
    assert "from the request's end" in capsys.readouterr().out
