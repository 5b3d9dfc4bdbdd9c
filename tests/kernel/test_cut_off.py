"""A change that goes wrong in the middle: it is undone, at once or by the next command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.errors import KernelError
from lab.model.cluster import Cluster
from lab.standing import live, session, state, sync
from tests.kernel.living import Lab, no_progress, scaled, who
from tests.kernel.printed import ok

from .conftest import ROOT, Invoke


def left(invoke: Invoke) -> tuple[str, str]:
    """Return the namespaces and node-1's rules without counters."""
    names = ok(invoke("lab.exec", "router", "ls /run/netns"))
    rules = ok(invoke("lab.exec", "node-1", "iptables-save -t nat | grep ^-A | sort"))
    return names, rules


def test_what_the_kernel_refuses_is_undone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke = lab("clusterip")
    before = left(invoke)

    def refuses(_: Cluster, new: Cluster) -> None:
        sync.full(new, [new.nodes[0].metadata.name])
        raise KernelError("no such luck")

    with monkeypatch.context() as patch:
        patch.setattr(sync, "partial", refuses)
        with pytest.raises(KernelError, match="no such luck") as caught:
            live.change(session.attach(), scaled(3), no_progress)
    assert caught.value.hint == "nothing is changed: what had been done is undone"
    assert left(invoke) == before
    assert state.find(None).pending is None
    ok(invoke("lab.scale", "web", "3"))
    assert who(invoke) == {"web-1", "web-2", "web-3"}


def change() -> None:
    live.change(session.attach(), scaled(3), no_progress)


def passing() -> None:
    with live.held(session.attach(), no_progress) as held, live.passing(held, no_progress) as turn:
        turn(scaled(3))


@pytest.mark.parametrize("changes", [change, passing])
def test_what_cannot_be_undone_is_told_with_what_went_wrong(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, changes: Callable[[], None]
) -> None:
    invoke = lab("clusterip")

    def refuses(*_: Cluster) -> None:
        raise KernelError("no such luck")

    def stays(*_: Cluster) -> None:
        raise KernelError("no way back")

    with monkeypatch.context() as patch:
        patch.setattr(sync, "partial", refuses)
        patch.setattr(sync, "full", stays)
        with pytest.raises(KernelError) as caught:
            changes()
    assert caught.value.message == "no such luck\nand what had been done could not be undone:\nno way back"
    assert "invoke lab.down --lab clusterip" in caught.value.hint
    assert "an earlier change had been cut off" in invoke("lab.scale", "web", "3").stderr
    assert who(invoke) == {"web-1", "web-2", "web-3"}


CUT_OFF = """
import os, sys
from lab import edits
from lab.standing import live, session, sync
whole = sync.partial

def stops(old, new):
    if sys.argv[2] == "late":
        whole(old, new)
    os.write(1, b"here")
    os.read(0, 1)

sync.partial = stops
live.change(session.attach(), lambda cluster: edits.scale(cluster, "web", int(sys.argv[1])), lambda *_: None)
"""


@contextmanager
def scaling(replicas: int, when: str, settled: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that stops in the middle of a change: before the rules, or behind them (`late`)."""
    words = [sys.executable, "-c", settled + CUT_OFF, str(replicas), when]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as command:
        assert command.stdout is not None
        assert command.stdout.read(4) == b"here"
        yield command


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("replicas", [1, 4])
def test_what_a_killed_command_left_is_put_right_by_the_next_one(lab: Lab, replicas: int, when: str) -> None:
    invoke = lab("clusterip")
    with scaling(replicas, when) as command:
        command.kill()
    assert state.find(None).pending is not None
    done = invoke("lab.scale", "web", "3")
    assert done.returncode == 0, done.stderr
    assert "an earlier change had been cut off" in done.stderr
    assert who(invoke) == {"web-1", "web-2", "web-3"}
    assert ok(invoke("lab.exec", "router", "ls /run/netns")).split() == sorted(
        ["router", "node-1", "node-2", "client", "client-a", "web-1", "web-2", "web-3"]
    )
    ok(invoke("lab.down"))


def test_a_full_sync_puts_a_change_that_was_cut_off_right_as_well(lab: Lab) -> None:
    invoke = lab("clusterip")
    before = left(invoke)
    with scaling(4, "late") as command:
        command.kill()
    ok(invoke("lab.sync"))
    assert left(invoke) == before
    assert state.find(None).pending is None


def test_a_lab_that_was_cut_off_in_a_change_can_be_ended(lab: Lab, runtime: Path) -> None:
    invoke = lab("clusterip")
    with scaling(4, "late") as command:
        command.kill()
    ok(invoke("lab.down"))
    assert list(runtime.iterdir()) == []


def test_an_interrupted_command_undoes_what_it_did(lab: Lab) -> None:
    invoke = lab("clusterip")
    before = left(invoke)
    with scaling(4, "late", "from lab.cli import process; process.settle()\n") as command:
        command.send_signal(signal.SIGTERM)
        command.wait(20)
    assert left(invoke) == before
    assert state.find(None).pending is None
