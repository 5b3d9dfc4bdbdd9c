"""What this process may have, it takes."""

from __future__ import annotations

import fcntl
import io
import os
from pathlib import Path

from lab.kernel.limits import widen

MOST = int(Path("/proc/sys/fs/pipe-max-size").read_text(encoding="ascii"))


def test_a_pipe_holds_more_when_it_was_widened() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb"), os.fdopen(write, "w") as pipe:
        before = fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)
        widen(pipe)
        assert before < fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) <= MOST


def test_what_is_no_pipe_stays_as_it_is(tmp_path: Path) -> None:
    widen(io.StringIO())
    with (tmp_path / "file").open("w", encoding="utf-8") as file:
        widen(file)
        assert file.write("still written to") == 16
