"""A learner's progress: what counts, and a file that is whole whoever is killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import HostError, TopologyError
from lab.exercise import progress as events
from lab.exercise.exam import drawn
from lab.model.progress import Attempt, ExamItem, Progress, Row
from lab.workshop import progress as file


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "state" / "progress.json"
    monkeypatch.setenv(file.VARIABLE, str(place))
    return place


def begin(found: Progress, exercise: str, *, seed: int, now: float, place: str = "") -> Progress:
    attempt = Attempt(exercise=exercise, place=place, seed=seed, lab="exercise", since=now, touched=now)
    return events.begun(found, attempt)


def begun(seed: int = 1, now: float = 100.0) -> Progress:
    return events.built(begin(Progress(), "a", seed=seed, now=now), 99.0, now)


def test_the_best_time_is_that_of_the_shortest_attempt_that_passed() -> None:
    found = events.checked(begun(now=100), [], 160)
    found = events.checked(begin(found, "a", seed=2, now=200), [], 230)
    found = events.checked(begin(found, "a", seed=3, now=300), [], 390)
    record = found.record("a")
    assert (record.state, record.attempts, record.passes, record.best_s) == ("passed", 3, 3, 30)
    assert record.first_passed == 160


def test_an_attempt_passes_once_however_often_it_is_checked() -> None:
    found = events.checked(events.checked(begun(), [], 160), [], 170)
    assert (found.record("a").passes, found.record("a").checks, found.record("a").best_s) == (1, 1, 60)
    assert found.attempt is not None
    assert (found.attempt.checks, found.attempt.touched) == (1, 160)


def test_the_night_between_two_sittings_does_not_count() -> None:
    found = events.checked(begun(now=100), ["hairpin"], 150)  # the last command of the evening
    found = events.built(found, 5000.0, 40_000)  # the lab is built anew in the morning
    assert events.checked(found, [], 40_010).record("a").best_s == 60


def test_a_clock_that_was_set_back_costs_no_time() -> None:
    assert events.checked(begun(now=100), [], 40).record("a").best_s == 0


def test_a_hint_counts_once() -> None:
    found = begun()
    for level in (1, 2, 1, 2):
        found = events.hinted(found, level, 110)
    assert found.attempt is not None
    assert (found.attempt.hints, found.record("a").hints) == (2, 2)


def test_hints_that_are_read_when_it_is_over_do_not_count() -> None:
    for over in (events.checked(begun(), [], 160), events.gave_up(begun(), 160)):
        assert events.hinted(over, 1, 200) == over


def test_who_reads_the_solution_first_has_not_passed_with_it_but_may_with_the_next_attempt() -> None:
    found = events.checked(events.gave_up(begun(), 110), [], 120)
    assert (found.record("a").state, found.record("a").passes, found.record("a").best_s) == ("given up", 0, None)
    found = events.checked(begin(found, "a", seed=2, now=200), [], 210)
    assert found.record("a").state == "passed"


def test_wrong_answers_are_counted_and_the_last_answer_stands() -> None:
    found = events.answered(begun(), "where", "forward", 110, right=False)
    found = events.answered(found, "where", "input", 120, right=True)
    assert found.attempt is not None
    assert (found.attempt.answers, found.attempt.wrong, found.record("a").wrong) == ({"where": "input"}, 1, 1)


ITEMS = (ExamItem(exercise="a", seed=7), ExamItem(exercise="b", seed=8))


def examined() -> Progress:
    found = events.examined(Progress(), ITEMS, 10, 100)
    return begin(found, "a", seed=7, now=110)


def test_what_is_passed_within_the_time_counts_for_the_exam() -> None:
    found = events.exam_over(events.checked(examined(), [], 160), 200)
    assert found.exam is None
    assert [item.took_s for item in found.exams[0].items] == [50, None]
    assert found.exams[0].ended == 200


def test_what_is_passed_behind_the_exams_end_does_not() -> None:
    found = events.exam_over(events.checked(examined(), [], 701), 800)
    assert [item.took_s for item in found.exams[0].items] == [None, None]
    assert found.exams[0].ended == 700  # its time was over
    assert found.record("a").passes == 1


def test_an_attempt_with_another_seed_is_not_the_exams() -> None:
    found = events.examined(Progress(), ITEMS, 10, 100)
    found = events.checked(begin(found, "a", seed=9, now=110), [], 120)
    assert found.exam is not None
    assert found.exam.passed == 0


ROWS = tuple(
    Row(name=f"{chapter}-{number}", chapter=chapter, title="", difficulty=1) for chapter in "abc" for number in range(4)
)


def test_an_exam_is_of_as_many_chapters_as_there_are_in_the_courses_order() -> None:
    for seed in range(20):
        items = drawn(ROWS, 5, seed)
        names = [item.exercise for item in items]
        assert {name[0] for name in names} == {"a", "b", "c"}
        assert names == sorted(set(names))
        assert items == drawn(ROWS, 5, seed)
    assert len({drawn(ROWS, 5, seed) for seed in range(20)}) == 20


def test_an_exam_of_all_exercises_has_all() -> None:
    assert [item.exercise for item in drawn(ROWS, 12, 1)] == [row.name for row in ROWS]


@pytest.mark.usefixtures("kept")
def test_what_is_written_is_read() -> None:
    assert file.read() == Progress()
    found = events.answered(events.hinted(begun(), 1, 110), "q", "x", 111, right=False)
    assert file.change(lambda _: found) == found
    assert file.read() == found


def test_the_file_is_its_owners_alone(kept: Path) -> None:
    file.change(lambda _: begun())
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_file_lies_where_the_base_directory_specification_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(file.VARIABLE, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_STATE_HOME", "/var/ann")
    assert file.path() == "/var/ann/hairpin/progress.json"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert file.path() == "/home/ann/.local/state/hairpin/progress.json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is damaged"),
        ('{"records": {"a": {"att', "is damaged"),
        ('{"records": []}', "is damaged: Expected `object`, got `array` - at `$.records`"),
        ("\x00\x01", "is damaged"),
        ("[" * 100_000, "is damaged"),
        ('{"version": 2}', "expected version 1, found 2"),
        ('{"version": 2, "records": [], "attempt": 7}', "expected version 1, found 2"),
    ],
)
def test_a_damaged_file_is_left_as_it_is_and_the_next_move_is_told(kept: Path, text: str, said: str) -> None:
    kept.parent.mkdir()
    kept.write_text(text)
    for deed in (file.read, lambda: file.change(lambda found: found)):
        with pytest.raises(TopologyError) as caught:
            deed()
        assert said in caught.value.message
        assert f"mv {kept} {kept}.damaged" in caught.value.hint
    assert kept.read_text() == text


def test_two_exercises_of_one_name_have_a_record_each() -> None:
    found = events.checked(begin(Progress(), "a", seed=1, now=100), [], 110)
    found = begin(found, "a", seed=1, now=200, place="/course/01-x/a")
    found = events.answered(events.hinted(found, 1, 210), "q", "x", 220, right=False)
    found = events.gave_up(events.checked(found, ["hairpin"], 230), 240)
    ours, theirs = found.record("a"), found.record("/course/01-x/a")
    assert (ours.attempts, ours.checks, ours.hints, ours.wrong, ours.state) == (1, 1, 0, 0, "passed")
    assert (theirs.attempts, theirs.checks, theirs.hints, theirs.wrong, theirs.state) == (1, 1, 1, 1, "given up")


def test_an_empty_file_such_as_mktemp_makes_is_a_new_one(kept: Path) -> None:
    kept.parent.mkdir()
    kept.touch()
    assert file.read() == Progress()
    assert file.change(lambda _: begun()) == file.read() == begun()


def test_what_is_no_file_is_told_and_stays(kept: Path) -> None:
    """As root a device would be replaced by the file, else."""
    kept.parent.mkdir()
    for make in (Path.mkdir, os.mkfifo):
        make(kept)
        kind = kept.stat().st_mode
        for deed in (file.read, lambda: file.change(lambda found: found)):
            with pytest.raises(HostError, match="expected a regular file") as caught:
                deed()
            assert f"export {file.VARIABLE}=FILE" in caught.value.hint
        assert kept.stat().st_mode == kind
        kept.rmdir() if kept.is_dir() else kept.unlink()


def test_on_a_full_disk_what_was_written_stays_and_the_next_move_is_told(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.change(lambda _: begun())

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left") as caught:
        file.change(lambda _: begun(seed=2))
    assert "make room" in caught.value.hint
    assert [one.name for one in kept.parent.iterdir()] == [kept.name]  # no draft takes the room that there is
    assert file.read() == begun()


def test_a_folder_that_cannot_be_written_is_told_with_a_way_out(kept: Path) -> None:
    kept.parent.write_text("a file")
    with pytest.raises(HostError, match="Not a directory") as caught:
        file.change(lambda found: found)
    assert file.VARIABLE in caught.value.hint


@pytest.mark.root
def test_what_root_writes_for_somebody_stays_theirs(kept: Path) -> None:
    """`sudo invoke exercise.check` of one that needs root keeps nobody from the next one."""
    file.change(lambda _: begun())
    os.chown(kept, 64321, 64322)
    file.change(lambda _: begun(seed=2))
    assert (kept.stat().st_uid, kept.stat().st_gid, kept.stat().st_mode & 0o777) == (64321, 64322, 0o600)


def test_a_link_to_the_file_stays_a_link(kept: Path, tmp_path: Path) -> None:
    kept.parent.mkdir()
    kept.symlink_to(tmp_path / "elsewhere.json")
    file.change(lambda _: begun())
    assert kept.is_symlink()
    assert file.read() == begun()


def test_an_error_in_the_change_changes_nothing(kept: Path) -> None:
    file.change(lambda _: begun())
    before = kept.read_bytes()
    with pytest.raises(ZeroDivisionError):
        file.change(lambda _: 1 / 0)  # type: ignore[arg-type, return-value] # it returns nothing
    assert kept.read_bytes() == before


WRITES = """
from lab.workshop import progress
from lab.model.progress import Progress, Record
from msgspec.structs import replace
def more(found):
    number = found.record("a").attempts + 1
    filling = {f"x{one}": Record(attempts=number) for one in range(300)}
    return Progress(records={"a": Record(attempts=number), **filling})
