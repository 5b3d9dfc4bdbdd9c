"""lab.graph on a topology that does not stand: its pictures, its files, and what it refuses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests import commandline, pictures

ROOT = Path(__file__).parents[1]


def graph(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return commandline.run("lab.graph", *words, cwd=cwd)


@pytest.mark.parametrize("what", [(), ("--service", "web")], ids=["topology", "chains"])
def test_a_topology_is_drawn_in_every_way(what: tuple[str, ...], tmp_path: Path) -> None:
    text, mermaid, svg, html = (
        graph("--topology", "clusterip", *what, *option)
        for option in ((), ("--mermaid",), ("--svg", "-"), ("--html", "-"))
    )
    assert {done.returncode for done in (text, mermaid, svg, html)} == {0}
    assert "web" in text.stdout
    assert pictures.mermaid_faults(mermaid.stdout) == []
    assert pictures.faults(svg.stdout) == []
    assert html.stdout.startswith("<!doctype html>")
    files = graph("--topology", "clusterip", *what, "--svg", "a.svg", "--html", "a.html", cwd=tmp_path)
    assert (files.returncode, files.stdout) == (0, "")
    assert files.stderr.endswith("wrote a.svg\nwrote a.html\n")
    assert (tmp_path / "a.svg").read_text() == svg.stdout
    assert (tmp_path / "a.html").read_text() == html.stdout
    assert sorted(os.listdir(tmp_path)) == ["a.html", "a.svg"]


def test_rules_without_a_lab_are_said_to_be_none_that_stand() -> None:
    done = graph("--topology", "clusterip", "--service", "web")
    assert "without counters" in done.stderr
    assert "PACKETS" not in done.stdout
    nft = graph("--topology", "clusterip", "--service", "web", "--mode", "nftables")
    assert "vmap @service-ips" in nft.stdout


def test_a_file_of_ones_own_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text((ROOT / "topologies/hairpin/lab.yaml").read_text())
    assert "hairpin-veth" in graph("--topology", "my.yaml", cwd=tmp_path).stdout


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("mine")
    done = graph("--topology", "clusterip", "--svg", "a.svg", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "a.svg").read_text()) == (2, "mine")
    assert done.stderr == "error: --svg 'a.svg': File exists; expected a new file, or -\n"
    assert os.listdir(tmp_path) == ["a.svg"]


def test_nothing_is_written_if_one_file_cannot_be(tmp_path: Path) -> None:
    for svg, html in (("a.svg", "no/a.html"), ("a.svg", "a.svg")):
        done = graph("--topology", "clusterip", "--svg", svg, "--html", html, cwd=tmp_path)
        assert (done.returncode, done.stdout, os.listdir(tmp_path)) == (2, "", [])


@pytest.mark.parametrize(
    ("path", "said"),
    [(".", "Is a directory"), ("no/where.svg", "No such file or directory"), ("a.svg/b", "Not a directory"),
     ("x" * 256, "File name too long")],
)  # fmt: skip
def test_a_place_for_no_file_is_told(path: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("mine")
    done = graph("--topology", "clusterip", "--html", path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--html {path!r}: {said}" in done.stderr
    assert os.listdir(tmp_path) == ["a.svg"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert graph("--topology", "hairpin", "--svg", "pipe", cwd=tmp_path).returncode == 0
        ET.fromstring(os.read(reader, 1 << 20))
    finally:
        os.close(reader)


def test_a_full_disk_leaves_no_half_file() -> None:
    done = graph("--topology", "clusterip", "--svg", "/dev/full")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--svg '/dev/full': No space left on device" in done.stderr


@pytest.mark.parametrize(
    ("words", "mistakes"),
    [
        (("--topology", "clusterip", "--lab", "x"), ["expected one of the two"]),
        (("--topology", "clusterip", "--node", "node-1"), ["--node node-1", "expected --service beside it"]),
        (("--mode", "nftables"), ["--mode nftables", "expected --topology beside it"]),
        (("--mode", "nftables", "--node", "n"), ["expected --topology beside it", "expected --service beside it"]),
        (("--mode", "nftables", "--svg", "/no/a.svg"), ["expected --topology beside it", "No such file or directory"]),
        (("--topology", "clusterip", "--svg", "-", "--mermaid"), ["expected one of --mermaid, --svg - and --html -"]),
        (("--topology", "clusterip", "--mode", "ipvs"), ["--mode"]),
        (("--topology", "clusterop"), ["did you mean clusterip?"]),
        (("--topology", "clusterip", "--service", "wob"), ["did you mean web?"]),
        (("--topology", "clusterip", "--service", "web", "--node", "node-7"), ["node-7", "node-1"]),
        (("--topology", "headless", "--service", "db"), ["no rules: Service db is headless"]),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...], mistakes: list[str]) -> None:
    done = graph(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert [mistake for mistake in mistakes if mistake not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_the_picture_in_the_documents_is_the_one_that_is_drawn() -> None:
    drawn = graph("--topology", "clusterip", "--svg", "-").stdout
    assert (ROOT / "docs/clusterip.svg").read_text() == drawn
