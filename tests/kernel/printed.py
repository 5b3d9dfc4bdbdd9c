"""What a command printed: as text, as JSON, or why it was refused."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def ok(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed that had nothing to remark."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def data(done: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    """Return what a command printed as JSON."""
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the message of a command that could not be carried out, without `error: `."""
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("error: ").rstrip("\n")
