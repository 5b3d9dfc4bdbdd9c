"""A folder of an exercise to the exercise, and to every mistake of its files at once, each with file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import TopologyError
from lab.model.exercise import HINTS, Exercise, ExerciseFile, ExerciseSpec, Script
from lab.parse import names
from lab.parse.check import convert
from lab.parse.files import FILE, data_of, decode_text, printable
from lab.parse.mistake import Mistakes, did_you_mean, listed, show, show_path
from lab.parse.yaml import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.parse.yaml import Document

EXERCISE = "exercise.yaml"
TICKET, HINTS_FILE, SOLUTION = "ticket.md", "hints.md", "solution.md"
PREPARE, BREAK = "prepare.sh", "break.sh"
FIXES = ("solve", "wrong")
MOST_BYTES = 100_000
"""Of one file: a script is handed to sh(1) as one argument, which may have 128 KiB (MAX_ARG_STRLEN, execve(2))."""

_CHAPTER = re.compile(r"[0-9]+-([a-z0-9]([-a-z0-9]*[a-z0-9])?)")
_VARIABLE = re.compile(r"\$\{([^}\n]*)\}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_HEADING = re.compile(r"^## *([0-9]+) *$", re.MULTILINE)
HINT = "docs/exercises.md says how an exercise is written"
_KNOWN = (EXERCISE, TICKET, HINTS_FILE, SOLUTION, PREPARE, BREAK, FILE, "README.md", *FIXES)


def chapter(folder: str) -> str:
    """Return the chapter that a folder of that name is: `clusterip` of `01-clusterip`; "" if it is none."""
    found = _CHAPTER.fullmatch(folder)
    return found[1] if found else ""


def read(folder: Path) -> Exercise:
    """Return the exercise of a folder; raises `TopologyError` with every mistake of its files."""
    out: list[str] = []
    source = printable(folder / EXERCISE)
    yaml = _text(folder / EXERCISE, out)
    spec = None if yaml is None else _spec(yaml, folder.resolve().name, source, out)
    texts = {name: _text(folder / name, out) or "" for name in (TICKET, HINTS_FILE, SOLUTION)}
    hints = _hints(texts[HINTS_FILE], printable(folder / HINTS_FILE), out)
    topology = _text(folder / FILE, out) if (folder / FILE).exists() else None
    fixes = {kind: tuple(_scripts(folder, kind, out)) for kind in FIXES}
    prepare, broken = (_script(folder, name, out) for name in (PREPARE, BREAK))
    _strays(folder, out)
    if spec is not None:
        _whole(spec, source, out, topology=topology, broken=broken, fixes=fixes)
    if out or spec is None or yaml is None:
        raise TopologyError(out, hint=HINT)
    return Exercise(
        name=folder.resolve().name,
        chapter=chapter(folder.resolve().parent.name),
        folder=folder,
        source=source,
        yaml=yaml,
        spec=spec,
        ticket=texts[TICKET],
        hints=hints,
        solution=texts[SOLUTION],
        topology=topology,
        prepare=prepare,
        break_=broken,
        solve=fixes["solve"],
        wrong=fixes["wrong"],
    )


def _spec(text: str, folder: str, source: str, out: list[str]) -> ExerciseSpec | None:
    try:
        document = _document(text, source)
    except TopologyError as error:
        out += error.mistakes
        return None
    mistakes = Mistakes()
    found: ExerciseFile | None = convert(ExerciseFile, document.value, 0, mistakes)
    if found is not None:
        _names(found, folder, mistakes)
    out += _placed(source, document, mistakes)
    return found.spec if found and not mistakes.kept else None


def _document(text: str, source: str) -> Document:
    found, spots = documents(text, source)
    if spots:
        raise TopologyError([f"{source}:{spot.line}:{spot.column}: {spot.text}" for spot in spots])
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise TopologyError(f"{source}:1:1: expected one document, a mapping with apiVersion, kind, metadata and spec")
    return found[0]


def _placed(source: str, document: Document, mistakes: Mistakes) -> Iterator[str]:
    for one in mistakes.kept:
        line, column = document.position(one.path, key=one.key)
        where = f"{show_path(one.path)}: " if one.path else ""
        yield f"{source}:{line}:{column}: {where}{one.text}"


def settled(exercise: Exercise, variables: Mapping[str, str]) -> ExerciseSpec:
    """Return what exercise.yaml says with its `${variable}`s replaced; raises as `filled` and `read` do."""
    out: list[str] = []
    spec = _spec(filled(exercise.yaml, variables, exercise.source), exercise.name, exercise.source, out)
    if spec is None:
        raise TopologyError(out, hint=HINT)
    return spec


def refusal(exercise: Exercise, mistakes: Mistakes) -> TopologyError:
    """Return mistakes of what exercise.yaml says, each with its place."""
    return TopologyError(list(_placed(exercise.source, _document(exercise.yaml, exercise.source), mistakes)), hint=HINT)


def _names(found: ExerciseFile, folder: str, out: Mistakes) -> None:
    """Report names that are none, and two things of one name."""
    spec = found.spec
    if found.metadata.name != folder:
        text = f"{show(found.metadata.name)} is not the folder's name; expected {folder}"
        out.add(0, ("metadata", "name"), text)
    named = {"probes": [one.name for one in spec.probes], "questions": [one.name for one in spec.questions]}
    for field, every in named.items():
        for number, name in enumerate(every):
            where = ("spec", field, number, "name")
            if expected := names.label(name):
                out.add(0, where, f"{show(name)} cannot be a name; expected {expected}")
            if name in every[:number]:
                out.add(0, where, f"{show(name)} is here already; expected another name")
    for number, question in enumerate(spec.questions):
        if question.answer not in question.choices:
            text = f"{show(question.answer)} is none of the choices; expected {listed(question.choices)}"
            out.add(0, ("spec", "questions", number, "answer"), text + did_you_mean(question.answer, question.choices))
    for name, choices in spec.vary.items():
        _choices(name, choices, out)


def _choices(name: str, choices: tuple[str | dict[str, str], ...], out: Mistakes) -> None:
    where = ("spec", "vary", name)
    expected = "lower-case letters, digits and '_', a letter first: it is a variable of scripts, too"
    groups = [one for one in choices if isinstance(one, dict)]
    variables = {key for one in groups for key in one} if groups else {name}
    for variable in sorted(variables):
        if not _NAME.fullmatch(variable):
            out.add(0, where, f"{show(variable)} cannot be a variable; expected {expected}", key=True)
    if not choices:
        out.add(0, where, "there is nothing to choose from; expected a choice or more")
    every = listed(sorted(variables), last="and")
    if groups and (len(groups) < len(choices) or any(set(one) != variables for one in groups)):
        out.add(0, where, f"each choice must have the same variables; expected {every} in each")


def _whole(
    spec: ExerciseSpec,
    source: str,
    out: list[str],
    *,
    topology: str | None,
    broken: Script | None,
    fixes: Mapping[str, tuple[Script, ...]],
) -> None:
    """Report files and fields that do not go together."""

    def wrong(text: str) -> None:
        out.append(f"{source}:1:1: {text}")

    if (topology is None) == (not spec.topology):
        wrong(f"expected either {FILE} in the folder or spec.topology, which names one that comes along")
    if broken is None and spec.red:
        wrong(f"spec.red announces what is red after the break, and there is no {BREAK}")
    if broken is None and not spec.red and not spec.questions:
        wrong(f"there is neither {BREAK} nor a question: nothing to be done")
    if broken is not None and not spec.red:
        wrong(f"{BREAK} breaks something, and spec.red announces nothing; expected the cells and probes that are red")
    if broken is not None and spec.mend and not fixes["solve"]:
        wrong("there is no fix in solve/; expected a script or more")
    if not spec.mend and not spec.questions:
        wrong("spec.mend is false, and there is no question: nothing to be done")


def _text(path: Path, out: list[str]) -> str | None:
    source = printable(path)
    try:
        text = decode_text(data_of(str(path), most=MOST_BYTES, hint=HINT), source)
    except TopologyError as error:
        out += error.mistakes
        return None
    if not text.strip():
        out.append(f"{source}:1:1: there is nothing in this file")
    return text


def _script(folder: Path, name: str, out: list[str]) -> Script | None:
    if not (folder / name).exists():
        return None
    text = _text(folder / name, out)
    return None if text is None else Script(name=name, text=text)


def _scripts(folder: Path, kind: str, out: list[str]) -> Iterator[Script]:
    if not (folder / kind).is_dir():
        return
    for path in sorted((folder / kind).iterdir()):
        if path.suffix != ".sh":
            out.append(f"{printable(path)}: expected scripts, *.sh")
        elif script := _script(folder, f"{kind}/{path.name}", out):
            yield script


def _strays(folder: Path, out: list[str]) -> None:
    """Report files whose names are nearly those of an exercise's parts: they would be read over."""
    found = [(path, did_you_mean(path.name, _KNOWN)) for path in sorted(folder.iterdir()) if path.name not in _KNOWN]
    out += [f"{printable(path)}: this is no part of an exercise{near}" for path, near in found if near]


