"""What a learner reads fits into 80 columns and needs no colour."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lab.model.exercise import Exercise, ExerciseSpec
from lab.model.finding import Finding
from lab.model.progress import Attempt, Exam, ExamItem, Progress, Record, Row
from lab.model.verdict import CellSeen, Verdict
from lab.report import course
from lab.report import exercise as report
from lab.report.prose import flowed
from lab.report.table import Look

TITLE = "The node reaches everybody, its pods reach nobody, and this is a long title"
ROWS = (
    Row(name="ip-forward-off", chapter="clusterip", title=TITLE, difficulty=1, record=Record(attempts=2, hints=1)),
    Row(name="targetport", chapter="clusterip", title="Refused", difficulty=2),
    Row(
        name="snat-port-exhaustion-and-more",
        chapter="scale",
        title="Some connections fail",
        difficulty=5,
        needs_root=True,
        record=Record(attempts=1, passes=1, best_s=754.0, hints=4),
    ),
)


NUMBERS = {row.name: number for number, row in enumerate(ROWS, 1)}
GIVEN_UP = Record(attempts=1, gave_up=True)


def attempt(name: str, **fields: Any) -> Attempt:
    return Attempt(exercise=name, lab="exercise", since=100, touched=700, **{"seed": 7, **fields})


def finding(it: str, *, holds: bool, what: str = "answer") -> Finding:
    return Finding(it=it, what=what, expected="answered by web-2", observed="timeout after 3.0 s", holds=holds)


def cell(name: str, state: str, it: str = "a pod reaches itself by its Service") -> CellSeen:
    findings = () if state == "untried" else ((finding(it, holds=state == "green"),),)
    return CellSeen(name=name, it=it, state=state, findings=findings)  # type: ignore[arg-type] # one of three words


CELLS = (cell("hairpin", "red"), cell("same-node", "green"), cell("udp-endpoint-change", "untried"))


def test_the_course_has_a_heading_for_each_chapter_and_a_mark_at_the_present_exercise() -> None:
    told = course.course(ROWS, NUMBERS, "targetport", Look(width=80)).splitlines()
    assert told[0].split() == ["#", "TITLE", "LEVEL", "STATE", "BEST", "HINTS"]
    assert [line.strip() for line in told if line.strip() in {"clusterip", "scale"}] == ["clusterip", "scale"]
    assert told[told.index("   clusterip") + 1].split()[:3] == ["1", "The", "node"]
    assert [line.split()[1:3] for line in told if line.startswith(">")] == [["2", "Refused"]]
    last = next(line for line in told if "Some connections" in line).split()
    assert (last[0], last[-3:]) == ("3", ["13", "min", "4"])
    assert told[-2:] == ["1 of 3 exercises passed; levels go from 1 (easy) to 5 (hard)",
                         "needs root: exercise 3"]  # fmt: skip


def test_the_list_tells_a_name_when_it_is_no_secret_any_more() -> None:
    given_up = (*ROWS, Row(name="statistic-skew", chapter="scale", title="Busy", difficulty=1, record=GIVEN_UP))

    def shown(*, names: bool = False) -> list[str]:
        told = course.course(given_up, NUMBERS, names=names)
        return [row.name for row in given_up if row.name in told]

    assert shown() == ["snat-port-exhaustion-and-more", "statistic-skew"]
    assert "Busy (statistic-skew)" in course.course(given_up, NUMBERS)
    assert shown(names=True) == [row.name for row in given_up]


def test_in_an_exam_the_numbers_are_its() -> None:
    told = course.course(ROWS, {"targetport": 1}).splitlines()
    assert [line.split()[0] for line in told if "new" in line or "begun" in line] == ["-", "1"]
    assert told[-1] == "the numbers are those of the exam that is under way"


def test_no_name_is_told_before_its_exercise_is_passed_or_given_up() -> None:
    secret, begun = "hairpin-no-masq", Progress(attempt=attempt("hairpin-no-masq"))
    spec = ExerciseSpec(title="Silence", difficulty=1, minutes=5, may="m", success="s")
    one = Exercise(
        name=secret, chapter="hairpin", folder=Path("03-hairpin") / secret, source="", yaml="", spec=spec, ticket="",
        hints=(), solution="",
    )  # fmt: skip
    rows = (Row(name=secret, chapter="hairpin", title="Silence", difficulty=1, needs_root=True),)
    texts = [
        report.title(one, spec, "exercise 7 of 33"),
        course.course(rows, {secret: 7}),
        course.progress(begun, rows, "exercise 7", 700),
        *(report.verdict(Verdict(cells=(cell("a", state),)), begun, "exercise 7") for state in ("red", "untried")),
        course.nothing_follows("exercise 7", [7]),
        course.exam(Exam(began=0, minutes=45, items=(ExamItem(exercise=secret, seed=1),)), 600),
        course.exam_over(
            Exam(began=0, minutes=45, items=(ExamItem(exercise=secret, seed=7),)), rows, {}, begun.attempt
        ),
    ]
    assert [text for text in texts if secret in text] == []
    assert texts[0] == "Silence\nexercise 7 of 33, hairpin: level 1 of 5, about 5 min"
    for how in ({"passed": True}, {"gave_up": True}):
        assert f"exercise 7, {secret}" in course.progress(
            Progress(attempt=attempt(secret, **how)), rows, "exercise 7", 700
        )


LONG = Progress(
    attempt=Attempt(
        exercise="an-exercise-with-a-long-name",
        seed=999999,
        lab="exercise",
        since=0,
        touched=50000,
        hints=4,
        checks=30,
        wrong=12,
        gave_up=True,
    )
)


@pytest.mark.parametrize("look", [Look(width=80), Look(width=200), Look(width=80, unicode=False)])
def test_nothing_is_wider_than_80_columns(look: Look) -> None:
    long = Verdict(cells=(*CELLS, cell("x", "red", it="word " * 60)), costs=())
    texts = [
        course.course(ROWS, NUMBERS, "", look, names=True),
        report.checked(long.cells, look),
        report.since((), Verdict(cells=tuple(cell(f"cell-{n}", "red") for n in range(20))), look),
        report.task("may " * 60, "success " * 60, look),
        report.sight(long),
        report.hint(1, "hint " * 100, look),
        report.next_moves([("invoke exercise.answer QUESTION NUMBER", "why " * 20)]),
        report.verdict(Verdict(cells=CELLS[1:2], costs=("cost " * 20,)), LONG, "exercise 30", look),
        course.progress(LONG, ROWS, "exercise 30", 700, look),
    ]
    assert max(len(line) for text in texts for line in text.splitlines()) <= 80


def test_a_red_cell_says_what_was_seen_beside_what_was_expected() -> None:
    assert report.checked(CELLS, Look(width=80)) == (
        "   CELL                 OBSERVED\n"
        "✗  hairpin              a pod reaches itself by its Service\n"
        "                        answer: timeout after 3.0 s; expected answered by\n"
        "                        web-2\n"
        "✓  same-node            a pod reaches itself by its Service\n"
        "?  udp-endpoint-change  a pod reaches itself by its Service\n"
        "                        not tried: what it needs is red"
    )


def test_what_has_turned_since_the_last_check_is_told() -> None:
    seen = Verdict(cells=CELLS)
    assert report.since(("same-node", "udp-endpoint-change"), seen) == "green now: same-node\nred now: hairpin"
    assert report.since(("hairpin", "udp-endpoint-change"), seen) == ""
    assert report.since(None, seen) == ""


def test_the_first_hint_sets_what_is_red_against_what_is_not() -> None:
    assert report.sight(Verdict(cells=CELLS[:2])).startswith("Just now hairpin is red, and same-node is not.")
    assert "all that was tried is red (hairpin)" in report.sight(Verdict(cells=(CELLS[0], CELLS[2])))
    assert "nothing in the lab is red" in report.sight(Verdict(cells=CELLS[1:2]))


PROGRESS = Progress(attempt=attempt("targetport", hints=2, checks=3, wrong=1, passed=True))


def test_what_a_fix_costs_is_told_after_it_passed() -> None:
    passed = Verdict(cells=CELLS[1:2], costs=("works, but the client's address is lost",))
    assert report.verdict(passed, PROGRESS, "exercise 2") == (
        "solved: exercise 2, targetport, in 10 min, 2 hints, 3 checks, 1 wrong answer\n"
        "works, but the client's address is lost"
    )


def test_a_lab_that_was_green_once_is_not_solved() -> None:
    assert report.verdict(Verdict(cells=CELLS[1:2], stable=False), PROGRESS, "exercise 2").startswith("not stable")
    assert report.verdict(Verdict(cells=CELLS), PROGRESS, "exercise 2") == "2 of 3 cells are not as they should be"
    one = report.verdict(Verdict(cells=CELLS[:2]), PROGRESS, "exercise 2")
    assert one == "1 of 2 cells is not as it should be"


def test_an_exam_says_how_much_time_is_left_and_what_it_came_to() -> None:
    items = (ExamItem(exercise="a", seed=1, took_s=60), ExamItem(exercise="b", seed=2))
    assert course.exam(Exam(began=0, minutes=45, items=items), 600) == "exam: 1 of 2 exercises passed, 35 min left"
    over = Exam(began=0, minutes=45, items=items, ended=900)
    assert course.exam(over, 5000) == "exam over: 1 of 2 exercises passed in 60 s, of 45 min"


OVER = Exam(
    began=0,
    minutes=45,
    items=(ExamItem(exercise=ROWS[0].name, seed=7, took_s=300), ExamItem(exercise="targetport", seed=8)),
    ended=900,
)


def test_an_exam_that_is_over_says_of_each_exercise_whether_it_was_passed_and_how_to_go_on() -> None:
    assert course.exam_over(OVER, ROWS, NUMBERS, attempt("targetport", seed=8), Look(width=80)) == (
        "exam over: 1 of 2 exercises passed in 5 min, of 45 min\n"
        "\n"
        "#  TITLE                                                   PASSED   TIME\n"
        "1  The node reaches everybody, its pods reach nobody, and  ✓       5 min\n"
        "   this is a long title\n"
        "2  Refused                                                 ✗           -\n"
        "\n"
        "The numbers are those of the course again.\n"
        "next:\n"
        "  invoke exercise                     go on with exercise 2: its lab stays as it\n"
        "                                      is, and now there are hints\n"
        "  invoke exercise.solution --give-up  the solution of exercise 2\n"
        "  invoke exercise.start NUMBER        begin another of these; exercise.solution\n"
        "                                      --give-up then tells its solution"
    )


def test_behind_an_exam_the_solution_of_what_was_passed_last_can_be_read_at_once() -> None:
    passed = attempt(ROWS[0].name, passed=True)
    told = course.exam_over(OVER, ROWS, NUMBERS, passed, elsewhere=True)
    assert re.search("\n  invoke exercise.solution +the solution of exercise 1\n", told)
    assert "invoke exercise.start NUMBER --folder FOLDER  " in told
    assert "go on with" not in told
    alone = Exam(began=0, minutes=45, items=OVER.items[:1], ended=900)
    assert "exercise.start" not in course.exam_over(alone, ROWS, NUMBERS, passed)
    assert "(it cannot be read any more)" in course.exam_over(OVER, (), {}, None)


def test_paragraphs_flow_and_commands_stay() -> None:
    text = "One two three\nfour five.\n\n    $ curl -v http://10.96.0.10/ and more words\n    (28)\n\nSix\nseven.\n"
    assert flowed(text, 20) == (
        "One two three four\nfive.\n\n    $ curl -v http://10.96.0.10/ and more words\n    (28)\n\nSix seven."
    )


def test_items_of_lists_hang() -> None:
    text = "- one two three four five\n  six\n- seven\n1. eight nine ten eleven\n"
    assert flowed(text, 18) == "- one two three\n  four five six\n- seven\n1. eight nine ten\n   eleven"


@pytest.mark.parametrize(
    "fixed", ["## The fix, a long heading", "| a | b | c | d | e | f |", "```\nlong long long long\n```"]
)
def test_headings_tables_and_fences_stay(fixed: str) -> None:
    assert flowed(f"{fixed}\n\nx", 12) == f"{fixed}\n\nx"
