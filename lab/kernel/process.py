"""Programs that run as long as a pod does, each PID 1 of a PID namespace: what it leaves behind goes with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from lab.errors import KernelError
from lab.kernel import syscalls
from lab.kernel.fork import fork
from lab.kernel.join import be_at

_CANNOT_RUN = 126  # as sh(1) says it


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A file to run with `argv` and the whole environment `env`, beginning in `folder`.

    In the network namespace `netns`, called `hostname`; `hosts` is what it reads as /etc/hosts (None: the capsule's).
    """

    path: str
    argv: Sequence[str]
    env: Mapping[str, str]
    folder: str
    netns: str
    hostname: str
    hosts: Path | None = None


def start(program: Program) -> tuple[int, int]:
    """Start a program, as PID 1 of a capsule, and return its PID and a file that its output can be read from.

    It is a child of ours: as its starter ends at once, PID 1 is who waits for it. What prevents its start is the last
    line of its output, and exit status 126. Raises `KernelError` if the namespaces cannot be had.
    """
    output, theirs = os.pipe()
    told, tell = os.pipe()
    launcher = fork()
    if launcher == 0:
        _leave(tell, lambda: _launch(program, theirs, tell))
    for fd in (theirs, tell):
        os.close(fd)
    with os.fdopen(told, "rb") as answer:
        said = answer.readline().decode(errors="replace").strip()
    os.waitpid(launcher, 0)
    if not said.isdigit():
        os.close(output)
        raise KernelError(f"in {program.netns}: {program.argv[0]} cannot be started: {said or 'no word why'}")
    return int(said), output


def end(pid: int) -> int:
    """Kill a program, and all that it started, and return its wait status when it is gone."""
    os.kill(pid, signal.SIGKILL)  # the kernel ends a PID namespace with its first process, and then reports that one
    return os.waitpid(pid, 0)[1]


def _leave(tell: int, function: Callable[[], None]) -> NoReturn:
    """Run `function` in a forked child, and leave without the parent's clean-ups."""
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
        os.write(tell, f"{error}\n".encode(errors="replace"))
    finally:
        os._exit(_CANNOT_RUN)


def _launch(program: Program, output: int, tell: int) -> None:
    be_at(program.netns, hostname=program.hostname, hosts=program.hosts)
    syscalls.unshare(syscalls.CLONE_NEWPID)
    pid = fork()
    if pid == 0:
        _leave(output, lambda: _become(program, output))
    os.write(tell, f"{pid}\n".encode())


def _become(program: Program, output: int) -> None:
    os.setsid()
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for fd in (1, 2):
        os.dup2(output, fd)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.chdir(program.folder)
    os.execve(program.path, list(program.argv), dict(program.env))  # noqa: S606 - an argument list, no shell
