"""The keeper does not end, or fall silent, by what it is told or by where its words go."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from lab.errors import KernelError
from lab.serve.server import Server
from lab.standing import orders
from lab.standing.keeper import Orders


@pytest.mark.parametrize(
    "line", [b"garbage\n", b"[]\n", b"1\n", b'{"serve": 5}\n', b'{"serve": [{}]}\n', b"\xff\n", b"[" * 100_000]
)
def test_what_is_no_order_is_answered_as_such(line: bytes) -> None:
    (failure,) = Orders(cast("Server", None)).answer(line)["failures"]
    assert "not an order" in failure
    assert len(failure) < 300


@pytest.mark.parametrize(("log", "words"), [("one\ntwo\n", "  one\n  two"), ("", "  (nothing)"), (None, "removed")])
def test_a_keeper_that_has_ended_is_told_with_its_last_words(tmp_path: Path, log: str | None, words: str) -> None:
    place = tmp_path / "log"
    if log is not None:
        place.write_text(log)
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(KernelError, match="the keeper ended or hangs") as caught:
        orders.Orders(ours, place).close([])
    assert words in caught.value.message


def test_a_full_disk_loses_lines_of_the_log_and_nothing_else() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from lab.standing import keeper; keeper.log('a line')"], stdout=full, check=False
        )
    assert done.returncode == 0
