"""Try things in throw-away namespaces, made as those of a lab are: nothing of it touches the machine or stays."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.kernel import links, netlink, syscalls

USER = "user namespaces"
SPACES = "network, mount and PID namespaces"
CAPABILITIES = "capabilities inside them"
PROC = "a fresh /proc"
SYS = "a fresh /sys"

_PR_SET_DUMPABLE = 4
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
_DEADLINE_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a trial went: what was seen, or the kernel's (or a tool's) refusal."""

    worked: bool
    text: str


Trials = Mapping[str, Callable[[], str]]
"""What to try, by name: each returns what it saw, or raises `OSError` or `LabError`."""


def attempt(trials: Trials, *, uid: int | None = None) -> dict[str, Outcome]:
    """Make namespaces and run the `trials` inside, in order; return the outcome of each, and of the namespaces' making.

    `uid`: be this user first (only root can). What comes after a refusal of the namespaces is not tried, and not in the
    answer. The names of the making are the constants above; USER is only among them for a user other than root.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            _outside(trials, uid, write)
        finally:
            os._exit(0)
    os.close(write)
    try:
        lines = _read(read)
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {name: Outcome(worked=worked, text=text) for name, worked, text in map(json.loads, lines)}


def _read(fd: int) -> list[bytes]:
    """Return the lines that come until the other end closes, or stays silent for too long."""
    raw = b""
    while select.select([fd], [], [], _DEADLINE_S)[0] and (data := os.read(fd, 65536)):
        raw += data
    return raw.splitlines()


def _try(write: int, name: str, trial: Callable[[], str]) -> bool:
    try:
        worked, text = True, trial()
    except LabError as error:
        worked, text = False, error.message
    except OSError as error:
        worked, text = False, f"{error.filename or name}: {error.strerror}"
    os.write(write, json.dumps([name, worked, text]).encode() + b"\n")
    return worked


def _outside(trials: Trials, uid: int | None, write: int) -> None:
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        syscalls.prctl(_PR_SET_DUMPABLE, 1)  # or /proc/self/uid_map stays root's (proc_pid(5))
    if os.geteuid() and not _try(write, USER, _own_user_namespace):
        return
    if not _try(write, SPACES, _own_spaces):
        return
    child = os.fork()
    if child == 0:  # PID 1 of the new PID namespace: what the trials start ends with it
        try:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            _inside(trials, write)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _inside(trials: Trials, write: int) -> None:
    making = {CAPABILITIES: _use_capabilities, PROC: _fresh_proc, SYS: _fresh_sys}
    if not all(_try(write, name, trial) for name, trial in making.items()):
        return
    for name, trial in trials.items():
        _try(write, name, trial)


def _own_user_namespace() -> str:
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{file}").write_text(text, encoding="ascii")
    return "made"


def _own_spaces() -> str:
    spaces = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWPID
    syscalls.unshare(spaces | syscalls.CLONE_NEWNET)
    return "made"


def _use_capabilities() -> str:
    """Mount something and bring a link up: where AppArmor restricts, the namespaces are there and the rights void."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", "/run", "tmpfs", _QUIET)  # keeps iptables' lock file off the machine's /run, too
    os.mkdir("/run/netns")
    with netlink.Channel() as channel:
        netlink.check(channel, [links.up(links.LOOPBACK)], "bring lo up")
    if os.geteuid():
        syscalls.keep_capabilities()
    return "they work: mounted a tmpfs, brought a link up"


def _fresh_proc() -> str:
    syscalls.mount("proc", "/proc", "proc", _QUIET)
    return "mounted"


def _fresh_sys() -> str:
    syscalls.mount("sysfs", "/sys", "sysfs", _QUIET)
    return "mounted"
