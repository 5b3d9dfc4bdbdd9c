from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.errors import TopologyError
from lab.parse import course, schema
from lab.parse import exercise as parse
from lab.workshop import scenes

from .exercises import FILES, SPEC, write

ROOT = Path(__file__).resolve().parent.parent
OURS = sorted((ROOT / "exercises").glob("*/*/exercise.yaml"))


def mistakes(folder: Path) -> list[str]:
    """Return the mistakes of an exercise, with paths from its folder on."""
    with pytest.raises(TopologyError) as refused:
        scenes.scene(parse.read(folder), 1)
    return [one.replace(f"{folder}/", "") for one in refused.value.mistakes]


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    one = parse.read(write(tmp_path, prepare="true\n"))
    assert (one.name, one.chapter, one.spec.red) == ("small", "chapter", ("hairpin",))
    assert one.hints == tuple(f"hint {number} of ${{asker}}" for number in range(1, 5))
    assert [script.name for script in (*one.solve, *one.wrong)] == ["solve/on.sh", "wrong/promisc.sh"]
    assert one.solve[0].title == "Hairpin on."
    assert one.prepare is not None
    assert one.break_ is not None


QUESTION = (
    "  questions: [{name: q, ask: who, choices: [a, b], answer: a, proof: {it: x, from: client-a, to: svc/web}}]\n"
)


def with_(old: str, new: str) -> dict[str, str | None]:
    """Return the change of exercise.yaml that has `new` instead of `old`."""
    assert old in SPEC
    return {"exercise": SPEC.replace("NAME", "small").replace(old, new)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spec": "  redd: [x]\n"}, "exercise.yaml:12:3: spec.redd: unknown field 'redd'; did you mean red?"),
        ({"exercise": SPEC.replace("NAME", "other")},
         "exercise.yaml:3:18: metadata.name: 'other' is not the folder's name; expected small"),
        (with_("difficulty: 3", "difficulty: 7"),
         "exercise.yaml:6:15: spec.difficulty: 7 is out of range; expected a whole number from 1 to 5"),
        (with_("[client-a]", "[{a: x}, {b: y}]"),
         "exercise.yaml:10:17: spec.vary.asker: each choice must have the same variables; expected a and b in each"),
        (with_("[client-a]", "[]"), "exercise.yaml:10:17: spec.vary.asker: there is nothing to choose from"),
        (with_("asker:", "As-ker:"), "exercise.yaml:10:10: spec.vary.As-ker: 'As-ker' cannot be a variable; expected"),
        (with_("[hairpin]", "[hairpni]"),
         "exercise.yaml:11:9: spec.red[0]: there is neither a cell nor a probe 'hairpni' here; expected hairpin, "),
        ({"exercise": "kind: [\n"}, "exercise.yaml:2:1: this is not YAML"),
        ({"exercise": "- a\n"}, "exercise.yaml:1:1: expected one document, a mapping with"),
        ({"ticket": None}, "ticket.md: there is no such file"),
        ({"solution": " \n"}, "solution.md:1:1: there is nothing in this file"),
        ({"hints": "## 1\n\na\n\n## 3\n\nb\n"},
         "hints.md:1:1: expected the headings `## 1`, `## 2`, `## 3` and `## 4`, in this order"),
        ({"hints": FILES["hints.md"].replace("hint 2 of ${asker}", "")}, "hints.md:5:1: this hint says nothing"),
        ({"break": None, "spec": QUESTION},
         "exercise.yaml:1:1: spec.red announces what is red after the break, and there is no break.sh"),
        ({"break": None} | with_("  red: [hairpin]\n", ""),
         "exercise.yaml:1:1: there is neither break.sh nor a question: nothing to be done"),
        (with_("  red: [hairpin]\n", ""), "exercise.yaml:1:1: break.sh breaks something, and spec.red announces"),
        ({"solve__on": None}, "exercise.yaml:1:1: there is no fix in solve/; expected a script or more"),
        ({"spec": "  mend: false\n"}, "exercise.yaml:1:1: spec.mend is false, and there is no question"),
        ({"spec": "  topology: clusterip\n"}, "exercise.yaml:1:1: expected either lab.yaml in the folder or spec."),
        ({"spec": QUESTION.replace("answer: a", "answer: c")},
         "exercise.yaml:12:60: spec.questions[0].answer: 'c' is none of the choices; expected a or b"),
        ({"spec": QUESTION.replace(", proof: {it: x, from: client-a, to: svc/web}", "")},
         "exercise.yaml:12:15: spec.questions[0]: the field proof is missing"),
        ({"spec": QUESTION.replace("svc/web", "svc/wbe")},
         "exercise.yaml:12:98: spec.questions[0].proof.to: there is no Service 'wbe'"),
        ({"spec": "  mend: false\n" + QUESTION.replace("svc/web}", "svc/web, shares: equal}")},
         "exercise.yaml:13:63: spec.questions[0].proof: what is predicted is shown by one request; expected neither"),
        ({"spec": "  probes:\n  - {name: p, it: x, from: client-b, to: svc/web}\n"},
         "exercise.yaml:13:28: spec.probes[0].from: there is no pod, node or client 'client-b'"),
        ({"spec": "  probes:\n  - {name: hairpin, it: x, from: client-a, to: svc/web}\n"},
         "exercise.yaml:13:12: spec.probes[0].name: 'hairpin' is a cell of the matrix; expected another name"),
        ({"spec": "  costs:\n  - {says: s, it: x, from: client-a, to: svc/web:81, answer: {by: nobody}}\n"},
         "exercise.yaml:13:67: spec.costs[0].answer.by: there is no pod 'nobody'"),
        ({"spec": "  leave: {nodeport-local: why}\n"},
         "exercise.yaml:12:11: spec.leave.nodeport-local: there is neither a cell nor a probe 'nodeport-local' here;"),
        ({"ticket": "line\n$ curl ${svc_web_io}\n"}, "ticket.md:2:8: there is no variable 'svc_web_io'; expected"),
        ({"spec": "  leave: {large: '${nothing}'}\n"}, "exercise.yaml:12:19: there is no variable 'nothing'; expected"),
        ({"lab": "metadata: ${web_1_ip}\n"}, "lab.yaml:1:11: there is no variable 'web_1_ip'; expected asker, "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_file_and_line(tmp_path: Path, changes: dict[str, str | None], said: str) -> None:
    told = mistakes(write(tmp_path, "small", **changes))
    assert [one[: len(said)] for one in told] == [said]


def test_all_mistakes_of_all_files_and_exercises_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, "one", ticket=None, hints="x\n", spec="  redd: []\n")
    two = write(tmp_path, "two", solution="")
    (two / "solve" / "readme.txt").write_text("x")
    (two / "brake.sh").write_text("x")
    with pytest.raises(TopologyError) as refused:
        course.course(tmp_path)
    told = [one.replace(f"{tmp_path}/01-chapter/", "").partition(": ")[0] for one in refused.value.mistakes]
    assert told == [
        "one/exercise.yaml:12:3", "one/ticket.md", "one/hints.md:1:1",
        "two/solution.md:1:1", "two/solve/readme.txt", "two/brake.sh",
    ]  # fmt: skip


def test_a_course_goes_by_chapter_and_then_from_easy_to_hard(tmp_path: Path) -> None:
    write(tmp_path, "hard", exercise=SPEC.replace("NAME", "hard").replace("difficulty: 3", "difficulty: 5"))
    write(tmp_path, "medium")
    write(tmp_path, "last").rename(tmp_path / "last")
    (tmp_path / "02-more").mkdir()
    (tmp_path / "last").rename(tmp_path / "02-more" / "last")
    assert [(one.chapter, one.name) for one in course.course(tmp_path)] == [
        ("chapter", "medium"), ("chapter", "hard"), ("more", "last"),
    ]  # fmt: skip
    assert [one.name for one in course.course(tmp_path / "02-more" / "last")] == ["last"]


def test_two_exercises_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "02-more").mkdir()
    write(tmp_path / "aside").rename(tmp_path / "02-more" / "small")
    with pytest.raises(TopologyError, match=r"there is an exercise small in .*01-chapter/small already"):
        course.course(tmp_path)


