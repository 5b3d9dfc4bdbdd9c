"""What tasks write into files: whole or not at all, and never over what is there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lab.cli.output import write_file
from lab.errors import HostError


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "way.svg"
    seen = []

    def full(source: str, _target: str) -> None:
        seen.append((Path(source).read_text(encoding="utf-8"), path.exists()))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(HostError, match=r"--svg .*/way\.svg.: No space left on device"):
            write_file(str(path), "<svg/>", option="--svg")
    assert seen == [("<svg/>", False)]
    assert os.listdir(tmp_path) == []
    write_file(str(path), "<svg/>", option="--svg")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("way.svg", "<svg/>")]


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "way.svg"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(HostError, match="File exists"):
        write_file(str(path), "<svg/>", option="--svg")
    assert [(one.name, one.read_text(encoding="utf-8")) for one in tmp_path.iterdir()] == [("way.svg", "mine")]
