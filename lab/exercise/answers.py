"""Answers to an exercise's questions, as cells beside those of its lab; and of a quiz what is to be predicted yet."""

from __future__ import annotations

from collections.abc import Mapping

from lab.model.exercise import ExerciseSpec, Question
from lab.model.finding import Finding
from lab.model.verdict import CellSeen, State


def open_(spec: ExerciseSpec, answers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the questions that have no answer yet."""
    return tuple(one.name for one in spec.questions if one.name not in answers)


def told(spec: ExerciseSpec, *, ran: bool) -> bool:
    """Return whether an answer is told to be right or wrong: a prediction only when it `ran`."""
    return spec.mend or ran


def cells(spec: ExerciseSpec, answers: Mapping[str, str], *, ran: bool) -> tuple[CellSeen, ...]:
    """Return a cell for each question; `ran`: what a quiz predicts was run."""
    return tuple(_cell(one, answers.get(one.name), known=told(spec, ran=ran)) for one in spec.questions)


def _cell(question: Question, given: str | None, *, known: bool) -> CellSeen:
    right = given == question.answer
    state: State = "untried" if not known else "green" if right else "red"
    said = {"untried": f"{given}; not run yet", "green": "right", "red": f"{given}: that is not it"}
    found = Finding(
        it=question.ask,
        what="answer" if known else "prediction",
        expected="the right one",
        observed="none yet" if given is None else said[state],
        holds=state == "green",
    )
    return CellSeen(name=question.name, it=question.ask, state=state, findings=((found,),))
