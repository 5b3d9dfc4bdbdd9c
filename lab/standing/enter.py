"""Programs of the user's own inside a lab: one command, or a shell whose prompt names the place."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from lab.kernel import capsule, join
from lab.kernel.command import Command, Done, run_all, search_path
from lab.parse import target as targets
from lab.standing.session import Standing

BASH = "/bin/bash"


def execute(lab: Standing, place: str, command: str) -> int:
    """Run `command` with sh(1) in the node, pod or client `place` and return its exit status.

    Raises `TopologyError` if there is no such place.
    """
    return _run(lab, place, ["sh", "-c", command], {})


def shell(lab: Standing, place: str) -> int:
    """Open an interactive shell in `place`, or, when that is "", in the capsule, where ip-netns(8) sees them all.

    Returns the shell's exit status; raises `TopologyError` if there is no such place.
    """
    prompt = f"{lab.name}:{place}" if place else lab.name
    if not Path(BASH).exists():
        return _run(lab, place, ["sh", "-i"], {"PS1": f"{prompt}$ "})
    rc = os.memfd_create("bashrc", 0)  # a file that needs no place to be and nobody to remove it
    own = "[ -r ~/.bashrc ] && . ~/.bashrc\n" if "HOME" in os.environ else ""
    os.write(rc, f"{own}unset PROMPT_COMMAND\nPS1={shlex.quote(prompt)}':\\w\\$ '\nexec {rc}<&-\n".encode())
    try:
        return _run(lab, place, [BASH, "--rcfile", f"/proc/self/fd/{rc}", "-i"], {})
    finally:
        os.close(rc)


def output(lab: Standing, place: str, command: str, *, stdin: str = "", timeout_s: float = 60.0) -> Done:
    """Run `command` as `execute` does, give it `stdin` to read, and return its exit status and what it printed.

    What it leaves in the background stays until the lab ends. Raises `TopologyError` if there is no such place,
    `KernelError` if it has not come to its end after `timeout_s` seconds; then it is killed with all that it started.
    """
    enter = _way_in(lab, place)
    wanted = Command(argv=("sh", "-c", command), stdin=stdin, env=environment(lab), group=True)

    def inside() -> Done:
        enter()
        return run_all([wanted], timeout_s=timeout_s)[0]

    return lab.call(inside)


def _run(lab: Standing, place: str, argv: list[str], extra: dict[str, str]) -> int:
    env = {**os.environ, **environment(lab), **extra}
    return join.execute(lab.record.keeper, argv, env, enter=_way_in(lab, place))


def _way_in(lab: Standing, place: str) -> Callable[[], None]:
    """Return what puts a process of the capsule in `place`; nothing is to be done for ""."""
    where = targets.target(lab.cluster, place) if place else None

    def enter() -> None:
        if where is not None:
            join.be_at(where.netns, hostname=where.name, hosts=_hosts(where.namespace))

    return enter


def environment(lab: Standing) -> dict[str, str]:
    """Return what programs in a lab find: an administrator's tools, and Hairpin's own commands, which mean this lab."""
    return {"PATH": f"{search_path()}{os.pathsep}{Path(sys.executable).parent}", "HAIRPIN_LAB": lab.name}


def _hosts(namespace: str) -> Path | None:
    """Return the file of names as a pod of another Kubernetes namespace than `default` sees them."""
    return None if namespace in ("", "default") else capsule.FOLDER / f"hosts.{namespace}"
