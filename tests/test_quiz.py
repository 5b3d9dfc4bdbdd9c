"""Questions, and what is predicted: nothing is told of a prediction before it is run, and then the kernel tells it."""

from __future__ import annotations

import msgspec
import pytest

from lab import catalogue
from lab.errors import TopologyError
from lab.exercise import answers
from lab.exercise import progress as events
from lab.model.exercise import ExerciseSpec, Question
from lab.model.finding import Finding
from lab.model.lab import Expectation, FlowExpectation
from lab.model.progress import Attempt, Progress
from lab.model.verdict import Run, Verdict
from lab.report import again, exercise, quiz
from lab.report.table import Look
from lab.workshop import quiz as room

from . import journeys

PROOF = Expectation(it="it is dropped", from_="client-a", to="svc/web", error="timeout")
CHOICES = ("an answer", "a refusal", "silence")
WHAT = Question(name="what", ask="What comes back?", choices=CHOICES, answer="silence", proof=PROOF, why="It was told.")
WHERE = msgspec.structs.replace(WHAT, name="where", ask="Where does it end?")
OTHER = msgspec.structs.replace(WHAT, name="other", choices=("yes", "no"), answer="no")


def spec(*, mend: bool = False) -> ExerciseSpec:
    return ExerciseSpec(
        title="t", difficulty=1, minutes=1, may="m", success="s", mend=mend, questions=(WHAT, WHERE, OTHER)
    )


def finding(*, holds: bool = True) -> Finding:
    return Finding(it="it is dropped", what="answer", expected="timeout", observed="answered by web-1", holds=holds)


def run(*asked: Question, holds: bool = True) -> Run:
    return Run(questions=asked, journey=journeys.drop(), findings=((finding(holds=holds),),) * len(asked))


def test_nothing_is_told_of_a_prediction_before_it_is_run() -> None:
    right, wrong = ({"what": one, "other": "no"} for one in ("silence", "an answer"))
    for given in (right, wrong):
        cells = answers.cells(spec(), given, ran=False)
        assert [cell.state for cell in cells] == ["untried"] * 3
        told = exercise.checked(cells, Look(width=80))
        assert f"prediction: {given['what']}; not run yet" in told
        assert "prediction: none yet" in told
        assert "expected" not in told
        assert "not it" not in told
    assert answers.open_(spec(), right) == ("where",)
    assert quiz.answered(WHAT, "a refusal", "lab.trace", right=None) == "noted: what: a refusal"


def test_what_was_run_is_right_or_wrong() -> None:
    given = {"what": "silence", "where": "an answer", "other": "no"}
    assert [cell.state for cell in answers.cells(spec(), given, ran=True)] == ["green", "red", "green"]


def test_where_the_lab_is_to_be_mended_each_answer_is_told_at_once() -> None:
    cells = answers.cells(spec(mend=True), {"what": "silence", "where": "an answer"}, ran=False)
    assert [cell.state for cell in cells] == ["green", "red", "red"]


def test_it_is_kept_that_a_quiz_was_run_and_what_was_answered_wrong() -> None:
    attempt = Attempt(exercise="a", seed=1, lab="exercise", since=100, touched=100)
    found = events.ran(Progress(attempt=attempt))
    found = events.answered(found, "what", "an answer", 110, right=False)
    assert found.attempt is not None
    assert (found.attempt.ran, found.attempt.wrong, found.record("a").wrong) == (True, 1, 1)


LOOKS = [Look(width=80), Look(width=200), Look(width=80, unicode=False)]


@pytest.mark.parametrize("look", LOOKS)
def test_a_right_prediction_has_one_sentence_of_the_journey_and_why(look: Look) -> None:
    told = quiz.text([run(WHAT)], {"what": "silence"}, look=look)
    assert told.startswith("$ invoke lab.trace client-a svc/web\n\nclient-a asked web;")
    assert "REQUEST" not in told
    assert told.endswith("what: silence\n  It was told.")
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize("look", LOOKS)
def test_a_wrong_prediction_has_the_whole_journey_and_neither_the_answer_nor_why(look: Look) -> None:
    told = quiz.text([run(WHAT, OTHER)], {"what": "a refusal", "other": "no"}, look=look)
    assert "REQUEST  tcp [S]" in told
    _, _, judged = told.partition("what: a refusal")
    assert "see above, and answer again" in judged
    assert "silence" not in judged
    assert told.count("It was told.") == 1  # of the other question, which was right
    assert told.count("$ invoke") == 1  # one request for both
    assert max(map(len, told.splitlines())) <= 80


