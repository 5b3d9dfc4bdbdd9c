"""`lab.gallery` tries topologies in labs of its own, beside those that stand, and leaves none of them behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from invoke import Context

from lab import catalogue, gallery
from lab.cli.gallery import gallery as task
from lab.errors import HostError, KernelError
from lab.kernel import children
from lab.standing import session

from .conftest import Invoke, invocation

PATIENCE_S = 20.0

WRONG = """
apiVersion: hairpin/v1alpha1
kind: Lab
metadata: {name: wrong}
spec:
  expect:
  - {it: a server is there, from: node-1, to: "node-1:9", answer: {}}
  - {it: no server is there, from: node-1, to: "node-1:9", error: refused}
"""


def labs(runtime: Path) -> list[str]:
    return [path.name for path in runtime.glob("hairpin/*") if (path / "lab.json").exists()]


def until(holds: Callable[[], bool]) -> None:
    """Look again and again: whose files appear and go is other processes' doing."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)


@pytest.fixture
def started(runtime: Path) -> subprocess.Popen[str]:
    """Give a gallery that has labs standing."""
    argv = invocation("lab.gallery", "--mode", "all", "--topology", "clusterip", "--topology", "nodeport")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: bool(labs(runtime)))
    return process


def test_a_topology_is_tried_in_each_mode_beside_a_lab_of_its_name(invoke: Invoke) -> None:
    assert invoke("lab.up", "hairpin").returncode == 0
    before = json.loads(invoke("lab.list", "--json").stdout)
    done = invoke("lab.gallery", "--topology", "hairpin", "--mode", "all")
    assert (done.returncode, done.stderr) == (0, "")
    header, row, _, summary = done.stdout.splitlines()
    assert header.split() == ["TOPOLOGY", "IPTABLES", "LEGACY", "NFTABLES"]
    assert row.split()[0] == "hairpin"
    assert row.count("✓ 2 ok, ") == 3
    assert summary.startswith("all 6 expectations hold in 3 labs, ")
    after = json.loads(invoke("lab.list", "--json").stdout)
    assert [one["keeper_pid"] for one in after] == [one["keeper_pid"] for one in before]


def test_by_default_it_is_iptables_mode_whatever_the_topology_says(invoke: Invoke) -> None:
    (one,) = json.loads(invoke("lab.gallery", "--topology", "hairpin", "--json").stdout)["labs"]
    assert (one["topology"], one["mode"], one["holds"], one["not_tried"]) == ("hairpin", "iptables", True, "")
    assert [each["when"] for each in one["left_out"]] == [
        {"hairpinMode": "none"},
        {"hairpinMode": "promiscuous-bridge"},
    ]


def test_a_failed_expectation_is_shown_in_full_and_is_the_exit_status(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("wrong", WRONG), ("broken", WRONG.replace("node-1:9", "node-2:9"))):
        (tmp_path / "topologies" / name).mkdir(parents=True)
        (tmp_path / "topologies" / name / "lab.yaml").write_text(text)
    monkeypatch.setattr(catalogue, "folder", lambda: tmp_path / "topologies")
    with pytest.raises(SystemExit) as ended:
        task.body(Context(), topology=[])
    assert ended.value.code == 1
    table, broken, title, details, summary = capsys.readouterr().out.rstrip("\n").split("\n\n")
    assert [line.split(",")[0].split() for line in table.splitlines()[1:]] == [
        ["broken", "✗", "not", "built"],
        ["wrong", "✗", "1", "of", "2", "failed"],
    ]
    assert broken.startswith("broken, iptables\n")
    assert "there is no" in broken or "node-2" in broken
    assert title == "wrong, iptables"
    assert details.splitlines()[0] == "a server is there"
    assert details.splitlines()[2].split()[:4] == ["✗", "answer", "answered", "refused"]
    assert summary.startswith("1 of 2 expectations and 1 lab failed, in ")
    assert not labs(runtime)


