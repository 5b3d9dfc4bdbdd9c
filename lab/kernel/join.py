"""Going into a capsule: for one function of ours, or for a program on our terminal.

Only a child of a process that joined is in the capsule's PID namespace, and so ends with the keeper: whoever goes in
forks first.
"""

from __future__ import annotations

import errno
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
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from lab.errors import KernelError, LabError
from lab.kernel import netns, syscalls
from lab.kernel.capsule import SPACES, Keeper, current
from lab.kernel.fork import EX_TEMPFAIL, die_with, fork, wait

T = TypeVar("T")

_STANDS = "`invoke lab.list` shows what stands"
_EX_SOFTWARE = 70  # sysexits.h
_END = signal.SIGUSR1
"""Tells a watcher to end its child. Nobody else sends it: SIGTERM comes to a whole group, as of timeout(1)."""
_NOT_OURS = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGTERM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""What a terminal, or a whole group, tells a watcher's child as well."""
_PATIENCE_S = 5.0  # for a keeper to end whose children are killed already


class GoneError(KernelError):
    """The lab ended, and with it whoever worked inside."""


class Call(Generic[T]):
    """A function of ours at work in a child inside a capsule, in its own network namespace.

    SIGTERM does not end it: where a whole group gets it, we have got it, too, and see to the child's end.
    """

    def __init__(self, keeper: Keeper, function: Callable[[], T]) -> None:
        """Begin; `result` has what it returns."""
        self._keeper = keeper
        self._pipe, write = os.pipe()
        try:
            self._watcher = _fork_inside(
                keeper, lambda: _answer(function, write), lambda error: _send((False, error), write), deaf=True
            )
        finally:
            os.close(write)
        self._raw: bytes | None = None
        self._status = 0

    def result(self) -> T:
        """Wait for the (pickled) result; what the function raised is raised here.

        Raises `GoneError` if it was killed with the lab, `KernelError` if it was killed alone.
        """
        if self._raw is None:
            with _signals_noticed() as noticed:
                while self._pipe not in select.select([self._pipe, noticed], [], [])[0]:
                    os.read(noticed, 1)
            with os.fdopen(os.dup(self._pipe), "rb") as pipe:
                raw = pipe.read()
            self._end(raw)
        if not self._raw:
            if not _ended(self._keeper):
                raise KernelError(f"what worked inside the lab was killed (exit {self._status}); the lab stands")
            raise GoneError(f"the lab ended while it was asked (exit {self._status})", hint=_STANDS)
        succeeded, result = pickle.loads(self._raw)  # noqa: S301 - our own child wrote it
        if not succeeded:
            raise result
        return cast("T", result)

    def over(self, timeout_s: float) -> bool:
        """Wait for its end, at most so many seconds, and return whether it has come."""
        return self._raw is not None or bool(select.select([self._pipe], [], [], timeout_s)[0])

    def kill(self) -> None:
        """End it, and return when it has; what goes on in there must not go on behind our back."""
        if self._raw is None:
            os.kill(self._watcher, _END)
            self._end(b"")

    def _end(self, raw: bytes) -> None:
        self._raw = raw
        os.close(self._pipe)
        self._status = wait(self._watcher)


