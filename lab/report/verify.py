"""The proofs of exercises: a row for each, and everything about what is not as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.model.verdict import span_s
from lab.report import again, findings
from lab.report.table import PLAIN, Look, mark, paint, table, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.verdict import Stage, Trial, Verified

STAGES: tuple[tuple[Stage, str], ...] = (
    ("before", "BEFORE"),
    ("broken", "BROKEN"),
    ("wrong", "WRONG FIXES"),
    ("solve", "SOLUTIONS"),
)
_MOST = 3  # cells of a failed trial that are shown in full


def text(verified: Sequence[Verified], took_s: float, look: Look = PLAIN) -> str:
    """Return the table, then what is wrong, then what fixes cost, and a line that sums up.

    The times are a clock's on the wall: labs that stood side by side took the time of one.
    """
    rows = [[one.exercise, *(_cell(one, stage, look) for stage, _ in STAGES), _took(one)] for one in verified]
    parts = [table(rows, ["EXERCISE", *(title for _, title in STAGES), "TOOK"], look, right="TOOK")]
    parts += [part for one in verified for part in _failures(one, look)]
    costs = [line for one in verified for line in _costs(one)]
    parts += ["\n".join(costs)] if costs else []
    parts.append(_sum(verified, took_s, look))
    return "\n\n".join(parts)


def _cell(one: Verified, stage: Stage, look: Look) -> str:
    if one.not_tried:
        return "left out"
    trials = [trial for trial in one.trials if trial.stage == stage]
    if not trials:
        return ""
    bad = sum(bool(trial.wrong) for trial in trials)
    told = f" {bad} of {len(trials)}" if bad else f" {len(trials)}" if len(trials) > 1 else ""
    return f"{mark(not bad, look)}{told} {words.seconds(span_s(trials))}"


def _took(one: Verified) -> str:
    return words.seconds(one.took_s) if one.trials else ""


def _failures(one: Verified, look: Look) -> list[str]:
    parts = []
    if one.mistakes:
        lines = "\n".join(_laid_out(text, look) for text in one.mistakes)
        parts.append(f"{paint(one.exercise, 'bold', look)}\n{paint(lines, 'red', look)}")
    for trial in one.trials:
        if trial.wrong:
            title = paint(f"{one.exercise}, {_titled(trial)}", "bold", look)
            lines = "\n".join(_laid_out(text, look) for text in trial.wrong)
            parts.append(f"{title}\n{paint(lines, 'red', look)}")
            parts += _cells(trial, look)
    return parts


def _laid_out(text: str, look: Look) -> str:
    """Return a text in lines that fit; what a script has printed, in lines of its own, stays as it is."""
    return text if "\n" in text else wrap(text, look.width)


def _cells(trial: Trial, look: Look) -> list[str]:
    """Return for some cells of a failed trial all about the first of its expectations that does not hold."""
    found = []
    for cell in trial.cells:
        bad = [(asked, part) for asked, part in cell.tried if not all(finding.holds for finding in part)]
        for asked, part in (bad or list(cell.tried))[:1]:
            who = f", {again.in_short(asked)}" if asked else ""
            found.append(f"{cell.name}{who}: {findings.details(part, look)}")
    return found[:_MOST]


def _titled(trial: Trial) -> str:
    where = {"before": "before the break", "broken": "after the break"}.get(trial.stage, trial.script)
    return f"{where}, with seed {trial.seed}"


def _costs(one: Verified) -> list[str]:
    said = dict.fromkeys((trial.script, says) for trial in one.trials for says in trial.costs)
    return [f"{one.exercise}, {script}: {says}" for script, says in said]


def _sum(verified: Sequence[Verified], took_s: float, look: Look) -> str:
    lines = [f"left out: {one.exercise}: {one.not_tried}" for one in verified if one.not_tried]
    tried = [one for one in verified if not one.not_tried]
    wrong = [one for one in tried if not one.holds]
    number, time = words.count(len(tried), "exercise"), words.seconds(took_s)
    if wrong:
        told = paint(f"{len(wrong)} of {number} not as they say, in {time}", "red", look)
    else:
        told = paint(f"{number} proven, in {time}", "green", look)
    return "\n".join([*lines, told])


def data(verified: Sequence[Verified], took_s: float) -> dict[str, Any]:
    """Return all that was found.

    Keys: `holds`, `took_s`, `exercises`: each `name`, `holds`, `mistakes`, `not_tried` ("" if it was), `took_s` and
    `trials`: each `stage` (before, broken, wrong, solve), `script`, `seed`, `wrong`, `costs`, `took_s` and `cells`:
    those that tell why, each `name`, `state` and `expectations` as `lab.check --json` has them.
    """
    return {
        "holds": all(one.holds for one in verified),
        "took_s": took_s,
        "exercises": [
            {
                "name": one.exercise,
                "holds": one.holds,
                "mistakes": list(one.mistakes),
                "not_tried": one.not_tried,
                "took_s": one.took_s,
                "trials": [_data(trial) for trial in one.trials],
            }
            for one in verified
        ],
    }


def _data(trial: Trial) -> dict[str, Any]:
    return {
        "stage": trial.stage,
        "script": trial.script,
        "seed": trial.seed,
        "wrong": list(trial.wrong),
        "costs": list(trial.costs),
        "took_s": trial.took_s,
        "cells": [
            {"name": cell.name, "state": cell.state, "expectations": findings.data(cell.findings)["expectations"]}
            for cell in trial.cells
        ],
    }