def test_where_there_is_no_exercise_the_message_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"there is no exercise here; expected NN-chapter/NAME/exercise\.yaml"):
        course.course(tmp_path)
    with pytest.raises(TopologyError, match="No such file"):
        course.course(tmp_path / "nowhere")
    with pytest.raises(TopologyError, match=r"^there is no exercise 'smal'; did you mean small\?"):
        scenes.find("smal", str(write(tmp_path).parents[1]))


def test_only_braced_variables_are_replaced() -> None:
    text = "$ curl ${ip} costs $5, $ip, $$, ${"
    assert parse.filled(text, {"ip": "10.0.0.1"}, "x") == "$ curl 10.0.0.1 costs $5, $ip, $$, ${"


def test_the_published_schema_is_the_one_that_the_types_make() -> None:
    file = ROOT / "lab" / "schema" / schema.EXERCISE
    assert file.read_text(encoding="utf-8") == schema.text(schema.exercise())


def test_the_schema_has_every_part_and_closes_them() -> None:
    found = schema.exercise()
    names = {piece.partition('"')[0] for piece in json.dumps(found).split('"#/$defs/')[1:]}
    assert names == found["$defs"].keys()
    assert all(part["description"] and part["additionalProperties"] is False for part in found["$defs"].values())
    assert found["additionalProperties"] is False


@pytest.mark.parametrize("file", OURS, ids=lambda path: path.parent.name)
def test_our_exercises_have_no_mistake_and_tell_an_editor_where_the_schema_is(file: Path) -> None:
    marker, _, place = file.read_text(encoding="utf-8").partition("\n")[0].partition("=")
    assert marker == "# yaml-language-server: $schema"
    assert file.parent.joinpath(place).resolve() == ROOT / "lab" / "schema" / schema.EXERCISE
    fields: dict[str, Any] = schema.exercise()["$defs"]["ExerciseSpec"]["properties"]
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["spec"].keys() <= fields.keys()
    for seed in (1, 2):
        scenes.scene(parse.read(file.parent), seed)
