"""A capsule holds what is made in it, shows nothing of it outside, and goes with its keeper."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import KernelError
from lab.kernel import capsule, join, netns
from lab.kernel.fork import die_with

from .conftest import WAITS

Inside = Callable[..., Any]
DEADLINE_S = 10


def test_the_capsule_has_namespaces_of_its_own_and_the_keeper_is_its_first_process(inside: Inside) -> None:
    spaces = ("mnt", "pid", "uts", "ipc", "net")

    def look() -> tuple[dict[str, str], str]:
        return {space: os.readlink(f"/proc/self/ns/{space}") for space in spaces}, Path("/proc/1/cmdline").read_text()

    seen, first = inside(look)
    assert all(seen[space] != os.readlink(f"/proc/self/ns/{space}") for space in spaces)
    assert "os.read" in first


def test_a_namespace_made_inside_is_not_seen_outside(inside: Inside) -> None:
    def make() -> list[str]:
        netns.create("pod")
        return os.listdir(netns.FOLDER)

    assert inside(make) == ["pod"]
    assert not Path(netns.FOLDER, "pod").exists()


def test_capabilities_work_inside_whoever_we_are(inside: Inside) -> None:
    def raise_forwarding() -> str:
        netns.create("node")
        key = Path("/proc/sys/net/ipv4/ip_forward")
        key.write_text("1")
        return key.read_text().strip()

    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    assert inside(raise_forwarding) == "1"
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


def test_what_a_function_raises_inside_is_raised_outside_with_its_hint(inside: Inside) -> None:
    def refuse() -> None:
        raise KernelError("no", hint="try yes")

    with pytest.raises(KernelError) as caught:
        inside(refuse)
    assert (caught.value.message, caught.value.hint) == ("no", "try yes")


def test_a_program_that_joined_ends_with_the_keeper(keeper: capsule.Keeper, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    child = os.fork()
    if child == 0:
        argv = ["sh", "-c", f"echo > {started}; exec sleep 100"]
        os._exit(join.execute(keeper, argv, dict(os.environ), enter=lambda: None))
    fd = os.pidfd_open(child)
    started.read_text()  # waits for the program
    os.kill(keeper.pid, signal.SIGKILL)
    ended = select.select([fd], [], [], 10)[0]
    assert ended
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGKILL


def test_a_program_that_joined_ends_with_the_command_that_started_it(keeper: capsule.Keeper, tmp_path: Path) -> None:
    started, alive = tmp_path / "started", os.pipe()
    os.mkfifo(started)
    os.set_inheritable(alive[1], True)  # noqa: FBT003 - os's own signature
    child = os.fork()
    if child == 0:
        argv = ["sh", "-c", f"echo > {started}; exec sleep 100"]
        os._exit(join.execute(keeper, argv, dict(os.environ), enter=lambda: None))
    os.close(alive[1])
    started.read_text()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    ended = select.select([alive[0]], [], [], 10)[0]  # the last holder of the pipe's other end is gone
    assert ended


@pytest.mark.parametrize("early", [False, True])
def test_a_program_that_ctrl_z_stopped_does_not_keep_its_lab(
    keeper: capsule.Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, early: bool
) -> None:
    def when_it_has_stopped(inner: int) -> None:  # Ctrl-Z came before the watcher was ready for it
        os.waitid(os.P_PID, inner, os.WSTOPPED | os.WNOWAIT)
        see_to_its_end(inner)

    see_to_its_end = join._see_to_its_end
    if early:
        monkeypatch.setattr(join, "_see_to_its_end", when_it_has_stopped)
    started = tmp_path / "started"
    os.mkfifo(started)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        argv = ["sh", "-c", f"echo > {started}; exec sleep 100"]
        os._exit(join.execute(keeper, argv, dict(os.environ), enter=lambda: None))
    started.read_text()  # waits for the program
    os.killpg(child, signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
    try:
        capsule.end(keeper, DEADLINE_S)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_who_asks_too_late_to_die_with_a_process_ends_at_once() -> None:
    parent = os.fork()
    if parent == 0:
        os._exit(0)
    gone = os.pidfd_open(parent)
    os.waitpid(parent, 0)
    child = os.fork()
    if child == 0:
        die_with(gone, signal.SIGKILL)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 75
    os.close(gone)


def test_a_program_for_a_lab_that_ended_says_so(keeper: capsule.Keeper, capfd: pytest.CaptureFixture[str]) -> None:
    capsule.end(keeper)
    assert join.execute(keeper, ["true"], dict(os.environ), enter=lambda: None) == 75
    error = capfd.readouterr().err
    assert error.startswith("error: the lab ended")
    assert "Traceback" not in error


def test_what_the_caller_left_open_does_not_stay_open_with_the_lab(request: pytest.FixtureRequest) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)  # noqa: FBT003 - os's own signature
    kept: capsule.Keeper = request.getfixturevalue("keeper")
    os.close(write)
    assert select.select([read], [], [], DEADLINE_S)[0]  # its end: nobody can write any more
    assert kept.alive
    os.close(read)


@pytest.mark.root
def test_the_state_folder_is_seen_inside_even_if_a_link_led_to_run(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/run") as real:
        link = tmp_path / "link"
        link.symlink_to(real)
        Path(real, "here").touch()
        ours, theirs = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        argv = [sys.executable, "-I", "-c", WAITS, str(ours)]
        kept = capsule.spawn(argv, name="test", keep=link, log=null, fds=[ours], env={})
        try:
            assert join.call(kept, lambda: os.listdir(link)) == ["here"]
        finally:
            capsule.end(kept)
            for fd in (ours, theirs, null):
                os.close(fd)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -TERM $$", 128 + 15)])
def test_the_exit_status_is_the_programs_own(keeper: capsule.Keeper, command: str, status: int) -> None:
    assert join.execute(keeper, ["sh", "-c", command], dict(os.environ), enter=lambda: None) == status


def test_a_missing_program_is_status_127(keeper: capsule.Keeper) -> None:
    assert join.execute(keeper, ["no-such-program"], dict(os.environ), enter=lambda: None) == 127


def test_a_keeper_that_is_gone_is_never_taken_for_another_process(keeper: capsule.Keeper) -> None:
    us = capsule.identify(os.getpid())
    assert us is not None
    other = capsule.Keeper(pid=us.pid, start=us.start - 1, boot=us.boot)
    assert us.alive
    assert not other.alive
    capsule.end(other)  # does not kill us
    assert keeper.alive


def test_a_call_to_a_lab_that_ended_says_so(keeper: capsule.Keeper) -> None:
    capsule.end(keeper)
    with pytest.raises(KernelError, match="the lab ended"):
        join.call(keeper, os.getpid)


def test_who_is_killed_in_a_lab_that_stands_does_not_say_that_the_lab_ended(
    keeper: capsule.Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "_PATIENCE_S", 0.1)
    with pytest.raises(KernelError, match=r"^what worked inside the lab was killed \(exit 137\); the lab stands$"):
        join.call(keeper, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_call_is_ended_by_us_alone_and_what_it_runs_by_sigterm_too(keeper: capsule.Keeper) -> None:
    def terminated() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return subprocess.run(["sh", "-c", "kill -TERM $$"], check=False).returncode

    assert join.call(keeper, terminated) == -signal.SIGTERM


def test_names_of_the_host_do_not_resolve_inside(inside: Inside) -> None:
    assert inside(Path("/etc/hosts").read_text) == "127.0.0.1 localhost\n"
    assert inside(Path("/etc/resolv.conf").read_text) == ""
