"""A learner's course: what comes next, what is left out, and that no command takes one attempt for another."""

from __future__ import annotations

import errno
import json
import os
import pwd
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from lab import catalogue, check, topology
from lab.errors import HostError, KernelError, TopologyError
from lab.exercise import progress as events
from lab.model.exercise import ExerciseSpec
from lab.model.progress import Attempt, ExamItem, Progress
from lab.model.verdict import CellSeen, Verdict
from lab.report import course as report
from lab.standing import live, session, state
from lab.workshop import attempts, labs, learner, scenes
from lab.workshop import course as courses
from lab.workshop import progress as file
from lab.workshop.attempts import Sitting
from lab.workshop.course import Course

from . import commandline
from .exercises import SPEC, write

NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Path) -> Path:
    """Give this test a learner and state folders of its own."""
    assert runtime.is_dir()
    place = tmp_path / "progress.json"
    monkeypatch.setenv(file.VARIABLE, str(place))
    monkeypatch.delenv(courses.VARIABLE, raising=False)
    return place


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of three exercises, which is the one that commands work on."""
    place = tmp_path / "course"
    for name in NAMES:
        write(place, name)
    monkeypatch.setenv(courses.VARIABLE, str(place))
    return place


def attempt(root: Path, name: str, **fields: Any) -> Attempt:
    place = str(root / "01-chapter" / name)
    given = {"seed": 1, "lab": "exercise", "since": 100.0, "touched": 100.0, "built": 99.0, **fields}
    return Attempt(exercise=name, folder=str(root), place=place, **given)


def taken(root: Path, *names: str, of: Progress | None = None) -> Progress:
    """Return a progress in which these were passed."""
    found = of or Progress()
    for name in names:
        found = events.checked(events.begun(found, attempt(root, name)), [], 110.0)
    return found


def spoil(root: Path, name: str) -> None:
    (root / "01-chapter" / name / "ticket.md").unlink()


def test_what_comes_next_is_behind_the_present_one_and_not_passed(root: Path) -> None:
    def after(found: Progress) -> str:
        return Course(folder=str(root), progress=found).following

    assert after(Progress()) == "a"
    assert after(taken(root, "a")) == "b"
    assert after(taken(root, "a", "c")) == "b"
    assert after(events.begun(Progress(), attempt(root, "c"))) == "a"
    assert after(events.begun(taken(root, "a", "c"), attempt(root, "b"))) == ""
    assert after(taken(root, *NAMES)) == ""


def test_who_takes_one_again_may_leave_it(root: Path) -> None:
    def left(found: Progress) -> bool:
        return Course(folder=str(root), progress=found).passed_before

    assert left(events.begun(taken(root, "a"), attempt(root, "a")))
    assert not left(events.begun(taken(root, "a"), attempt(root, "b")))
    assert not left(Progress())


def test_what_was_given_up_last_comes_again_when_no_other_is_left(root: Path) -> None:
    found = events.gave_up(events.begun(taken(root, "a", "c"), attempt(root, "b")), 120)
    assert Course(folder=str(root), progress=found).following == "b"


def test_what_root_alone_can_take_is_left_out_and_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = SPEC.replace("NAME", "b") + "  needs: root\n"
    (root / "01-chapter" / "b" / "exercise.yaml").write_text(needs)
    at = Course(folder=str(root), progress=taken(root, "a", "c"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (at.following, at.for_root) == ("b", ())
    monkeypatch.setattr(os, "geteuid", lambda: 64321)
    assert (at.following, at.for_root) == ("", ("b",))
    assert "without root" in report.nothing_follows("", [2])
    assert report.nothing_follows("", [2, 7]).endswith("as root: exercises 2 and 7")


def test_mistakes_of_one_leave_the_others(root: Path) -> None:
    spoil(root, "a")
    lab = root / "01-chapter" / "b" / "lab.yaml"
    lab.write_text(lab.read_text().replace("selector", "selektor"))  # a mistake that shows when the lab is read
    at = Course(folder=str(root), progress=Progress())
    assert [row.name for row in at.rows] == ["c"]
    assert (at.following, at.number("c")) == ("c", "exercise 1 of 1")
    assert list(at.mistaken) == ["01-chapter/a", "01-chapter/b"]
    assert "ticket.md: there is no such file" in at.mistaken["01-chapter/a"][0]
    assert "selektor" in at.mistaken["01-chapter/b"][0]


def test_an_exercise_goes_by_its_number_and_by_its_name(root: Path) -> None:
    at = Course(folder=str(root), progress=Progress())
    assert [at.named(wanted) for wanted in ("1", "3", "c", "nobody")] == ["a", "c", "c", "nobody"]
    for wrong in ("0", "4", "01", "9" * 5000):
        with pytest.raises(TopologyError, match="expected a number from 1 to 3, or a name"):
            at.named(wrong)
    assert at.called(scenes.find("c", at.folder)) == "exercise 3"
    refused = commandline.run("exercise.start", "4")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is no exercise 4; expected a number from 1 to 3, or a name" in refused.stderr
    spoil(root, "c")
    assert "ticket.md: there is no such file" in commandline.run("exercise.start", "c").stderr


def test_where_no_exercise_can_be_read_a_number_says_why(root: Path) -> None:
    for name in NAMES:
        spoil(root, name)
    with pytest.raises(TopologyError, match=r"ticket\.md: there is no such file"):
        Course(folder=str(root), progress=Progress()).named("1")


def test_the_present_exercise_goes_by_its_number_or_elsewhere_by_its_title(root: Path, tmp_path: Path) -> None:
    found, other = events.begun(Progress(), attempt(root, "b")), tmp_path / "other"
    write(other, "b")
    assert Course(folder=str(root), progress=found).present == "exercise 2"
    assert Course(folder=str(other), progress=found).present == 'exercise "A pod does not reach itself"'
    spoil(root, "b")
    assert Course(folder=str(root), progress=found).present == "the present exercise"


def test_in_an_exam_the_numbers_are_those_of_the_exam(root: Path, tmp_path: Path) -> None:
    items = (ExamItem(exercise="b", seed=1), ExamItem(exercise="c", seed=2, took_s=5.0))
    found = events.examined(Progress(), items, 10, 4e9, folder=str(root))
    at = Course(folder=str(root), progress=events.begun(found, attempt(root, "b")))
    assert (at.named("2"), at.number("c"), at.present) == ("c", "exam, exercise 2 of 2", "exercise 1")
    with pytest.raises(TopologyError, match="expected a number from 1 to 2"):
        at.named("3")
    with pytest.raises(TopologyError, match="expected an exercise of it that is not passed: 1\n"):
        attempts.chosen(at, "c")
    write(tmp_path / "other", "z")
    assert Course(folder=str(tmp_path / "other"), progress=found).named("1") == "z"


def test_what_is_not_solved_is_named_nowhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, _ = secrets = [f"{name}-that-says-what-is-wrong" for name in NAMES]
    for name in NAMES:
        shutil.rmtree(root / "01-chapter" / name)
    for secret, spec in zip(secrets, ("", "", "  needs: root\n"), strict=True):
        write(root, secret, spec=spec)
    monkeypatch.setattr(os, "geteuid", lambda: 64321)
    said: list[str] = []

    def told(*words: str) -> None:
        done = commandline.run(*words)
        said.append(f"{words}: {done.stdout}{done.stderr}")

    def every_command() -> None:
        for words in (["list"], ["progress"], ["start", "3"], ["start", "7"], ["check"], ["hint"], ["solution"],
                      ["next"], ["answer", "x", "1"]):  # fmt: skip
            told(f"exercise.{words[0]}", *words[1:])

    file.change(lambda found: events.begun(found, attempt(root, first)))
    every_command()
    examined(root, first, second, began=4e9)
    every_command()
    assert [text for text in said if "that-says" in text] == []
    assert "exercise 3 needs root" in said[2]
    assert "exercise 1: its lab exercise does not stand any more" in said[4]
    assert "exercise 1 is not passed yet" in said[6]
    names = commandline.run("exercise.list", "--names").stdout
    assert names.count("-that-says-what-is-wrong)") == 3


def test_where_all_have_mistakes_all_are_told(root: Path) -> None:
    for name in NAMES:
        spoil(root, name)
    with pytest.raises(TopologyError) as caught:
        _ = Course(folder=str(root), progress=Progress()).rows
    assert len(caught.value.mistakes) == 3
    assert "exercise.verify" in caught.value.hint


def test_mistakes_are_told_in_a_few_lines() -> None:
    told = report.mistaken({"01-x/a": ("a/ticket.md: there is no such file", "more", "more"), "01-x/b": ("wrong\nx",)})
    assert told.splitlines()[:3] == [
        "left out, since their files have mistakes:",
        "  01-x/a: a/ticket.md: there is no such file (and 2 more)",
        "  01-x/b: wrong x",
    ]
    assert "invoke exercise.verify NAME" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [(["list", "--names"], "(b)  "), (["progress"], "0 of 2 exercises passed"), (["export"], '"name": "b"')],
)
def test_the_good_ones_are_shown_and_the_others_named(root: Path, words: list[str], said: str) -> None:
    spoil(root, "a")
    done = commandline.run(f"exercise.{words[0]}", *words[1:])
    assert (done.returncode, said in done.stdout, "01-chapter/a" in done.stdout) == (0, True, False)
    assert "left out, since its files have mistakes:\n  01-chapter/a: " in done.stderr


@pytest.mark.usefixtures("root")
def test_the_list_needs_no_place_for_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (file.VARIABLE, "HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def nobody(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    done = commandline.run("exercise.list")
    assert (done.returncode, "0 of 3 exercises passed" in done.stdout) == (0, True)
    assert f"without your progress: uid {os.getuid()} has no home" in done.stderr
    assert json.loads(commandline.run("exercise.list", "--json").stdout)[0]["name"] == "a"
    refused = commandline.run("exercise.start", "a")
    assert refused.returncode == 2
    assert f"{file.VARIABLE}=FILE" in refused.stderr


def test_two_folders_that_have_an_exercise_of_one_name_share_nothing(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, "b")
    found = events.begun(taken(root, "b"), attempt(root, "b"))
    here, there = (Course(folder=str(place), progress=found) for place in (root, other))
    assert [row.record.passes for row in here.rows] == [0, 1, 0]
    assert [row.record.passes for row in there.rows] == [0]
    assert (here.current, there.current) == ("b", "")
    assert [at.under_way(scenes.find("b", at.folder)) for at in (here, there)] == [True, False]
    assert there.following == "b"


@pytest.mark.parametrize("spelt", ["", ".", "link", "absolute"])
def test_the_folder_that_comes_along_is_the_same_however_it_is_named(
    spelt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = scenes.folder()
    monkeypatch.chdir(ours)
    (tmp_path / "link").symlink_to(ours)
    named = {"link": str(tmp_path / "link"), "absolute": str(ours)}.get(spelt, spelt)
    assert courses.course(named).folder == ""
    one = scenes.find("ip-forward-off", named)
    assert (courses.place(one), courses.key(one)) == ("", "ip-forward-off")
    own = courses.course(str(ours / "01-clusterip" / "ip-forward-off"))
    assert [courses.key(each) for each in own.exercises] == ["ip-forward-off"]


def sitting(of: Attempt, *, alive: bool = True) -> Sitting:
    """Return the sitting of an attempt without a lab, in which nothing asks for one."""
    spec = ExerciseSpec(title="t", difficulty=1, minutes=1, may="m", success="s")
    standing = SimpleNamespace(record=SimpleNamespace(keeper=SimpleNamespace(alive=alive)))
    return Sitting(scene=cast("Any", SimpleNamespace(spec=spec)), attempt=of, standing=cast("Any", standing))


def no_progress(*_: object) -> None:
    """Nobody looks."""


def checks(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object], verdict: Verdict | None = None) -> None:
    """Let a check do `meanwhile`, and find all green."""

    def check_lab(*_: object) -> Verdict:
        meanwhile()
        return verdict or Verdict(cells=(CellSeen(name="hairpin", it="", state="green"),))

    monkeypatch.setattr(labs, "check_lab", check_lab)
    monkeypatch.setattr(labs, "look", check_lab)


def test_a_check_counts_for_the_attempt_that_it_was_made_of_and_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = attempt(root, "a")
    file.change(lambda found: events.begun(found, mine))
    checks(monkeypatch, lambda: file.change(lambda found: events.begun(found, attempt(root, "b"))))
    with pytest.raises(TopologyError, match="meanwhile another command began another exercise") as caught:
        learner.check(sitting(mine), no_progress)
    assert "invoke exercise" in caught.value.hint
    found = file.read()
    assert [found.record(attempt(root, name).key).passes for name in NAMES] == [0, 0, 0]


@pytest.mark.parametrize("fields", [{"seed": 2}, {"built": 98.0}, {"lab": "exercise-2"}, {"place": "/elsewhere/a"}])
def test_another_attempt_is_told_from_this_one(root: Path, fields: dict[str, Any]) -> None:
    mine = attempt(root, "a")
    file.change(lambda found: events.begun(found, replace(mine, **fields)))
    before = file.read()
    with pytest.raises(TopologyError, match="meanwhile"):
        attempts.note(mine, lambda found: events.gave_up(found, 120))
    assert file.read() == before


def test_what_was_done_in_an_attempt_makes_it_no_other(root: Path) -> None:
    mine = attempt(root, "a")
    file.change(lambda found: events.hinted(events.begun(found, mine), 2, 110))
    assert attempts.note(mine, lambda found: events.hinted(found, 3, 120)).record(mine.key).hints == 3


def test_a_check_that_cannot_be_noted_is_not_made(root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = attempt(root, "a")
    made: list[None] = []
    checks(monkeypatch, lambda: made.append(None))
    kept.write_text("{")
    with pytest.raises(TopologyError, match="is damaged"):
        learner.check(sitting(mine), no_progress)
    assert not made


@pytest.mark.parametrize(
    "deed",
    [
        lambda at: attempts.start(at, attempts.chosen(at, "b"), no_progress),
        lambda at: attempts.reset(at, no_progress),
        lambda at: learner.examine(at, 1, 10, 7),
    ],
    ids=["start", "reset", "exam"],
)
def test_what_cannot_be_noted_ends_no_lab(
    root: Path, monkeypatch: pytest.MonkeyPatch, deed: Callable[[Course], object]
) -> None:
    file.change(lambda found: events.begun(found, attempt(root, "a")))
    ended: list[str] = []
    standing = SimpleNamespace(name="exercise", created=99.0)
    monkeypatch.setattr(state, "standing", lambda: (standing,))
    monkeypatch.setattr(session, "down", ended.append)
    attempts.leave(courses.course())
    assert ended == ["exercise"]

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostError, match="No space left"):
        deed(courses.course())
    assert ended == ["exercise"]


@pytest.mark.parametrize("stands", [True, False], ids=["to be broken yet", "to be built yet"])
def test_of_two_that_begin_in_the_same_moment_the_later_one_wins(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, stands: bool
) -> None:
    up: list[str] = []
    second: list[Attempt] = []
    at = courses.course(str(root))  # as both commands have read it

    def build(made: scenes.Scene, *, lab: str, progress: Callable[..., None]) -> Any:
        if made.exercise.name == "a":  # amid its building another command begins
            up.extend([lab] if stands else [])
            second.append(attempts.start(at, attempts.chosen(at, "b"), progress).attempt)
            if stands:
                raise KernelError(f"{lab} has ended")
        up.append(lab)
        return SimpleNamespace(name=lab, record=SimpleNamespace(name=lab, created=2.0))

    monkeypatch.setattr(labs, "start", build)
    monkeypatch.setattr(state, "standing", lambda: [SimpleNamespace(name=name, created=2.0) for name in up])
    monkeypatch.setattr(session, "down", up.remove)
    with pytest.raises(TopologyError, match="meanwhile another command began another exercise"):
        attempts.start(at, attempts.chosen(at, "a"), no_progress)
    assert [one.same(file.read().attempt) for one in second] == [True]
    assert up == ["exercise-2"]


@pytest.mark.parametrize("ask", [learner.check, learner.look])
@pytest.mark.parametrize(
    ("error", "alive"),
    [
        (FileNotFoundError(2, "No such file or directory", "/run/netns/node-2"), True),
        (KernelError("/run/netns/client-a: no such network namespace in this lab", hint="x"), True),
        (TopologyError("no lab 'exercise' stands", hint="x"), False),
    ],
)
def test_a_lab_that_is_not_whole_is_told_with_the_way_out(
    root: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., object], error: Exception, *, alive: bool
) -> None:
    mine = attempt(root, "a")
    file.change(lambda found: events.begun(found, mine))

    def fails() -> None:
        raise error

    checks(monkeypatch, fails)
    with pytest.raises(KernelError, match="the exercise's lab is not whole any more: ") as caught:
        ask(sitting(mine, alive=alive), no_progress)
    assert "invoke exercise.reset" in caught.value.hint


def examined(root: Path, first: str = "a", second: str = "b", *, began: float) -> None:
    items = (ExamItem(exercise=first, seed=1), ExamItem(exercise=second, seed=2))
    file.change(lambda found: events.examined(found, items, 10, began, folder=str(root)))
    file.change(lambda found: events.begun(found, attempt(root, first)))


def test_what_was_right_when_the_check_began_is_in_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [700.0 - 1]
    monkeypatch.setattr(learner, "time", SimpleNamespace(time=lambda: clock[0]))
    examined(root, began=100.0)
    checks(monkeypatch, lambda: clock.append(clock.pop() + 5))
    _, found = learner.check(sitting(attempt(root, "a")), no_progress)
    assert clock == [704.0]
    assert found.exam is not None
    assert found.exam.passed == 1


def test_an_exam_whose_time_is_over_is_told_by_the_next_command(root: Path) -> None:
    examined(root, began=100.0)
    done = commandline.run("exercise.list")
    said = "the time is up\nexam over: 0 of 2 exercises passed; it had 10 min\n"
    assert done.stderr.startswith(f"{said}\n#  TITLE")
    assert "go on with exercise 1: its lab stays" in done.stderr
    assert commandline.run("exercise.list").stderr == ""
    examined(root, began=100.0)
    shutil.rmtree(root)  # somebody else's exercises may be gone by then
    assert commandline.run("exercise.progress", "--folder", str(scenes.folder())).stderr.startswith(said)


def test_who_ends_an_exam_is_told_how_each_exercise_went_and_keeps_the_lab(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(session, "down", ended.append)
    examined(root, first="b", second="c", began=4e9)
    file.change(lambda found: events.begun(events.checked(found, [], 4e9), attempt(root, "c", seed=2)))
    done = commandline.run("exercise.exam", "--end")
    first, second = [line for line in done.stdout.splitlines() if "A pod does not reach itself" in line]
    assert (first.split()[0], "✓" in first, second.split()[0], "✗" in second) == ("2", True, "3", True)
    assert "go on with exercise 3" in done.stdout  # as the course calls what the exam called 2
    assert "exercise.start NUMBER  " in done.stdout
    assert ended == []
    assert commandline.run("exercise.progress").stdout.count("under way: exercise 3 ") == 1


def test_an_exam_is_the_same_for_a_class_whoever_is_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = SPEC.replace("NAME", "b") + "  needs: root\n"
    (root / "01-chapter" / "b" / "exercise.yaml").write_text(needs)
    drawn = []
    for uid in (0, 64321):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        exam = learner.examine(Course(folder=str(root), progress=Progress()), 2, 10, 7)
        drawn.append(exam.items)
    assert drawn[0] == drawn[1]
    with pytest.raises(TopologyError, match="--count 3: expected 1 to 2, as many as can be taken without root"):
        learner.examine(Course(folder=str(root), progress=Progress()), 3, 10, 7)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-1", "10081", "1e300"])
def test_an_exam_of_no_time_or_without_end_is_refused_with_what_is_expected(minutes: str) -> None:
    refused = commandline.run("exercise.exam", "--minutes", minutes, "--count", "1")
    assert refused.returncode == 2
    assert f"--minutes {float(minutes):g}: expected more than 0, and at most 10080 (a week)" in refused.stderr
    assert file.read().exam is None


def test_an_exercise_of_another_folder_is_not_the_exams(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, "a")
    examined(root, began=4e9)
    refused = commandline.run("exercise.start", "a", "--folder", str(other))
    assert refused.returncode == 2
    assert "an exam is under way" in refused.stderr


def test_where_nothing_is_asked_nobody_goes_into_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiz's lab is not mended, and a progress of `requests 0/0` says nothing."""
    cluster = topology.load(catalogue.find("clusterip")).cluster
    lab: Any = SimpleNamespace(cluster=cluster)  # it has no `call`
    told: list[object] = []
    monkeypatch.setattr(live, "held", lambda *_: nullcontext(lab))
    assert check.several(lab, [], lambda *done: told.append(done)) == []
    assert told == []