def test_what_a_user_namespace_cannot_do_is_left_out_and_counted(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gallery, "UNPRIVILEGED", {("hairpin", "legacy"): "why not"})
    task.body(Context(), topology=["hairpin"], mode="all")
    lines = capsys.readouterr().out.rstrip("\n").splitlines()
    if os.geteuid():
        assert "left out" in lines[1]
        assert "left out: hairpin, legacy: why not" in lines
        assert lines[-1].endswith("(1 left out)")
    else:
        assert "left out" not in "".join(lines)
    assert not labs(runtime)


def test_a_user_namespace_can_do_all_of_it() -> None:
    assert not gallery.UNPRIVILEGED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_gallery_leaves_nothing(
    started: subprocess.Popen[str], runtime: Path, number: signal.Signals
) -> None:
    started.send_signal(number)
    output, error = started.communicate(timeout=PATIENCE_S)
    assert (started.returncode, output, error) == (128 + number, "", "interrupted\n")
    assert not list(runtime.glob("hairpin/*"))


def test_a_killed_gallery_leaves_nothing_either(started: subprocess.Popen[str], runtime: Path) -> None:
    started.kill()
    started.communicate(timeout=PATIENCE_S)
    until(lambda: not list(runtime.glob("hairpin/*")))


def test_wrong_names_are_refused_with_the_nearest(invoke: Invoke) -> None:
    done = invoke("lab.gallery", "--topology", "hairpn")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --topology 'hairpn': expected ")
    assert "did you mean hairpin?" in done.stderr
    done = invoke("lab.gallery", "--mode", "ipvs")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --mode 'ipvs' is not supported: kube-proxy gave IPVS up")
    assert "; expected all, iptables, legacy or nftables\n" in done.stderr


def number_of(value: int) -> int:
    return value


def refusal() -> int:
    raise KernelError("no")


def test_children_work_side_by_side_and_their_results_come_in_order() -> None:
    order: list[int] = []
    work = [partial(number_of, value) for value in range(20)]
    assert children.each(work, at_once=3, done=lambda number, _: order.append(number)) == list(range(20))
    assert sorted(order) == list(range(20))


def test_what_a_child_raises_is_raised_and_the_others_are_told_to_end(tmp_path: Path) -> None:
    ready, begun = os.pipe()

    def waits() -> int:
        try:
            os.write(begun, b"x")
            signal.pause()
        except children.Told:
            (tmp_path / "told").touch()
        return 0

    def fails() -> int:
        os.read(ready, 1)
        return refusal()

    with pytest.raises(KernelError, match="no"):
        children.each([waits, fails], at_once=2, done=lambda *_: None)
    os.close(ready)
    os.close(begun)
    assert (tmp_path / "told").exists()


def test_a_lab_of_the_name_that_stands_already_is_not_taken_for_the_gallerys_own(invoke: Invoke) -> None:
    assert invoke("lab.up", "hairpin", "--lab", "mine").returncode == 0
    tried = gallery.trial("clusterip", "iptables", "mine", lambda: catalogue.choose("clusterip"))
    assert tried.error.startswith("lab 'mine' stands already; expected another name")
    assert [(row.name, row.topology) for row in session.rows()] == [("mine", "hairpin")]


def test_a_lab_that_another_command_built_while_we_waited_for_its_lock_is_not_ended(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waits_in_vain(*_: object, **__: object) -> None:
        raise HostError("lab theirs: another command is changing or checking it")

    chosen = catalogue.choose("clusterip")
    assert invoke("lab.up", "hairpin", "--lab", "theirs").returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr(session, "up", waits_in_vain)
        with pytest.raises(HostError), session.passing(chosen.cluster, name="theirs", source="clusterip"):
            pass
    assert [row.name for row in session.rows()] == ["theirs"]


def test_a_lab_that_passes_ends_with_its_block_even_by_an_error(runtime: Path) -> None:
    chosen = catalogue.choose("hairpin")

    def fails_in_a_lab() -> None:
        with session.passing(chosen.cluster, name="short", source="hairpin") as lab:
            assert session.attach("short").record.keeper == lab.record.keeper
            refusal()

    with pytest.raises(KernelError, match="no"):
        fails_in_a_lab()
    assert not list(runtime.glob("hairpin/*"))
