"""The keeper does not end, or fall silent, by what it is told or by where its words go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from lab.serve.server import Server
from lab.standing.keeper import Orders


@pytest.mark.parametrize(
    "line", [b"garbage\n", b"[]\n", b"1\n", b'{"serve": 5}\n', b'{"serve": [{}]}\n', b"\xff\n", b"[" * 100_000]
)
def test_what_is_no_order_is_answered_as_such(line: bytes) -> None:
    orders = Orders(cast("Server", None))
    (failure,) = orders.answer(line)["failures"]
    assert "not an order" in failure
    assert len(failure) < 300


def test_a_full_disk_loses_lines_of_the_log_and_nothing_else() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from lab.standing import keeper; keeper.log('a line')"], stdout=full, check=False
        )
    assert done.returncode == 0
