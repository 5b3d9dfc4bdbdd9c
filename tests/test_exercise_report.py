"""What a learner reads fits into 80 columns and needs no colour."""

from __future__ import annotations

import pytest

from lab.model.finding import Finding
from lab.model.progress import Attempt, Exam, ExamItem, Progress, Record, Row
from lab.model.verdict import CellSeen, Verdict
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


def finding(it: str, *, holds: bool, what: str = "answer") -> Finding:
    return Finding(it=it, what=what, expected="answered by web-2", observed="timeout after 3.0 s", holds=holds)


def cell(name: str, state: str, it: str = "a pod reaches itself by its Service") -> CellSeen:
    findings = () if state == "untried" else ((finding(it, holds=state == "green"),),)
    return CellSeen(name=name, it=it, state=state, findings=findings)  # type: ignore[arg-type] # one of three words


CELLS = (cell("hairpin", "red"), cell("same-node", "green"), cell("udp-endpoint-change", "untried"))


def test_the_course_has_a_heading_for_each_chapter_and_a_mark_at_the_present_exercise() -> None:
    told = report.course(ROWS, "targetport", Look(width=80)).splitlines()
    assert told[0].split() == ["EXERCISE", "TITLE", "LEVEL", "STATE", "BEST", "HINTS"]
    assert [line.strip() for line in told if line.strip() in {"clusterip", "scale"}] == ["clusterip", "scale"]
    assert told[told.index("   clusterip") + 1].split()[0] == "ip-forward-off"
    assert [line.split()[1] for line in told if line.startswith(">")] == ["targetport"]
    last = next(line for line in told if "snat" in line).split()
    assert (last[0], last[-3:]) == ("snat-port-exhaustion-and-more", ["13", "min", "4"])
    assert told[-2:] == ["1 of 3 exercises passed; levels go from 1 (easy) to 5 (hard)",
                         "needs root: snat-port-exhaustion-and-more"]  # fmt: skip


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
        report.course(ROWS, "", look),
        report.checked(long.cells, look),
        report.since((), Verdict(cells=tuple(cell(f"cell-{n}", "red") for n in range(20))), look),
        report.task("may " * 60, "success " * 60, look),
        report.sight(long),
        report.hint(1, "hint " * 100, look),
        report.next_moves([("invoke exercise.answer QUESTION NUMBER", "why " * 20)]),
        report.verdict(Verdict(cells=CELLS[1:2], costs=("cost " * 20,)), LONG, look),
        report.progress(LONG, ROWS, 700, look),
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
    assert "nothing is red" in report.sight(Verdict(cells=CELLS[1:2]))


PROGRESS = Progress(
    attempt=Attempt(
        exercise="targetport", seed=7, lab="exercise", since=100, touched=700, hints=2, checks=3, wrong=1, passed=True
    )
)


def test_what_a_fix_costs_is_told_after_it_passed() -> None:
    passed = Verdict(cells=CELLS[1:2], costs=("works, but the client's address is lost",))
    assert report.verdict(passed, PROGRESS) == (
        "solved: targetport, 10 min, 2 hints, 3 checks, 1 wrong answer\nworks, but the client's address is lost"
    )


def test_a_lab_that_was_green_once_is_not_solved() -> None:
    assert report.verdict(Verdict(cells=CELLS[1:2], stable=False), PROGRESS).startswith("not stable")
    assert report.verdict(Verdict(cells=CELLS), PROGRESS) == "2 of 3 cells are not as it should be"


def test_an_exam_says_how_much_time_is_left_and_what_it_came_to() -> None:
    items = (ExamItem(exercise="a", seed=1, took_s=60), ExamItem(exercise="b", seed=2))
    assert report.exam(Exam(began=0, minutes=45, items=items), 600) == "exam: 1 of 2 exercises passed, 35 min left"
    over = Exam(began=0, minutes=45, items=items, ended=900)
    assert report.exam(over, 5000) == "exam over: 1 of 2 exercises passed in 60 s, of 45 min"


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
