"""Labs come and go: what ends a lab, or the building of one, leaves nothing, and the host never notices."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.kernel import syscalls

from .conftest import ROOT, Invoke, invocation
from .interrupted import PR_SET_CHILD_SUBREAPER, children

DEADLINE_S = 20
TMP = Path("/tmp")  # noqa: S108 - to see what we leave there
MOMENTS = 12
"""How many random moments of a building are tried; the seed is in the test's name, so a failure can be repeated."""

ALL_LINES_S = 120
LINES = 100
"""So many lines at least make a lab and end it; each is interrupted once."""


def _output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout if shutil.which(argv[0]) else ""


SPACES = ("net", "mnt", "pid", "user", "uts", "ipc")


def namespaces_in_use() -> set[str]:
    """Return the namespaces, as `net:[4026531840]`, of every process that we may look at."""
    found: set[str] = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.update(os.readlink(entry / "ns" / space) for space in SPACES)
    return found


def namespaces_of(keeper_pid: int) -> set[str]:
    """Return the namespaces that a lab consists of: those of its keeper, and those under its /run/netns."""
    keeper = Path(f"/proc/{keeper_pid}")
    own = {os.readlink(keeper / "ns" / space) for space in SPACES} - {
        os.readlink(f"/proc/self/ns/{space}") for space in SPACES
    }
    return own | {f"net:[{entry.stat().st_ino}]" for entry in (keeper / "root/run/netns").iterdir()}


def _sysctls() -> dict[str, str]:
    """Return the network's sysctls, but for the one that counts."""
    values = {}
    for key in Path("/proc/sys/net").rglob("*"):
        if key.is_file() and key.name != "nf_conntrack_count" and os.access(key, os.R_OK):
            try:
                values[str(key)] = key.read_text()
            except OSError:
                continue
    return values


def _neighbours() -> list[tuple[str, str, str]]:
    """Return who is known where and by which MAC; how fresh that is changes with the host's own packets."""
    entries = json.loads(_output("ip", "-json", "neighbour") or "[]")
    return sorted((one["dst"], one["dev"], one["lladdr"]) for one in entries if "lladdr" in one)


def _legacy() -> list[str]:
    """Return the rules of the legacy tables that are there; asking for another would make it."""
    names = Path("/proc/net/ip_tables_names")
    tables = names.read_text().split() if os.access(names, os.R_OK) else []
    dumps = "".join(_output("iptables-legacy-save", "-t", table) for table in sorted(tables))
    return [*sorted(tables), *(line for line in dumps.splitlines() if line.startswith("-A"))]


def snapshot(state: Path) -> dict[str, object]:
    """Return all of the host that a lab could have touched."""
    return {
        "links": _output("ip", "-json", "link"),
        "addresses": _output("ip", "-json", "address"),
        "routes": _output("ip", "route", "show", "table", "all"),
        "neighbours": _neighbours(),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "nftables": _output("nft", "list", "ruleset"),
        "legacy": _legacy(),
        "sysctls": _sysctls(),
        "modules": Path("/proc/modules").read_text().count("\n") if Path("/proc/modules").exists() else 0,
        "tmp": sorted(TMP.glob("hairpin-*")),
        "state": sorted(str(entry) for entry in state.rglob("*")),
        "git": _output("git", "-C", str(ROOT), "status", "--porcelain"),
    }


@pytest.fixture
def orphans() -> Iterator[None]:
    """Make every process that loses its parent ours, so that its end can be waited for."""
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 0)


def _wait_for_all_children() -> None:
    """Wait until no process that came from this test is left; fails at the deadline, with the ones that stay."""
    deadline = time.monotonic() + DEADLINE_S
    while pids := children():
        fds = {os.pidfd_open(pid): pid for pid in pids}
        ended = select.select(list(fds), [], [], max(0.0, deadline - time.monotonic()))[0]
        for fd, pid in fds.items():
            os.close(fd)
            if fd in ended:
                os.waitpid(pid, 0)
        assert ended, f"still there: {[Path(f'/proc/{pid}/cmdline').read_text() for pid in pids]}"