def _hints(text: str, source: str, out: list[str]) -> tuple[str, ...]:
    """Return what stands under each of the headings `## 1` to `## 4`."""
    if not text.strip():
        return ()
    found = list(_HEADING.finditer(text))
    if [int(one[1]) for one in found] != list(range(1, HINTS + 1)):
        line = text.count("\n", 0, found[0].start()) + 1 if found else 1
        headings = listed([f"`## {number}`" for number in range(1, HINTS + 1)], last="and")
        out.append(f"{source}:{line}:1: expected the headings {headings}, in this order")
        return ()
    ends = [*(one.start() for one in found[1:]), len(text)]
    hints = tuple(text[one.end() : end].strip() for one, end in zip(found, ends, strict=True))
    for heading, hint in zip(found, hints, strict=True):
        if not hint:
            out.append(f"{source}:{text.count(chr(10), 0, heading.start()) + 1}:1: this hint says nothing")
    return hints


def filled(text: str, variables: Mapping[str, str], source: str) -> str:
    """Return a text with its `${variable}`s replaced; any other `$` is left alone.

    Raises `TopologyError` with each variable that there is not, as `FILE:LINE:COLUMN: ...`.
    """
    wrong = []
    for one in _VARIABLE.finditer(text):
        if one[1] not in variables:
            line = text.count("\n", 0, one.start()) + 1
            column = one.start() - text.rfind("\n", 0, one.start())
            expected = f"; expected {listed(sorted(variables))}{did_you_mean(one[1], variables)}"
            wrong.append(f"{source}:{line}:{column}: there is no variable {show(one[1])}{expected}")
    if wrong:
        raise TopologyError(wrong, hint=HINT)
    return _VARIABLE.sub(lambda one: variables[one[1]], text)
