"""What shellcheck says of scripts."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def complaints(scripts: Iterable[Path], *options: str, dialect: str = "") -> str:
    """Return what is wrong with scripts, with file and line; `dialect`: a shell, where their first line names none.

    The package of shellcheck has a binary for one architecture alone; elsewhere the shell's own opinion has to do.
    """
    if platform.machine() == "x86_64":
        named = [f"--shell={dialect}"] if dialect else []
        checker = [str(Path(sys.executable).with_name("shellcheck")), "--format=gcc", *named, *options]
        calls = [[*checker, *map(str, scripts)]]
    else:
        calls = [[dialect or "sh", "-n", str(script)] for script in scripts]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return "".join(subprocess.run(call, check=False, **pipes).stdout for call in calls)  # type: ignore[call-overload]
