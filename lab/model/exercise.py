"""Exercises: what exercise.yaml says, and a whole folder: the ticket, the hints, the solution, the scripts.

The published JSON Schema is made from the classes of the document; their docstrings are what an editor shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from lab.model.lab import Expectation
from lab.model.part import Part

Needs = Literal["", "root"]
HINTS = 4
"""How many hints an exercise has: where to look, which tool, the mechanism, nearly the solution."""


class Probe(Expectation, frozen=True, kw_only=True):
    """What must be true of the mended lab beside the matrix; its name stands in `red` as a cell's does.

    `last`: it is tried when all else has been: what the others' requests lead to may be what it needs.
    """

    name: str
    last: bool = False


class Cost(Expectation, frozen=True, kw_only=True):
    """What is true of the lab before the break, and not of every right fix; tried when an exercise is passed.

    `says`: what a fix costs that loses it: `works, but the server no longer sees the client's address`.
    """

    says: str


class Question(Part, frozen=True, kw_only=True):
    """What a learner is asked, and the choices; `answer` is the right one of them.

    `proof`: what the broken lab does that makes the answer right. `why`: what is said after the answer.
    """

    name: str
    ask: str
    choices: tuple[str, ...]
    answer: str
    proof: Expectation
    why: str = ""


class ExerciseSpec(Part, frozen=True, kw_only=True):
    """What an exercise is about, what is broken in it, and how it is judged.

    `difficulty`: 1 (easy) to 5. `minutes`: how long it takes somebody who meets it for the first time. `may`: what may
    be touched. `success`: what the mended lab does, in words.
    `topology`: the name of one that comes with Hairpin, if the folder has no lab.yaml.
    `vary`: variables and their choices, one of which a seed draws: a text, or several variables that go together.
    `red`: the cells and probes that are red after the break, as the ticket announces them. `leave`: cells of the matrix
    that say nothing here, each with the reason.
    `sync`: whether kube-proxy runs, and writes its rules anew at each check. `mend`: whether the lab is to be mended;
    if not, it is a quiz: what the questions ask is predicted, and their proofs' requests are made when all of it is.
    `needs`: `root`, where a user namespace cannot do it.
    """

    title: Annotated[str, Meta(max_length=72)]
    difficulty: Annotated[int, Meta(ge=1, le=5)]
    minutes: Annotated[int, Meta(ge=1, le=240)]
    may: str
    success: str
    topology: str = ""
    needs: Needs = ""
    vary: dict[str, tuple[str | dict[str, str], ...]] = field(default_factory=dict)
    sync: bool = True
    mend: bool = True
    red: tuple[str, ...] = ()
    leave: dict[str, str] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    costs: tuple[Cost, ...] = ()
    questions: tuple[Question, ...] = ()


class ExerciseMeta(Part, frozen=True, kw_only=True):
    """The exercise's name, which is its folder's."""

    name: Annotated[str, Meta(max_length=63)]


class ExerciseFile(Part, frozen=True, kw_only=True):
    """hairpin/v1alpha1 Exercise."""

    api_version: Literal["hairpin/v1alpha1"] = "hairpin/v1alpha1"
    kind: Literal["Exercise"] = "Exercise"
    metadata: ExerciseMeta
    spec: ExerciseSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One thing that a healthy lab does, under a name: what it means, and the expectations that say so.

    `needs`: another cell, without which this one cannot be tried. `last`: it is tried when all else has been.
    """

    name: str
    it: str
    expectations: tuple[Expectation, ...]
    needs: str = ""
    last: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """A script of sh(1); `name` is its place in the exercise's folder: `solve/sysctl.sh`."""

    name: str
    text: str

    @property
    def title(self) -> str:
        """What the first comment says that is no interpreter's name; "" if there is none."""
        said = (line[1:].strip() for line in self.text.splitlines() if line.startswith("#") and line[1:2] != "!")
        return next(said, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Exercise:
    """An exercise as its folder has it; the texts are templates, with `${variable}` in them.

    `chapter`: its folder's, without the number (`clusterip`). `source`: what messages call exercise.yaml; `yaml`: its
    text; `spec`: what it says, with variables in it. `topology`: the text of lab.yaml, None where `spec.topology` names
    one. `prepare` completes the lab before it is broken; `break_` is None where nothing is. `solve` and `wrong` are
    fixes.
    """

    name: str
    chapter: str
    folder: Path
    source: str
    yaml: str
    spec: ExerciseSpec
    ticket: str
    hints: tuple[str, ...]
    solution: str
    topology: str | None = None
    prepare: Script | None = None
    break_: Script | None = None
    solve: tuple[Script, ...] = ()
    wrong: tuple[Script, ...] = ()
