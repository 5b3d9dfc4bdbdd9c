"""Results are handed in whole, an edit is seen, and a teacher's tables say what is in them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from lab.errors import TopologyError
from lab.exercise import results
from lab.model.progress import Exam, ExamItem, Progress, Record, Row
from lab.report import results as report
from lab.workshop import handed_in

ROWS = (
    Row(
        name="ip-forward-off",
        chapter="clusterip",
        title="The node reaches everybody",
        difficulty=1,
        record=Record(attempts=2, checks=3, hints=1, passes=1, best_s=90.0, first_passed=1000.0),
    ),
    Row(name="hairpin", chapter="hairpin", title="x", difficulty=3, record=Record(attempts=1, hints=4, gave_up=True)),
    Row(name="mtu", chapter="nodes", title="y", difficulty=5),
)
EXAM = Exam(
    began=0, minutes=45, ended=600, items=(ExamItem(exercise="mtu", seed=1), ExamItem(exercise="a", seed=2, took_s=60))
)


def document(learner: str = "ann") -> str:
    return results.document(results.collected(Progress(exams=(EXAM,)), ROWS, learner=learner, now=86400.0))


def test_what_was_written_is_read_and_untouched() -> None:
    found = results.read(document().encode(), "ann.json")
    assert (found.untouched, found.results.learner, found.results.written) == (True, "ann", "1970-01-02T00:00:00Z")
    assert (found.results.exercises, found.results.exams) == (ROWS, (EXAM,))


def test_a_file_that_was_laid_out_anew_is_untouched() -> None:
    data = dict(reversed(json.loads(document()).items()))
    assert results.read(json.dumps(data).encode(), "f").untouched


@pytest.mark.parametrize(("before", "after"), [('"hints": 4', '"hints": 0'), ('"ann"', '"bob"'), ("90.0", "9.0")])
def test_an_edited_file_is_seen(before: str, after: str) -> None:
    text = document()
    assert text.count(before) == 1
    assert not results.read(text.replace(before, after).encode(), "f").untouched


def test_the_file_says_itself_that_its_checksum_is_no_proof() -> None:
    assert "casual editing, and no more" in json.loads(document())["remark"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "Object missing required field"),
        (document().replace('"attempts": 2', '"attempts": "two"'), "Expected `int`, got `str`"),
        (document().replace("ExerciseResults", "Lab"), "found 'hairpin/v1alpha1 Lab'"),
        (document().replace("v1alpha1", "v7"), "found 'hairpin/v7 ExerciseResults'"),
        ("[" * 100_000, "recursion"),
        (document().replace("90.0", "NaN"), "NaN is no number of JSON"),
    ],
)
def test_a_file_that_is_none_is_named_with_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(TopologyError) as caught:
        results.read(text.encode(), "bob.json")
    assert caught.value.message.startswith("bob.json: ")
    assert said in caught.value.message
    assert "exercise.export" in caught.value.hint


def test_who_has_a_name_without_utf8_is_not_taken_for_a_cheat(tmp_path: Path) -> None:
    (tmp_path / "ann.json").write_bytes(document("ann\udcff").encode("utf-8", "replace"))
    (found,) = handed_in.read([str(tmp_path / "ann.json")])
    assert (found.untouched, found.results.learner) == (True, "ann?")


def test_the_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(document())
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(TopologyError) as caught:
        handed_in.read([str(tmp_path / name) for name in ("bad.json", "good.json", "none.json")])
    assert [mistake.split(":")[0].rpartition("/")[2] for mistake in caught.value.mistakes] == ["bad.json", "none.json"]


def class_(*learners: str) -> list[results.HandedIn]:
    return [results.read(document(learner).encode(), f"{learner}.json") for learner in learners]


def test_a_teacher_sees_a_row_for_each_learner_and_for_each_exercise_that_was_begun() -> None:
    assert report.text(class_("ann", "bob")) == (
        "LEARNER  PASSED  GAVE UP  CHECKS  HINTS  TIME  EXAM    CHECKSUM\n"
        "ann      1 of 3        1       3      5  90 s  1 of 2  ✓\n"
        "bob      1 of 3        1       3      5  90 s  1 of 2  ✓\n"
        "\n"
        "EXERCISE        BEGUN BY  PASSED BY  GAVE UP  HINTS  MEDIAN TIME\n"
        "ip-forward-off         2          2        0      2         90 s\n"
        "hairpin                2          0        2      8            -"
    )


def test_an_edited_file_is_named_below_the_table() -> None:
    edited = results.read(document().replace('"hints": 4', '"hints": 0').encode(), "ann.json")
    told = report.text([edited])
    assert "✗" in told
    assert told.endswith("ann.json: not as written: the checksum does not match")


def test_who_has_handed_in_two_files_is_named_below_the_table() -> None:
    two = [results.read(document("ann").encode(), file) for file in ("a.json", "b\n.json")]
    told = report.text([*two, *class_("bob")])
    assert told.endswith("\n\nann has handed in 2 files: a.json and b .json")


def test_the_tables_fit_into_80_columns_whatever_a_learner_is_called() -> None:
    record = Record(attempts=100, checks=1000, hints=100, passes=1, best_s=204.0)
    rows = tuple(Row(name=f"{'e' * 30}{n}", chapter="c", title="t", difficulty=1, record=record) for n in range(35))
    exam = Exam(began=0, minutes=45, items=tuple(ExamItem(exercise=f"e{n}", seed=1, took_s=9) for n in range(10)))
    full = results.document(results.collected(Progress(exams=(exam,)), rows, learner="y" * 40, now=86400.0))
    told = report.text([results.read(full.encode(), "full.json"), *class_("x" * 200, "\x1b[31mred\n", "ann")])
    assert "35 of 35" in told
    assert "119 min" in told
    assert "10 of 10" in told
    assert max(map(len, told.splitlines())) <= 80
    assert "\x1b" not in told


def test_csv_has_a_line_for_each_exercise_of_each_learner() -> None:
    rows = list(csv.DictReader(io.StringIO(report.as_csv(class_("ann", 'Bob "B", jr.')))))
    assert len(rows) == 6
    assert {row["learner"] for row in rows} == {"ann", 'Bob "B", jr.'}
    first = rows[0]
    assert (first["exercise"], first["state"], first["best_s"], first["hints"]) == (
        "ip-forward-off",
        "passed",
        "90.0",
        "1",
    )
    assert [row["state"] for row in rows[:3]] == ["passed", "given up", "new"]
    assert first["untouched"] == "yes"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1+1", "\t=1"])
def test_a_name_is_no_formula_for_a_spreadsheet(name: str) -> None:
    row = next(csv.DictReader(io.StringIO(report.as_csv(class_(name)))))
    assert row["learner"] == f"'{name.strip()}"
