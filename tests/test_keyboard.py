"""Keys are read without Enter, and whatever comes between, the terminal is left as it was found."""

from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pexpect
import pytest

Terminal: TypeAlias = "pexpect.spawn[str]"

READS = """
from lab.workshop import keyboard
with keyboard.keys() as keys:
    keys.prompt = "press q"
    print("reading", flush=True)
    while (key := keys.pressed()) not in ("q", ""):
        print(f"key<{key}>", flush=True)
"""
FLAGS = termios.ICANON | termios.ECHO


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    """Give a shell with job control that leaves the terminal's modes alone, as dash does, and bash does not."""
    (tmp_path / "reads.py").write_text(READS)
    env = {**os.environ, "PS1": "$ ", "TERM": "dumb", "PYTHONPATH": str(Path(__file__).parents[1])}
    with pexpect.spawn("sh", ["-i"], encoding="utf-8", timeout=20, env=env) as found:
        found.sendline(f"{sys.executable} {tmp_path}/reads.py; echo sta''tus $?")
        yield found


def flags(shell: Terminal) -> int:
    return int(termios.tcgetattr(shell.child_fd)[3]) & FLAGS


def reading(shell: Terminal) -> None:
    shell.expect_exact("reading")


def test_keys_are_read_without_enter_and_not_shown(shell: Terminal) -> None:
    reading(shell)
    assert flags(shell) == 0
    shell.send("h")
    shell.expect_exact("\nkey<h>")
    shell.send("q")
    shell.expect_exact("status 0")
    assert flags(shell) == FLAGS


def test_what_home_or_an_arrow_sends_is_one_key_and_no_letter(shell: Terminal) -> None:
    reading(shell)
    shell.send("\x1b[Hr\x1bOHl\x1b[1;5Hx\x1bhn")  # Home, thrice, and Alt-H: their last letter would be a hint
    shell.expect_exact("\nkey<n>")
    found = re.findall("key<(.)>", str(shell.before))
    assert found == ["\x1b", "r", "\x1b", "l", "\x1b", "x", "\x1b"]


def test_who_is_suspended_leaves_the_terminal_as_it_was_and_reads_keys_again_when_back(shell: Terminal) -> None:
    reading(shell)
    for _ in range(2):
        shell.send("\x1a")
        shell.expect_exact("Stopped")
        assert flags(shell) == FLAGS
        shell.sendline("fg")
        shell.expect_exact("press q")
        shell.send("h")
        shell.expect_exact("key<h>")
        assert flags(shell) == 0
    shell.send("q")
    shell.expect_exact("$ ")
    assert flags(shell) == FLAGS


def test_who_goes_on_in_the_background_leaves_the_terminal_to_the_shell(shell: Terminal) -> None:
    reading(shell)
    shell.send("\x1a")
    shell.expect_exact("Stopped")
    shell.sendline("bg")
    shell.sendline("echo he''re")
    shell.expect_exact("here")
    assert "press q" not in str(shell.before)
    assert flags(shell) == FLAGS


def test_who_is_interrupted_leaves_the_terminal_as_it_was(shell: Terminal) -> None:
    reading(shell)
    shell.send("\x03")
    shell.expect_exact("KeyboardInterrupt")
    shell.expect_exact("$ ")
    assert flags(shell) == FLAGS
