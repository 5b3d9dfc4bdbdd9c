"""The command line where no lab is needed: help, lists, completion, refusals, and how little each command loads."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import catalogue
from lab.cli import namespace
from lab.errors import HostError
from lab.model.status import LabRow
from lab.standing import session
from tests import commandline

ROOT = Path(__file__).parents[1]
ERRORS = sorted((ROOT / "tests/golden/errors").glob("*.yaml"))
TASKS = sorted(namespace.task_names)
HEAVY = {"pyroute2", "msgspec", "h11", "tabulate"}  # invoke itself loads yaml and asyncio
# Runs a task as `invoke` does, and says at the end which modules that took.
LOADS = """
import atexit, sys
atexit.register(lambda: print("\\nloaded", *sorted(sys.modules)))
from invoke.main import program
program.run(["invoke", *sys.argv[1:]])
"""


def invoke(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return commandline.run(*words, cwd=cwd)


def ended(argv: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def invoke_itself(*words: str) -> subprocess.CompletedProcess[str]:
    return ended([sys.executable, "-m", "invoke", *words], ROOT)


def hairpin_itself(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the console script that is installed beside the interpreter."""
    return ended([str(Path(sys.executable).parent / "hairpin"), *words], cwd)


# --- help, lists, completion -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_every_option_of_every_task_is_explained(name: str) -> None:
    task = namespace[name]
    options = {option.strip("_").replace("_", "-") for option in list(inspect.signature(task.body).parameters)[1:]}
    explained = {option.replace("_", "-"): text for option, text in task.help.items()}
    assert set(explained) == options
    assert all(len(text) > 10 for text in explained.values())


@pytest.mark.parametrize("name", TASKS)
def test_every_task_and_its_help_are_for_people(name: str) -> None:
    summary, _, rest = (namespace[name].__doc__ or "").partition("\n")
    assert summary.endswith(".")
    assert re.fullmatch(r"[A-Z].*", summary)
    assert not rest or rest.startswith("\n")


def test_help_shows_each_option_with_its_explanation() -> None:
    shown = " ".join(invoke("--help", "lab.curl").stdout.split())
    for option, text in namespace["lab.curl"].help.items():
        assert f"--{option}" in shown
        assert " ".join(text.split()) in shown


@pytest.mark.parametrize("words", [(task, "--help") for task in TASKS] + [("lab.exec", "web-1", "--help")])
def test_help_is_given_behind_a_task_too_whatever_arguments_are_missing(words: tuple[str, ...]) -> None:
    before, after = invoke("--help", words[0]), invoke(*words)
    assert after.returncode == 0
    assert after.stdout == before.stdout


def test_invoke_gives_it_there_too() -> None:
    before, after = invoke_itself("--help", "lab.exec"), invoke_itself("lab.exec", "web-1", "--help")
    assert "--lab=STRING" in before.stdout
    assert after.stdout == before.stdout


def test_the_list_has_a_line_for_each_task() -> None:
    done = invoke("--list")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines()[1:] if line]
    assert [line.split()[0] for line in lines] == TASKS
    assert all(line.endswith(".") and len(line) <= 80 for line in lines)


def test_tasks_and_options_are_completed() -> None:
    assert [name for name in invoke("--complete", "--", "lab.").stdout.split() if name.startswith("lab.")] == [
        name for name in TASKS if name.startswith("lab.")
    ]
    options = set(invoke("--complete", "--", "lab.up", "--").stdout.split())
    assert {"--lab", "--mode", "--iptables", "--hairpin-mode", "--plugin", "--overlay", "--dry-run"} <= options


def test_the_topologies_are_listed_with_what_they_show() -> None:
    listed = json.loads(invoke("lab.topologies", "--json").stdout)
    assert {entry["name"] for entry in listed} >= {"clusterip", "hairpin", "nodeport"}
    text = invoke("lab.topologies").stdout
    for entry in listed:
        assert entry["title"]
        assert re.search(rf"^{entry['name']} +{re.escape(entry['title'])}$", text, re.MULTILINE)
        assert (Path(entry["folder"]) / "lab.yaml").is_file()


def test_a_title_is_the_readmes_heading_without_the_name(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    assert catalogue._title(readme) == ""
    readme.write_text("# name: what it shows\n\ntext: more\n")
    assert catalogue._title(readme) == "what it shows"


# --- the console script ----------------------------------------------------------------------------------------------


def test_the_console_script_and_invoke_have_the_same_tasks_in_any_folder(tmp_path: Path) -> None:
    mine, theirs = hairpin_itself("--list", cwd=tmp_path), invoke_itself("--list")
    assert mine.returncode == theirs.returncode == 0
    assert [line.split() for line in mine.stdout.splitlines()[1:]] == [
        line.split() for line in theirs.stdout.splitlines()[1:]
    ]
    assert hairpin_itself("lab.topologies", cwd=tmp_path).stdout == invoke_itself("lab.topologies").stdout
    assert "sysctl" in hairpin_itself("lab.up", "clusterip", "--dry-run", cwd=tmp_path).stdout


# --- what a command loads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["lab.list", "--json"], {"msgspec"}),
        (["lab.down", "--all"], {"msgspec"}),
        (["lab.list"], {"msgspec", "tabulate"}),
    ],
)
def test_a_command_loads_only_what_it_needs(runtime: Path, words: list[str], needed: set[str]) -> None:
    loaded = modules(*words)
    assert loaded & HEAVY <= needed
    assert not any(name.startswith("lab.parse") for name in loaded)
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("words", [["--list"], ["--help", "lab.up"], ["--complete", "--", "lab."]])
def test_lists_and_help_load_the_tasks_and_nothing_else_of_ours(words: list[str]) -> None:
    loaded = modules(*words)
    ours = {name for name in loaded if name.startswith("lab.")}
    assert ours == {name for name in ours if name == "lab.errors" or name.startswith("lab.cli")}
    assert not loaded & HEAVY


