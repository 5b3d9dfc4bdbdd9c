"""State folders are found, locked, read and pruned whatever stands in them, and whoever else is at it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from lab.errors import HostError, TopologyError
from lab.standing import state

WHOLE = {
    "name": "x",
    "keeper": {"pid": 1, "start": 1, "boot": "b"},
    "source": "x",
    "created": 1.0,
    "version": "1",
    "objects": {},
    "notes": [],
}


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(runtime: Path) -> Path:
    """Give the state folder of a lab `x`, which does not stand."""
    place = runtime / "hairpin" / "x"
    place.mkdir(parents=True, mode=0o700)
    place.parent.chmod(0o700)
    return place


def test_nothing_is_noted_of_a_lab_without_a_record(folder: Path) -> None:
    with pytest.raises(TopologyError, match="no lab 'x' stands"):
        state.note("x", rules={})
    (folder / "lab.json").write_text(json.dumps(WHOLE))
    state.note("x", rules={"node-1": "saved.txt"})
    record = state.read("x")
    assert record is not None
    assert record.rules == {"node-1": "saved.txt"}


def test_what_is_left_behind_is_pruned(folder: Path) -> None:
    (folder / "log").touch()
    assert state.standing() == ()
    assert not folder.parent.exists()


def test_the_folder_of_all_folders_goes_when_it_is_empty(folder: Path) -> None:
    folder.rmdir()  # as a command leaves it that was killed before it could make its own
    assert state.standing() == ()
    assert not folder.parent.exists()


def test_pruning_spares_a_folder_that_was_made_anew_before_it_was_locked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock
    builders: list[int] = []

    def another_command_is_faster(fd: int, how: int) -> None:
        if not builders:
            folder.rename(folder.with_name("old"))
            folder.mkdir(mode=0o700)
            builders.append(os.open(folder, os.O_RDONLY))
            flock(builders[0], fcntl.LOCK_EX)
            (folder / "log").touch()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", another_command_is_faster)
    assert state.standing() == ()
    assert (folder / "log").exists()
    os.close(builders[0])


def test_a_command_that_holds_the_lock_for_ever_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "PATIENCE_S", 0.0)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(HostError, match="another command is changing or checking it"), state.locked("x", create=True):
        pass
    os.close(other)


def test_a_place_where_nothing_can_be_made_is_an_error_and_not_tried_for_ever(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "root", lambda: runtime / "gone" / "hairpin")
    with pytest.raises(FileNotFoundError), state.locked("x", create=True):
        pass


@pytest.mark.parametrize("place", ["/run", "relative", "/no/such/folder"])
def test_the_runtime_folder_must_be_a_users_own(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", place)
    uid = os.geteuid()
    assert state.root() in {Path(f"/run/user/{uid}/hairpin"), Path(f"/tmp/hairpin-{uid}")}  # noqa: S108 - its place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "[" * 100_000,
        "\0" * 1000,
        json.dumps({**WHOLE, "keeper": "x"}),
        json.dumps({**WHOLE, "keeper": {"pid": "x", "start": 1, "boot": ""}}),
        json.dumps({**WHOLE, "created": "x"}),
        json.dumps({**WHOLE, "created": 10**400}),
        json.dumps({**WHOLE, "unknown": 1}),
    ],
)
def test_a_record_that_makes_no_sense_is_none(folder: Path, text: str) -> None:
    (folder / "lab.json").write_text(text)
    assert state.read("x") is None


def test_a_record_that_is_no_file_is_none_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "lab.json")
    assert state.read("x") is None


def test_a_keeper_with_an_impossible_pid_is_gone(folder: Path) -> None:
    (folder / "lab.json").write_text(json.dumps({**WHOLE, "keeper": {"pid": 10**30, "start": 1, "boot": "b"}}))
    assert state.standing() == ()
