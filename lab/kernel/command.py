"""The only door to other programs: argument lists, a deadline, and an explicit network namespace; never a shell."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from lab.errors import HostError, KernelError
from lab.kernel import netns as namespaces


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A program to run: `netns` None stays in the caller's namespace, "" is the capsule's own; `env` adds to ours.

    `group`: it has a process group of its own, which ends with it if it outlives its deadline.
    """

    argv: tuple[str, ...]
    netns: str | None = None
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    group: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A program's end: its exit status (minus the signal's number when one killed it) and what it printed."""

    command: Command
    status: int
    stdout: str
    stderr: str


class _Running:
    """A started program. It reads and writes memory files, so none waits for us to read or write a pipe."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.files = [os.fdopen(os.memfd_create(name), "w+b") for name in ("stdin", "stdout", "stderr")]
        self.files[0].write(command.stdin.encode())
        self.files[0].seek(0)
        with nullcontext() if command.netns is None else namespaces.inside(command.netns):
            self.process = _start(command, [file.fileno() for file in self.files])

    def done(self, deadline: float) -> Done:
        """Wait for its end; `KernelError` after `deadline` (time.monotonic() seconds)."""
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise KernelError(
                f"{_where(self.command)}: still running after its deadline, and was killed", hint=_try_it(self.command)
            ) from None
        return Done(command=self.command, status=status, stdout=self._text(1), stderr=self._text(2))

    def _text(self, number: int) -> str:
        self.files[number].seek(0)
        return self.files[number].read().decode(errors="replace")

    def close(self) -> None:
        """Leave nothing running and nothing open."""
        if self.process.poll() is None:
            if self.command.group:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait()
        for file in self.files:
            file.close()


def search_path() -> str:
    """Return $PATH with the folders of an administrator's tools, which an ordinary user's lacks on Debian."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    return os.pathsep.join(dict.fromkeys(filter(None, folders)))


def _start(command: Command, fds: Sequence[int]) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PATH": search_path(), **command.env}
    program = shutil.which(command.argv[0], path=env["PATH"])
    if program is None:
        raise HostError(
            f"{command.argv[0]}: not found on this machine", hint="`invoke lab.doctor` says what installs it"
        )
    return subprocess.Popen(  # noqa: S603 - no shell
        command.argv,
        executable=program,
        stdin=fds[0],
        stdout=fds[1],
        stderr=fds[2],
        env=env,
        process_group=0 if command.group else None,
    )


def run_all(commands: Sequence[Command], *, timeout_s: float = 5.0) -> list[Done]:
    """Run programs side by side and return their ends, in order.

    Raises `HostError` if a program is missing, `KernelError` if one is still running after `timeout_s` seconds; no
    program outlives the call.
    """
    deadline = time.monotonic() + timeout_s
    running: list[_Running] = []
    try:
        for command in commands:
            running.append(_Running(command))  # noqa: PERF401 - what was started must be known when the next one fails
        return [program.done(deadline) for program in running]
    finally:
        for program in running:
            program.close()


def run(
    argv: Sequence[str],
    *,
    netns: str | None = None,
    stdin: str = "",
    timeout_s: float = 5.0,
) -> Done:
    """Run one program to its end; see `run_all`."""
    return run_all([Command(argv=tuple(argv), netns=netns, stdin=stdin)], timeout_s=timeout_s)[0]


def check_all(commands: Sequence[Command], *, timeout_s: float = 5.0) -> list[Done]:
    """As `run_all`, and every program must end with status 0: `KernelError` names each that did not."""
    ends = run_all(commands, timeout_s=timeout_s)
    failed = [end for end in ends if end.status]
    if failed:
        texts = [
            f"{_where(end.command)}: exit {end.status}: {end.stderr.strip() or end.stdout.strip()}" for end in failed
        ]
        raise KernelError("\n".join(texts), hint=_try_it(failed[0].command))
    return ends


def check(argv: Sequence[str], *, netns: str | None = None, stdin: str = "", timeout_s: float = 5.0) -> str:
    """Run one program, which must end with status 0, and return its standard output; see `check_all`."""
    return check_all([Command(argv=tuple(argv), netns=netns, stdin=stdin)], timeout_s=timeout_s)[0].stdout


def _where(command: Command) -> str:
    place = f"in {command.netns}: " if command.netns else ""
    return place + shlex.join(command.argv)


def _try_it(command: Command) -> str:
    if command.netns:
        return f"try it in `lab.shell`: ip netns exec {command.netns} {shlex.join(command.argv)}"
    return f"try it: {shlex.join(command.argv)}"
