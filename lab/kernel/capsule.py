"""A capsule: the namespaces that one lab lives in, held by its keeper, PID 1 of its own PID namespace.

Killing the keeper makes the kernel end every process, mount and network namespace inside (pid_namespaces(7)). Whoever
joins therefore forks into the PID namespace first. A caller who is not root gets a user namespace of its own, in which
its own uid keeps all capabilities (user_namespaces(7)): uid 0 is not mapped, since programs that drop privileges then
fail (tcpdump does).
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lab.errors import HostError, KernelError
from lab.kernel import netns, syscalls
from lab.kernel.fork import HANDLED, fork

FOLDER = Path("/run/hairpin")
"""Where a capsule keeps what is Hairpin's own; seen inside alone."""

MARK = FOLDER / "capsule"
"""This file holds the lab's name."""

SPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET
)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeper:
    """A keeper's identity: a PID alone may be another process by now.

    `start`: clock ticks from boot to its start (proc_pid_stat(5), field 22); `boot`: the boot that it belongs to.
    """

    pid: int
    start: int
    boot: str

    def pidfd(self) -> int | None:
        """Return a pidfd of the keeper (the caller closes it), or None if it is gone."""
        try:
            fd = os.pidfd_open(self.pid)
        except (OSError, OverflowError):
            return None
        if identify(self.pid) == self:  # read after the pidfd was taken: it cannot change hands any more
            return fd
        os.close(fd)
        return None

    @property
    def alive(self) -> bool:
        """Whether the keeper still runs."""
        fd = self.pidfd()
        if fd is None:
            return False
        os.close(fd)
        return True


def identify(pid: int) -> Keeper | None:
    """Return the identity of the process `pid`, or None if there is none or it has ended."""
    try:
        # The command's name stands in parentheses and may hold anything: fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return Keeper(pid=pid, start=int(fields[19]), boot=_BOOT_ID.read_text(encoding="ascii").strip())


def current() -> str:
    """Return the name of the lab whose capsule this process is in, or "" outside."""
    try:
        return MARK.read_text(encoding="utf-8")
    except OSError:
        return ""


def spawn(argv: Sequence[str], *, name: str, keep: Path, log: int, fds: Sequence[int], env: dict[str, str]) -> Keeper:
    """Start `argv` as the keeper of a new capsule called `name`, and return when its file systems stand.

    `keep` is the one folder that stays visible if it lies under /run; `log` becomes standard output and error, and
    `fds` stay open. Raises `HostError` if the machine does not let us make the namespaces.
    """
    report_read, report_write = os.pipe()
    launcher = fork()
    if launcher == 0:
        os.close(report_read)
        _ends(report_write, lambda: _launch(argv, name, keep, log, (*fds,), env, report_write))
    os.close(report_write)
    pid, refusal = _read_report(report_read)
    os.waitpid(launcher, 0)
    if refusal is not None:
        raise HostError(
            f"this machine refuses the namespaces of a lab: {refusal}",
            hint="`invoke lab.doctor` tries each one and says what is missing",
        )
    keeper = identify(pid)
    if keeper is None:
        raise KernelError("the keeper ended at once", hint="its last words are in the log: `invoke lab.logs`")
    return keeper


def _read_report(fd: int) -> tuple[int, object]:
    """Return the keeper's PID, and what went wrong (None when nothing did), from the launcher's pipe."""
    with os.fdopen(fd, "rb") as report:
        raw = report.read()
    pid, refusal = 0, None
    for line in raw.splitlines():
        word, _, rest = line.decode().partition(" ")
        if word == "pid":
            pid = int(rest)
        elif word == "refused":
            refusal = rest
    return pid, refusal


def _ends(report: int, function: Callable[[], None]) -> NoReturn:
    """Run `function` in a forked child and leave without the parent's clean-ups; a refusal is written to `report`."""
    status = 1
    try:
        function()
        status = 0
    except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
        os.write(report, f"refused {error}\n".replace("\n", " ").encode() + b"\n")
    finally:
        os._exit(status)  # even if the report has no reader any more


def _launch(
    argv: Sequence[str], name: str, keep: Path, log: int, fds: tuple[int, ...], env: dict[str, str], report: int
) -> None:
    os.setsid()  # a Ctrl-C in the caller's terminal is not for the keeper
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(SPACES | (syscalls.CLONE_NEWUSER if uid else 0))
    if uid:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    pid = fork()
    if pid:
        os.write(report, f"pid {pid}\n".encode())
        return
    _ends(report, lambda: _become(argv, name, keep, log, fds, env))


def _become(argv: Sequence[str], name: str, keep: Path, log: int, fds: tuple[int, ...], env: dict[str, str]) -> None:
    """Lay out the capsule's file systems and become the keeper; the report pipe closes by itself when that succeeds."""
    _mount(keep)
    MARK.write_text(name, encoding="utf-8")
    syscalls.sethostname(name)
    if os.geteuid():
        syscalls.keep_capabilities()
    null = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((null, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    kept = {0, 1, 2, *fds}
    for fd in map(int, os.listdir("/proc/self/fd")):  # what our caller left open must not stay so as long as the lab
        with suppress(OSError):  # the one that listed them
            os.set_inheritable(fd, fd in kept)
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)  # our caller may have let them wait
    os.execve(argv[0], list(argv), env)  # noqa: S606 - an argument list, no shell


def _mount(keep: Path) -> None:
    """Give the capsule its own /run, /proc and /sys, and names that nobody outside resolves."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    keep = Path(os.path.realpath(keep))  # /var/run is /run
    kept = os.open(keep, os.O_PATH | os.O_DIRECTORY)
    files = {
        real: text
        for etc, text in (("/etc/hosts", "127.0.0.1 localhost\n"), ("/etc/resolv.conf", ""))
        if os.path.exists(real := os.path.realpath(etc))
    }
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", "/run", "tmpfs", quiet, "mode=0755")
    for folder in (netns.FOLDER, str(FOLDER)):
        os.mkdir(folder)
    if keep.is_relative_to("/run"):
        os.makedirs(keep, mode=0o700)
        syscalls.mount(f"/proc/self/fd/{kept}", str(keep), flags=syscalls.MS_BIND)
    os.close(kept)
    syscalls.mount("proc", "/proc", "proc", quiet | syscalls.MS_NOEXEC)
    syscalls.mount("sysfs", "/sys", "sysfs", quiet | syscalls.MS_NOEXEC)
    for real, text in files.items():
        _replace(Path(real), text)


def _replace(real: Path, text: str) -> None:
    """Let a file of the host read as `text` in here; a name that resolves would be a packet to the host's network."""
    if real.is_relative_to("/run"):  # systemd-resolved keeps resolv.conf there, which our own /run hides
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, encoding="ascii")
        return
    ours = FOLDER / real.name
    ours.write_text(text, encoding="ascii")
    syscalls.mount(str(ours), str(real), flags=syscalls.MS_BIND)


def end(keeper: Keeper, timeout_s: float = 10.0) -> None:
    """Kill the keeper, and with it everything in its capsule; return when it is gone (at once if it was).

    Raises `KernelError` if it does not go within `timeout_s` seconds.
    """
    fd = keeper.pidfd()
    if fd is None:
        return
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        if not select.select([fd], [], [], timeout_s)[0]:  # a pidfd is readable when its process has ended
            raise KernelError(
                f"the keeper (PID {keeper.pid}) does not end", hint=f"look at: ps -o pid,stat,wchan {keeper.pid}"
            )
    finally:
        os.close(fd)