@pytest.mark.alone
def test_a_lab_that_came_and_went_leaves_the_host_as_it_was(invoke: Invoke, runtime: Path) -> None:
    before = snapshot(runtime)
    up = json.loads(invoke("lab.up", "nodeport", "--json").stdout)
    assert invoke("lab.check").returncode == 0
    assert "\nSigBlk:\t0000000000000000\n" in Path(f"/proc/{up['keeper_pid']}/status").read_text()  # SIGTERM ends it
    standing, spaces = snapshot(runtime), namespaces_of(up["keeper_pid"])
    assert len(spaces) >= 5 + 8  # the capsule's own; router, three nodes, client, three pods
    assert invoke("lab.down").returncode == 0
    assert snapshot(runtime) == before
    assert not spaces & namespaces_in_use()
    assert standing["state"] != before["state"]
    unchanged = ("links", "addresses", "routes", "neighbours", "mounts", "nftables", "legacy", "sysctls", "modules")
    assert {part: standing[part] for part in unchanged} == {part: before[part] for part in unchanged}


@pytest.mark.alone
@pytest.mark.usefixtures("orphans")
def test_a_killed_keeper_takes_everything_with_it(invoke: Invoke, runtime: Path) -> None:
    before = snapshot(runtime)
    up = json.loads(invoke("lab.up", "clusterip", "--json").stdout)
    with subprocess.Popen(
        invocation("lab.exec", "client-a", "echo in; exec sleep 1000"), stdout=subprocess.PIPE
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"in\n"
        spaces = namespaces_of(up["keeper_pid"])
        os.kill(up["keeper_pid"], signal.SIGKILL)
        assert command.wait(DEADLINE_S) == 128 + signal.SIGKILL
    _wait_for_all_children()
    assert not spaces & namespaces_in_use()
    assert invoke("lab.list").stdout.startswith("no lab stands")  # and removes the folder that went stale
    assert snapshot(runtime) == before


@pytest.mark.alone
@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("seed", [1])
def test_a_building_killed_at_any_moment_leaves_nothing(invoke: Invoke, runtime: Path, seed: int) -> None:
    begun = time.monotonic()
    subprocess.run(invocation("lab.up", "clusterip"), stdout=subprocess.DEVNULL, check=True)
    duration_s = time.monotonic() - begun
    invoke("lab.down")
    _wait_for_all_children()
    before = snapshot(runtime)
    moments = random.Random(seed)  # noqa: S311 - no secret
    finished = 0
    for _ in range(MOMENTS):
        builder = subprocess.Popen(
            invocation("lab.up", "clusterip"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        after_s = moments.uniform(0.05, duration_s)
        fd = os.pidfd_open(builder.pid)
        select.select([fd], [], [], after_s)  # the moment, or the end if that comes first
        os.close(fd)
        builder.kill()
        builder.wait()
        labs = json.loads(invoke("lab.list", "--json").stdout)
        finished += len(labs)
        if labs:  # it was told to stand on its own just before
            assert invoke("lab.down").returncode == 0
        _wait_for_all_children()
        invoke("lab.list")
        assert snapshot(runtime) == before
    assert finished < MOMENTS, "every building was over before its moment came: nothing was tested"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_building_says_so_and_leaves_nothing(
    runtime: Path, tmp_path: Path, number: signal.Signals
) -> None:
    large = tmp_path / "large.yaml"
    text = (ROOT / "topologies/clusterip/lab.yaml").read_text()
    large.write_text(text.replace("replicas: 2", "replicas: 200"))
    with subprocess.Popen(invocation("lab.up", str(large)), stderr=subprocess.PIPE, text=True) as builder:
        deadline = time.monotonic() + DEADLINE_S
        while not list(runtime.glob("hairpin/clusterip/log")):  # the keeper's log is opened: the building has begun
            assert time.monotonic() < deadline
            assert builder.poll() is None
        builder.send_signal(number)
        assert builder.stderr is not None
        assert builder.stderr.read().splitlines() == ["interrupted"]
    assert builder.returncode == 128 + number
    assert list(runtime.iterdir()) == []


def test_a_lab_that_passes_leaves_nothing_when_any_line_is_interrupted(runtime: Path) -> None:
    argv = [sys.executable, "-m", "tests.kernel.interrupted"]
    tried = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=ALL_LINES_S)
    assert (tried.stderr, tried.returncode) == ("", 0), tried.stdout
    *wrong, lines = tried.stdout.splitlines()
    assert wrong == []
    assert int(lines) > LINES
    assert list(runtime.iterdir()) == []


def test_two_labs_with_the_same_addresses_stand_side_by_side(invoke: Invoke) -> None:
    for name in ("one", "two"):
        assert invoke("lab.up", "clusterip", "--lab", name).returncode == 0
    for name in ("one", "two"):
        assert invoke("lab.curl", "client-a", "svc/web", "--lab", name).returncode == 0
    several = invoke("lab.status")
    assert several.returncode == 2
    assert "several labs stand: one, two" in several.stderr
    assert invoke("lab.down", "--lab", "one").returncode == 0
    assert invoke("lab.curl", "client-a", "svc/web").returncode == 0


def test_building_again_says_so_and_changes_nothing(invoke: Invoke) -> None:
    first = json.loads(invoke("lab.up", "clusterip", "--json").stdout)
    again = invoke("lab.up", "clusterip", "--json")
    assert again.returncode == 0
    assert "stands already" in again.stderr
    second = json.loads(again.stdout)
    assert (first["built"], second["built"]) == (True, False)
    assert first["keeper_pid"] == second["keeper_pid"]


def test_a_stale_folder_whose_pid_was_reused_is_pruned_and_the_process_lives(invoke: Invoke, runtime: Path) -> None:
    assert invoke("lab.up", "clusterip").returncode == 0
    record = runtime / "hairpin" / "clusterip" / "lab.json"
    saved = json.loads(record.read_text())
    assert invoke("lab.down").returncode == 0
    bystander = subprocess.Popen(["sleep", "1000"])
    saved["keeper"]["pid"] = bystander.pid
    record.parent.mkdir(parents=True, mode=0o700)
    record.parent.parent.chmod(0o700)
    record.write_text(json.dumps(saved))
    assert invoke("lab.down", "--lab", "clusterip").returncode == 2
    assert invoke("lab.list").stdout.startswith("no lab stands")
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    assert list(runtime.iterdir()) == []


def test_a_lab_ends_when_its_state_folder_is_removed(invoke: Invoke, runtime: Path) -> None:
    up = json.loads(invoke("lab.up", "clusterip", "--json").stdout)
    fd = os.pidfd_open(up["keeper_pid"])
    shutil.rmtree(runtime / "hairpin")
    assert select.select([fd], [], [], DEADLINE_S)[0]
    os.close(fd)


def test_a_lab_whose_keeper_cannot_be_told_is_not_taken_for_a_stale_one(invoke: Invoke, runtime: Path) -> None:
    assert invoke("lab.up", "clusterip").returncode == 0
    record = runtime / "hairpin" / "clusterip" / "lab.json"
    right = record.read_text()
    saved = json.loads(right)
    saved["keeper"]["pid"] = 2**22 + 1  # nobody's (proc_sys_kernel(5)), as a PID of another namespace is
    record.write_text(json.dumps(saved))
    assert invoke("lab.list").stdout.startswith("no lab stands")
    again = invoke("lab.up", "clusterip")
    assert again.returncode == 2
    assert "its keeper cannot be told from here" in again.stderr
    record.write_text(right)
    assert invoke("lab.curl", "client-a", "svc/web").returncode == 0


def test_the_state_folder_is_the_callers_alone(invoke: Invoke, runtime: Path) -> None:
    assert invoke("lab.up", "clusterip").returncode == 0
    assert [oct((runtime / place).stat().st_mode & 0o777) for place in ("hairpin", "hairpin/clusterip")] == [
        "0o700"
    ] * 2


def test_a_state_folder_that_is_not_ours_is_refused(invoke: Invoke, runtime: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (runtime / "hairpin").symlink_to(elsewhere)
    done = invoke("lab.up", "clusterip")
    assert done.returncode == 2
    assert "expected a folder of your own with mode 0700" in done.stderr
    assert list(elsewhere.iterdir()) == []