def modules(*words: str) -> set[str]:
    """Return the modules that are loaded when a task ends."""
    done = ended([sys.executable, "-c", LOADS, *words], ROOT)
    loaded = set(done.stdout.rpartition("\nloaded ")[2].split())
    assert {"invoke", "lab"} <= loaded, done.stderr
    return loaded


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ERRORS, ids=lambda file: file.stem)
def test_every_mistake_of_a_file_is_told_at_once_and_nothing_is_built(runtime: Path, file: Path) -> None:
    done = invoke("lab.up", file.name, cwd=file.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: " + file.with_suffix(".txt").read_text(encoding="utf-8")
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clustrip", "did you mean clusterip?"),
        ("./clusterip-not-here", "neither a topology (clusterip, "),
        ("nothing-like-it-at-all", "`invoke lab.topologies` says what each one shows"),
        ("-x", "'-x': expected a topology, not an option\n  hint: `invoke --help lab.up` lists the options"),
        ("", "an empty text: expected a topology"),
        ("a" * 5000, "... (5000 characters): neither a topology"),
        ("/dev/null", "/dev/null: there is nothing in this file; expected a topology"),
        ("/bin/sh", "/bin/sh"),
        (".", "lab.yaml: there is no such file"),
        ("a\x1b[31mb", r"'a\x1b[31mb': neither a topology"),
    ],
)
def test_what_is_no_topology_is_refused(runtime: Path, tmp_path: Path, name: str, message: str) -> None:
    done = invoke("lab.up", name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(runtime.iterdir()) == []


def test_a_huge_file_and_one_that_is_not_text_are_refused(runtime: Path, tmp_path: Path) -> None:
    huge, binary = tmp_path / "huge.yaml", tmp_path / "binary.yaml"
    with huge.open("wb") as stream:
        stream.truncate(100 * 1024 * 1024)
    binary.write_bytes(bytes(range(256)))
    for file in (huge, binary):
        done = invoke("lab.up", str(file))
        assert (done.returncode, done.stdout) == (2, "")
        assert str(file) in done.stderr
        assert len(done.stderr.splitlines()) <= 3
    assert list(runtime.iterdir()) == []


def test_a_file_that_may_not_be_read_is_refused(runtime: Path, tmp_path: Path) -> None:
    done = invoke("lab.up", "/proc/self/mem", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: /proc/self/mem")
    assert "Traceback" not in done.stderr
    assert list(runtime.iterdir()) == []


@pytest.mark.parametrize("words", [["lab.up"], ["lab.curl", "a"], ["lab.nope"], ["lab.up", "clusterip", "--nope"]])
def test_words_that_make_no_command_are_invokes_own_to_refuse(runtime: Path, words: list[str]) -> None:
    done = invoke(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search("did not receive required positional arguments|No idea what", done.stderr)
    assert "Traceback" not in done.stderr
    assert list(runtime.iterdir()) == []


def test_a_lab_that_cannot_be_ended_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(name: str) -> bool:
        if name in busy:
            raise HostError(f"lab {name}: another command is changing it", hint="find it")
        return True

    rows = [LabRow(name=name, topology="clusterip", age_s=1.0, keeper_pid=7) for name in ("a", "b", "c")]
    monkeypatch.setattr(session, "rows", lambda: rows)
    monkeypatch.setattr(session, "down", down)
    busy = {"a"}
    done = invoke("lab.down", "--all")
    assert (done.returncode, done.stdout) == (2, "lab b is gone\nlab c is gone\n")
    assert done.stderr == "error: lab a: another command is changing it\n  hint: find it\n"
    busy.add("b")
    done = invoke("lab.down", "--all", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (2, {"ended": ["c"]})
    assert [f"lab {name}: another command" in done.stderr for name in "abc"] == [True, True, False]


def test_a_command_that_takes_too_long_fails_its_test_and_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "rows", lambda: signal.raise_signal(signal.SIGALRM))
    with pytest.raises(pytest.fail.Exception, match="took more than"):
        invoke("lab.list")


@pytest.mark.parametrize("task", ["bench.up", "bench.rules", "bench.trace"])
@pytest.mark.parametrize("rounds", ["0", "-1", "x"])
def test_a_measurement_without_a_round_is_refused(task: str, rounds: str) -> None:
    done = invoke(task, "--rounds", rounds)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: --rounds {rounds}: expected at least 1" if rounds != "x" else "error: --rounds 'x'"
    )


@pytest.mark.parametrize("name", ["-x", "../x", "a/b", "X", "a" * 64, "a b", "é", "a\nb"])
def test_a_lab_name_that_cannot_be_one_is_refused(runtime: Path, name: str) -> None:
    for words in (["lab.down"], ["lab.status"], ["lab.up", "clusterip"]):
        done = invoke(*words, f"--lab={name}")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"lab name {name!r}: expected at most 63 lower-case letters" in done.stderr
    assert list(runtime.iterdir()) == []


def test_the_state_folders_are_never_made_by_looking(runtime: Path) -> None:
    for words in (["lab.list"], ["lab.down", "--all"], ["lab.up", "clusterip", "--dry-run"]):
        assert invoke(*words).returncode == 0
    assert os.listdir(runtime) == []
