"""What tasks share: files are written whole or not at all, never over what is there; ports; what a terminal shows."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lab.cli.output import file_mistakes, look, port_number, write_file
from lab.errors import HostError, TopologyError


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


def test_an_empty_name_is_no_file_and_an_option_that_is_not_given_is_no_mistake() -> None:
    (mistake,) = file_mistakes({"--svg": "", "--html": None}, {})
    assert mistake == "--svg '': No such file or directory; expected a new file, or -"


def test_0_is_no_port_but_an_option_that_is_not_given_is_0() -> None:
    assert (port_number("--port", None), port_number("--port", "80")) == (0, 80)
    with pytest.raises(TopologyError, match=r"^--port 0: expected a port, 1 to 65535$"):
        port_number("--port", "0")


def test_lines_for_programs_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    del capsys  # standard output is no terminal
    assert look().width == 100
    assert look(unfolded=True).width > 1_000_000
