"""A capsule: the namespaces that one lab lives in, held by its keeper, PID 1 of its own PID namespace.

Killing the keeper makes the kernel end every process, mount and network namespace inside (pid_namespaces(7)). Whoever
joins therefore forks into the PID namespace first. A caller who is not root gets a user namespace of its own, in which
its own uid keeps all capabilities (user_namespaces(7)): uid 0 is not mapped, since programs that drop privileges then
fail (tcpdump does).
"""

from __future__ import annotations

import os
import pickle
import select
import shutil
import signal
import sys
import termios
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar, cast

from lab.errors import HostError, KernelError, LabError
from lab.kernel import netns, syscalls

T = TypeVar("T")

MARK = Path("/run/hairpin/capsule")
"""Inside a capsule this file holds the lab's name."""

_SPACES = (
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
        except OSError:
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
    launcher = _fork()
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


def _fork() -> int:
    """Fork; a Ctrl-C meanwhile waits for the parent, and later ones end the child without a word.

    Python's own handler must not run in between: what it raises in a fork's callbacks is lost (`os.register_at_fork`),
    and what it raises in the child would run the parent's clean-ups there.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pid = os.fork()
    if pid == 0 and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


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
    syscalls.unshare(_SPACES | (syscalls.CLONE_NEWUSER if uid else 0))
    if uid:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    pid = _fork()
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
    for fd in fds:
        os.set_inheritable(fd, True)  # noqa: FBT003 - os's own signature
    os.chdir("/")
    os.execve(argv[0], list(argv), env)  # noqa: S606 - an argument list, no shell


def _mount(keep: Path) -> None:
    """Give the capsule its own /run, /proc and /sys, and names that nobody outside resolves."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    kept = os.open(keep, os.O_PATH | os.O_DIRECTORY)
    files = {
        real: text
        for etc, text in (("/etc/hosts", "127.0.0.1 localhost\n"), ("/etc/resolv.conf", ""))
        if os.path.exists(real := os.path.realpath(etc))
    }
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("tmpfs", "/run", "tmpfs", quiet, "mode=0755")
    for folder in (netns.FOLDER, str(MARK.parent)):
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
    ours = MARK.parent / real.name
    ours.write_text(text, encoding="ascii")
    syscalls.mount(str(ours), str(real), flags=syscalls.MS_BIND)


def call(keeper: Keeper, function: Callable[[], T]) -> T:
    """Run `function` in a child inside the capsule, in its own network namespace, and return its (pickled) result.

    What it raises is raised here. Raises `KernelError` if the keeper is gone or ends meanwhile.
    """
    read, write = os.pipe()
    watcher = _fork_inside(keeper, lambda: _answer(function, write), close=read)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    status = _wait(watcher)
    if not raw:
        raise KernelError(
            f"the lab ended while it was asked (exit {status})", hint="`invoke lab.list` shows what stands"
        )
    succeeded, result = pickle.loads(raw)  # noqa: S301 - our own child wrote it
    if not succeeded:
        raise result
    return cast("T", result)


def execute(keeper: Keeper, argv: Sequence[str], env: Mapping[str, str], *, enter: Callable[[], None]) -> int:
    """Run a program inside the capsule on our terminal, after `enter` (to a namespace), and return its exit status.

    The status is 128 + the number of the signal that killed it, 127 when there is no such program, as sh(1) says it.
    Signals from the terminal are the program's: this process waits for its end, and takes the terminal back.
    """
    folder = os.getcwd()

    def become() -> None:
        enter()
        with suppress(OSError):  # joining put us at "/"; where the caller stood may be hidden in here
            os.chdir(folder)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTTOU):
            signal.signal(number, signal.SIG_DFL)
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            os.write(2, f"{argv[0]}: no such program on this machine\n".encode())
            os._exit(127)
        os.execve(program, list(argv), dict(env))  # noqa: S606 - an argument list, no shell

    with _terminal_lent():
        return _wait(_fork_inside(keeper, become))


def be_at(place: str, *, hostname: str, hosts: Path | None = None) -> None:
    """Be in the network namespace `place` as `ip netns exec` would put us: with its /sys, and its own host name.

    `hosts`: the file to read as /etc/hosts, if it is not the capsule's.
    """
    netns.enter(place)
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWUTS)
    syscalls.sethostname(hostname)
    syscalls.mount("sysfs", "/sys", "sysfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    if hosts is not None:
        syscalls.mount(str(hosts), "/etc/hosts", flags=syscalls.MS_BIND)


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


def _answer(function: Callable[[], object], write: int) -> None:
    try:
        result: tuple[bool, object] = (True, function())
    except Exception as error:  # noqa: BLE001 - the caller's process raises it again
        if not isinstance(error, LabError):
            error.add_note("in the capsule:\n" + traceback.format_exc())
        result = (False, error)
    raw = memoryview(pickle.dumps(result))
    while raw:
        raw = raw[os.write(write, raw) :]


def _fork_inside(keeper: Keeper, function: Callable[[], None], *, close: int | None = None) -> int:
    """Fork a child that runs `function` inside the capsule, and a watcher between; return the watcher's PID.

    Only a child of a process that joined is in the PID namespace. It dies with the keeper (by that namespace) and with
    the watcher, the watcher with us.
    """
    us = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    watcher = _fork()
    if watcher:
        return watcher
    try:
        if close is not None:
            os.close(close)
        _join(keeper)
        _die_with(us, signal.SIGTERM)
        watched = os.getpid()
        inner = _fork()
        if inner == 0:
            _die_with(watched, signal.SIGKILL)
            function()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        _see_to_its_end(inner)
        os._exit(_wait(inner))
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
        traceback.print_exc()
    finally:
        os._exit(70)  # EX_SOFTWARE; even if standard error is closed


def _join(keeper: Keeper) -> None:
    """Enter the keeper's namespaces; children are then in its PID namespace. Inside already, there is nothing to do."""
    if current():
        return
    pidfd = keeper.pidfd()
    if pidfd is None:
        os._exit(75)  # EX_TEMPFAIL: the caller finds the pipe empty
    syscalls.setns(pidfd, _SPACES | (syscalls.CLONE_NEWUSER if os.geteuid() else 0))
    os.close(pidfd)
    if os.geteuid():
        syscalls.keep_capabilities()


def _see_to_its_end(inner: int) -> None:
    """Let nothing but the child's end be ours: as long as it is not waited for, its PID namespace cannot end."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(inner, signal.SIGKILL))


def _die_with(parent: int, number: int) -> None:
    """Get the signal `number` when `parent` ends; asked too late, end now."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, number)
    if os.getppid() not in (parent, 0):  # 0: a parent outside of our PID namespace, which lives
        os._exit(75)


def _wait(pid: int) -> int:
    """Wait for a child and return its exit status as sh(1) says it: 128 + the number of the signal that killed it."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


@contextmanager
def _terminal_lent() -> Iterator[None]:
    """Leave the terminal and its signals to a child, and take them back as they were, even if it was killed."""
    handlers = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTTOU)
    }
    modes = termios.tcgetattr(0) if os.isatty(0) else None
    try:
        yield
    finally:
        if modes is not None:
            with suppress(OSError, termios.error):  # the terminal itself may be gone
                os.tcsetpgrp(0, os.getpgrp())
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
        for number, handler in handlers.items():
            signal.signal(number, handler)
