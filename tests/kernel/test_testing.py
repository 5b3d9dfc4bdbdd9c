"""docs/testing.md is true: its Python files are run as a reader would, and print what stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import consoles

pytestmark = pytest.mark.once
DOCUMENT = "docs/testing.md"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with consoles.prepared(DOCUMENT) as place:
        yield place


@pytest.fixture
def only_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no plugin but ours, installed or not; and tell nothing of this run, of which a worker or CI may be part."""
    for name in ("CI", "BUILD_NUMBER", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p lab.plugin -p no:cacheprovider")


@pytest.mark.usefixtures("only_ours")
@pytest.mark.parametrize("command", consoles.read(DOCUMENT), ids=lambda command: command.text)
def test_a_file_prints_what_the_document_says(command: consoles.Command, folder: Path, runtime: Path) -> None:
    status, output = consoles.run(command, folder)
    expected = consoles.normalised(command.output, command.where)
    assert consoles.normalised(output, command.where) == expected, f"{DOCUMENT}:{command.line}"
    assert status == int("FAILED" in expected)
    assert not list(runtime.iterdir()), "a lab stays behind"


@pytest.mark.usefixtures("only_ours", "runtime")
def test_the_readmes_test_passes_in_both_modes(tmp_path: Path) -> None:
    section = (consoles.ROOT / "README.md").read_text(encoding="utf-8").partition("## In your own tests")[2]
    (tmp_path / "test_it.py").write_text(section.partition("```python\n")[2].partition("```\n")[0], encoding="utf-8")
    status, output = consoles.shell("pytest -q test_it.py", tmp_path)
    assert (status, "2 passed" in output) == (0, True), output


def test_every_file_of_the_document_is_run(folder: Path) -> None:
    asked = {command.text.split()[-1] for command in consoles.read(DOCUMENT)}
    assert {file.name for file in folder.glob("*.py")} == asked


def test_a_changed_line_is_noticed() -> None:
    for command in consoles.read(DOCUMENT):
        before = consoles.normalised(command.output, command.where)
        for line in command.output.splitlines():
            changed = command.output.replace(line, f"{line} x")
            assert consoles.normalised(changed, command.where) != before, line