def test_a_check_counts_what_was_predicted_right_or_names_what_is_to_be_predicted() -> None:
    given = {"what": "silence", "where": "an answer", "other": "no"}
    cells = answers.cells(spec(), given, ran=True)
    ran = Verdict(cells=cells, runs=(run(WHAT, WHERE), run(OTHER)))
    assert (
        exercise.verdict(ran, Progress(), "exercise 3")
        == "right: 2 of 3 predictions; what was wrong is to be answered anew"
    )
    early = Verdict(cells=answers.cells(spec(), {}, ran=False), open=("what", "where"))
    assert not early.holds
    said = exercise.verdict(early, Progress(), "exercise 3")
    assert said == "predict first: what and where; then a check makes the requests"


def test_questions_about_the_same_request_are_answered_by_one_however_long_each_would_wait() -> None:
    cluster = catalogue.choose("clusterip").cluster
    flow = msgspec.structs.replace(PROOF, error=None, flow=FlowExpectation(node="node-1"))
    later = msgspec.structs.replace(PROOF, to="svc/web:81")
    proofs = {"a": PROOF, "b": later, "c": flow}
    asked = [msgspec.structs.replace(WHAT, name=name, proof=proof) for name, proof in proofs.items()]
    assert [[one.name for one, _ in every] for every in room.together(cluster, asked)] == [["a", "c"], ["b"]]
    gone = msgspec.structs.replace(WHAT, proof=msgspec.structs.replace(PROOF, to="svc/gone"))
    with pytest.raises(TopologyError, match="there is no Service 'gone'"):
        room.together(cluster, [gone])


def test_a_lab_that_was_changed_proves_nothing() -> None:
    room.check_unchanged([run(WHAT)])
    with pytest.raises(TopologyError) as refused:
        room.check_unchanged([run(WHAT), run(OTHER, holds=False)])
    assert refused.value.mistakes == (
        "the lab was changed: it does not do what is asked about",
        "it is dropped: answer: expected timeout, observed answered by web-1",
    )
    assert "exercise.reset" in str(refused.value)


def test_choices_that_several_questions_have_are_told_once() -> None:
    assert quiz.questions([WHAT, WHERE, OTHER], {"where": "a refusal"}) == (
        "question what:\nWhat comes back?\n  1  an answer\n  2  a refusal\n  3  silence\n\n"
        "question where:\nWhere does it end?\n *2  a refusal\n\n"
        "question other:\nWhat comes back?\n  1  yes\n  2  no"
    )
    assert "Where does it end?\n  (the same choices)" in quiz.questions([WHAT, WHERE], {})


def test_a_choice_of_many_words_hangs() -> None:
    long = msgspec.structs.replace(WHAT, choices=("word " * 30, "b"))
    first, second, *_ = quiz.questions([long], {}).splitlines()[2:]
    assert (first[:6], second[:6]) == ("  1  w", "     w")
    assert len(first) <= 80


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"protocol": "udp", "local_port": 40000}, " --udp --local-port 40000"),
        ({"port": 81, "family": "ipv6"}, " --port 81 --family ipv6"),
    ],
)
def test_the_command_that_shows_a_request_again_makes_that_request(fields: dict[str, object], words: str) -> None:
    proof = msgspec.structs.replace(PROOF, **fields)
    assert again.trace(proof) == f"invoke lab.trace client-a svc/web{words}"
    assert again.trace(proof, "exercise-2").endswith(" --lab exercise-2")


def test_a_wrong_answer_leads_to_the_command_that_shows_it() -> None:
    assert quiz.answered(WHAT, "a refusal", "invoke x", right=False) == "no: look again: invoke x"
    assert quiz.answered(WHAT, "a refusal", "", right=False) == "no: look again at what the lab does"
    assert quiz.answered(WHAT, "silence", "", right=True) == "It was told."