print("go", flush=True)
while True:
    progress.change(more)
"""


def test_a_kill_amid_writes_leaves_the_file_whole(kept: Path) -> None:
    """Every entry of one write has the same number: a file that mixes two is seen."""
    last = 0
    for _ in range(8):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITES], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.read(3)
        wanted = last + 3
        deadline = time.monotonic() + 30
        while file.read().record("a").attempts < wanted:
            assert time.monotonic() < deadline
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.communicate()
        found = file.read()
        assert len(found.records) == 301
        assert len({record.attempts for record in found.records.values()}) == 1
        assert found.record("a").attempts >= wanted
        last = found.record("a").attempts
    file.change(lambda found: found)  # a lock or a draft that was left is in nobody's way
    assert json.loads(kept.read_text())["version"] == 1


ADDS = """
from lab.workshop import progress
from lab.model.progress import Progress, Record
def more(found):
    return Progress(records={"a": Record(attempts=found.record("a").attempts + 1)})
for _ in range(50):
    progress.change(more)
"""


@pytest.mark.usefixtures("kept")
def test_two_who_write_at_once_lose_nothing() -> None:
    writers = [subprocess.Popen([sys.executable, "-c", ADDS], cwd=Path(__file__).parents[1]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert file.read().record("a").attempts == 100
