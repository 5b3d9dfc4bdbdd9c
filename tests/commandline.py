"""The command line inside of this process: as `hairpin` in a process of its own, but for the start of an interpreter.

Its standard files are real ones, so what the programs that it starts print is caught as well. What a new interpreter
adds (which modules a task loads, bytecode, the way in through tasks.py, signals) is for tests that start one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import pytest

from lab.cli import main, namespace

TIMEOUT_S = 60
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)


def run(*words: str, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a task; return its exit status and output."""
    with ExitStack() as stack:
        ins, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        ins.write(stdin.encode())
        ins.seek(0)
        stack.enter_context(chdir(cwd or Path.cwd()))
        with _process_of_its_own(words, (ins.fileno(), out.fileno(), err.fileno())):
            status = _status()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(["hairpin", *words], status, *texts)


def _status() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)


@contextmanager
def _process_of_its_own(words: tuple[str, ...], files: tuple[int, int, int]) -> Iterator[None]:
    """Give it the standard files and the arguments, and afterwards take back what a command makes its process."""
    explained = [(task, dict(task.help)) for task in map(namespace.__getitem__, namespace.task_names)]
    handlers = [(number, signal.getsignal(number)) for number in (*_HANDLED, signal.SIGALRM)]
    bytecode = sys.dont_write_bytecode
    with ExitStack() as stack:
        for number, file in enumerate(files):
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(file, number)
        for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
            stream = stack.enter_context(os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
            stack.enter_context(mock.patch.object(sys, name, stream))
        stack.enter_context(mock.patch.object(sys, "argv", ["hairpin", *words]))
        signal.signal(signal.SIGALRM, _late)
        signal.alarm(TIMEOUT_S)
        try:
            yield
        finally:
            signal.alarm(0)
            for number, handler in handlers:
                signal.signal(number, handler)
            sys.dont_write_bytecode = bytecode
            for task, texts in explained:
                task.help = texts  # invoke takes each option's explanation out when it first parses its arguments


def _late(*_: Any) -> NoReturn:
    pytest.fail(f"a command took more than {TIMEOUT_S} s")  # no exception of the machine's, which a task tells, exit 2
