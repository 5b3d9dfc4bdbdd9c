"""Questions and answers; and of a quiz what was predicted beside what the kernel did, each request's journey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.report import again, journey_json
from lab.report import journey as story
from lab.report.exercise import WIDE, narrow
from lab.report.journey_sentence import sentence
from lab.report.table import PLAIN, Look, mark, paint, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lab.model.exercise import Question
    from lab.model.verdict import Run

_INDENT = "  "


def questions(every: Sequence[Question], answers: Mapping[str, str], look: Look = PLAIN) -> str:
    """Return the questions with their choices, numbered, which are told once where several have the same.

    `answers`: those given so far.
    """
    before = [(), *(one.choices for one in every)]
    return "\n\n".join(
        _question(one, answers.get(one.name), look, same=one.choices == choices)
        for one, choices in zip(every, before, strict=False)
    )


def _question(asked: Question, given: str | None, look: Look, *, same: bool) -> str:
    lines = [paint(f"question {asked.name}:", "bold", look), wrap(words.line(asked.ask), WIDE)]
    if same and given is None:
        return "\n".join([*lines, "  (the same choices)"])
    for number, choice in enumerate(asked.choices, 1):
        if not same or choice == given:
            sign = "*" if choice == given else " "
            lines.append(_hanging(f" {sign}{number}  ", words.line(choice)))
    return "\n".join(lines)


def _hanging(begin: str, said: str) -> str:
    return begin + wrap(said, WIDE - len(begin)).replace("\n", "\n" + " " * len(begin))


def answered(asked: Question, given: str, look_at: str, *, right: bool | None) -> str:
    """Return what is said of an answer that was given; `right`: None of a prediction that was not run yet.

    `look_at`: the command that shows what is asked about, "" if there is none.
    """
    if right is None:
        return wrap(f"noted: {asked.name}: {words.line(given)}", WIDE)
    if right:
        return wrap(words.line(asked.why), WIDE) or "right"
    return f"no: look again: {look_at}" if look_at else "no: look again at what the lab does"


def text(runs: Sequence[Run], answers: Mapping[str, str], lab: str = "", look: Look = PLAIN) -> str:
    """Return each request with its predictions: in a sentence if all are right, with its whole journey if one is not.

    Who was wrong reads there why, and answers anew; who was right is told why. `lab`: its name, if it must be said.
    """
    return "\n\n".join(_run(run, answers, lab, narrow(look)) for run in runs)


def _run(run: Run, answers: Mapping[str, str], lab: str, look: Look) -> str:
    right = all(answers.get(one.name) == one.answer for one in run.questions)
    seen = wrap(sentence(run.journey), look.width) if right else story.text(run.journey, look)
    asked = (_prediction(one, answers.get(one.name, ""), look) for one in run.questions)
    return "\n\n".join([paint(f"$ {again.trace(run.questions[0].proof, lab)}", "bold", look), seen, *asked])


def _prediction(asked: Question, given: str, look: Look) -> str:
    right = given == asked.answer
    said = asked.why if right else "This is not what the kernel did: see above, and answer again."
    room = look.width - len(_INDENT)
    head = paint(wrap(f"{asked.name}: {words.line(given)}", room), "green" if right else "red", look)
    lines = [*head.splitlines(), *wrap(words.line(said), room).splitlines()]
    return f"{mark(right, look)} " + f"\n{_INDENT}".join(lines)


def data(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return each request's `questions`, by name, and its `journey` as `lab.trace --json` has it."""
    return [
        {"questions": [one.name for one in run.questions], "journey": journey_json.data(run.journey)} for run in runs
    ]