@contextmanager
def _signals_noticed() -> Iterator[int]:
    """Give a descriptor that any signal makes readable.

    Python runs a signal's handler when a system call returns; a signal that comes just before one does not end it.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before: int | None = None
    try:
        with suppress(ValueError):  # in a thread that is not the main one, to which no signal comes
            before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        yield read
    finally:
        if before is not None:
            signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def _ended(keeper: Keeper) -> bool:
    """Return whether a keeper has ended or is about to: its children are killed first."""
    fd = keeper.pidfd()
    if fd is None:
        return True
    try:
        return bool(select.select([fd], [], [], _PATIENCE_S)[0])
    finally:
        os.close(fd)


def call(keeper: Keeper, function: Callable[[], T]) -> T:
    """Run `function` in a child inside the capsule, in its own network namespace, and return its (pickled) result.

    What it raises is raised here. Raises `KernelError` if the keeper is gone or ends meanwhile.
    """
    running = Call(keeper, function)
    try:
        return running.result()
    except BaseException:
        running.kill()  # if we were interrupted
        raise


def execute(keeper: Keeper, argv: Sequence[str], env: Mapping[str, str], *, enter: Callable[[], None]) -> int:
    """Run a program inside the capsule on our terminal, after `enter` (to a namespace), and return its exit status.

    The status is 128 + the number of the signal that killed it, 127 when there is no such program, as sh(1) says it.
    Signals from the terminal are the program's: this process waits for its end, and takes the terminal back.
    """
    folder = "/"
    with suppress(OSError):  # it may have been removed
        folder = os.getcwd()

    def become() -> None:
        try:
            enter()
        except KernelError as error:
            _tell(f"error: {error}")
            os._exit(EX_TEMPFAIL)
        with suppress(OSError):  # joining put us at "/"; where the caller stood may be hidden in here
            os.chdir(folder)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTTOU, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        program = shutil.which(argv[0], path=env.get("PATH"))
        if program is None:
            _tell(f"{argv[0]}: no such program on this machine")
            os._exit(127)
        os.execve(program, list(argv), dict(env))  # noqa: S606 - an argument list, no shell

    with _terminal_lent():
        return wait(_fork_inside(keeper, become, lambda error: _tell(f"error: {error}")))


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


def _tell(text: str) -> None:
    os.write(2, f"{text}\n".encode(errors="replace"))


def _answer(function: Callable[[], object], write: int) -> None:
    try:
        result: tuple[bool, object] = (True, function())
    except Exception as error:  # noqa: BLE001 - the caller's process raises it again
        if not isinstance(error, LabError):
            error.add_note("in the capsule:\n" + traceback.format_exc())
        result = (False, error)
    _send(result, write)


def _send(result: tuple[bool, object], write: int) -> None:
    raw = memoryview(pickle.dumps(result))
    while raw:
        raw = raw[os.write(write, raw) :]


def _fork_inside(
    keeper: Keeper, function: Callable[[], None], refused: Callable[[KernelError], None], *, deaf: bool = False
) -> int:
    """Fork a child that runs `function` inside the capsule, and a watcher between; return the watcher's PID.

    Only a child of a process that joined is in the PID namespace. It dies with the keeper (by that namespace) and with
    the watcher, the watcher with us. A watcher that cannot join tells `refused` why, and ends. `deaf`: the child does
    not heed SIGTERM, but the programs that it runs do.
    """
    us = os.pidfd_open(os.getpid())
    sys.stdout.flush()
    sys.stderr.flush()
    watcher = fork()
    if watcher:
        os.close(us)
        return watcher
    try:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {_END, *_NOT_OURS})  # until they are seen to
        try:
            _join(keeper)
            die_with(us, _END)
            watched = os.pidfd_open(os.getpid())
            inner = fork()
        except OSError as error:
            refused(_why_not_inside(error))
            os._exit(EX_TEMPFAIL)
        if inner == 0:
            die_with(watched, signal.SIGKILL)
            if deaf:
                signal.signal(signal.SIGTERM, lambda _number, _frame: None)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            function()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
        _see_to_its_end(inner)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os._exit(wait(inner))
    except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
        traceback.print_exc()
    finally:
        os._exit(_EX_SOFTWARE)  # even if standard error is closed


def _join(keeper: Keeper) -> None:
    """Enter the keeper's namespaces; children are then in its PID namespace.

    Whoever is inside already may still have mounts of its own (`be_at`), in which a new network namespace would not
    be seen by the others; only the user namespace cannot be entered twice.
    """
    pidfd = keeper.pidfd()
    if pidfd is None:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    syscalls.setns(pidfd, SPACES | (syscalls.CLONE_NEWUSER if os.geteuid() and not current() else 0))
    os.close(pidfd)
    if os.geteuid():
        syscalls.keep_capabilities()


def _why_not_inside(error: OSError) -> KernelError:
    if error.errno in (errno.ESRCH, errno.ENOMEM):  # ENOMEM: fork(2) in a PID namespace whose first process has ended
        return KernelError("the lab ended before it could be entered", hint=_STANDS)
    return KernelError(f"the lab cannot be entered: {error}")


def _see_to_its_end(inner: int) -> None:
    """Let nothing but the child's end be ours: as long as it is not waited for, its PID namespace cannot end.

    So Ctrl-Z is not for us either: the child stops, and so does the command, by which its shell knows. Nor is a SIGTERM
    that the whole group gets: the child has got it, too, and if it takes its time to clean up, that is its own affair.
    """
    child = os.pidfd_open(inner)

    def hand_on(_number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(child, signal.SIGKILL)

    for number in _NOT_OURS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(_END, hand_on)


@contextmanager
def _terminal_lent() -> Iterator[None]:
    """Leave the terminal and its signals to a child, and take them back as they were, even if it was killed.

    It is only taken back by a job in the foreground: from the background it would be taken from the shell that we were
    started in, which then reads an end of file and exits. SIGCONT tells of `fg` and `bg`.
    """
    in_front = False
    modes: list[Any] | None = None

    def look(*_: object) -> None:
        nonlocal in_front, modes
        with suppress(OSError, termios.error):  # not a terminal, or not ours
            in_front = os.tcgetpgrp(0) == os.getpgrp()
            if in_front and modes is None:
                modes = termios.tcgetattr(0)

    handlers = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTTOU)
    }
    handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, look)
    look()
    try:
        yield
    finally:
        if in_front and modes is not None:
            with suppress(OSError, termios.error):  # the terminal itself may be gone
                os.tcsetpgrp(0, os.getpgrp())
                termios.tcsetattr(0, termios.TCSADRAIN, modes)
        for number, handler in handlers.items():
            signal.signal(number, handler)
