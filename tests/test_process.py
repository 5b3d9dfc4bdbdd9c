"""A command ends by one exception, once."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal
from lab.cli import process
process.settle()
caught = []
try:
    os.kill(os.getpid(), signal.{first})
except KeyboardInterrupt as interruption:
    caught.append(interruption.number)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
print(caught)
"""


@pytest.mark.parametrize(("first", "number"), [("SIGINT", 2), ("SIGTERM", 15), ("SIGHUP", 1)])
def test_what_cleans_up_after_an_interruption_is_not_interrupted(first: str, number: int) -> None:
    script = SCRIPT.format(first=first)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"[{number}]\n", "", 0)


def test_an_ignored_signal_stays_ignored() -> None:
    script = "from lab.cli import process; process.settle(); import os; os.kill(os.getpid(), 1); print('here')"
    done = subprocess.run(["nohup", sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "here" in done.stdout
