"""A fork of ours is nobody's worry: Python 3.12 and later warn of one beside another thread."""

from __future__ import annotations

import os
import signal
import warnings

import pytest

from lab.kernel.fork import fork, wait


def test_a_fork_beside_another_thread_warns_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fork

    def warning_fork() -> int:
        text = "This process (pid=7) is multi-threaded, use of fork() may lead to deadlocks in the child."  # 3.12's
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return real()

    monkeypatch.setattr(os, "fork", warning_fork)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pid = fork()
        if pid == 0:
            os._exit(7)
        assert wait(pid) == 7
        with pytest.raises(DeprecationWarning):
            os.fork()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGTSTP, signal.SIGCONT])
def test_what_a_command_does_at_a_signal_its_children_do_not(number: signal.Signals) -> None:
    """One that is stopped by a handler of its parent's would stop after it was told to go on."""
    before = signal.signal(number, lambda *_: None)
    try:
        pid = fork()
        if pid == 0:
            os._exit(7 if signal.getsignal(number) == signal.SIG_DFL else 1)
        assert wait(pid) == 7
    finally:
        signal.signal(number, before)
