"""The documents name what there is: every command, every field, every file; and their examples are right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest
from msgspec import Struct
from msgspec.structs import fields

from lab import catalogue, topology
from lab.cli import namespace
from lab.model import kubernetes
from lab.model.lab import Lab
from tests import consoles

ROOT = consoles.ROOT
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("topologies/*/README.md"))
)
NOT_RUN = {"README.md": 1}


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def parts(annotation: object) -> Iterator[type[Struct]]:
    """Yield the Structs in a field's type, and those in their fields."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        yield annotation
        for field in fields(annotation):
            yield from parts(field.type)
    for argument in get_args(annotation):
        yield from parts(argument)


def spelt(kind: type[Struct]) -> set[str]:
    """Return all field names of a kind and of its parts, as the API spells them."""
    return {field.encode_name for part in parts(kind) for field in fields(part)}


def test_the_readme_names_every_command() -> None:
    commands = text_of("README.md").partition("| command | what it does |")[2].partition("\n\n")[0]
    rows = set(re.findall(r"^\| `([a-z.-]+)", commands, re.MULTILINE))
    assert rows == set(namespace.task_names)


@pytest.mark.parametrize("kind", [Lab, *get_args(kubernetes.Object)], ids=lambda kind: kind.__name__)
def test_the_reference_names_every_field(kind: type[Struct]) -> None:
    prose = re.sub(r"^```.*?^```", "", text_of("docs/topology.md"), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"[A-Za-z]+", " ".join(re.findall(r"`([^`]+)`", prose))))
    assert not spelt(kind) - named


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text_of(document))
    assert not [one for one in links if "://" not in one and not (ROOT / document).parent.joinpath(one).exists()]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_of_topologies_have_no_mistake(document: str) -> None:
    for block in re.findall(r"^```yaml\n(.*?)^```", text_of(document), re.MULTILINE | re.DOTALL):
        if "kind: Lab" in block:
            topology.read(block, document)


def test_every_topology_says_what_it_shows() -> None:
    for entry in catalogue.entries():
        heading = (entry.folder / "README.md").read_text(encoding="utf-8").partition("\n")[0]
        assert heading == f"# {entry.name}: {entry.title}"
        assert f"topologies/{entry.name}/README.md" in consoles.DOCUMENTS


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    unrun = [command for document in consoles.DOCUMENTS for command in consoles.read(document) if command.not_run]
    assert {one.document: sum(other.document == one.document for other in unrun) for one in unrun} == NOT_RUN
    assert all(len(command.not_run) > 10 for command in unrun)


@pytest.mark.parametrize("document", consoles.DOCUMENTS)
def test_a_changed_line_of_any_output_is_noticed(document: str) -> None:
    for command in consoles.read(document):
        lines = command.output.splitlines()
        before = consoles.normalised(command.output, command.where)
        for number, line in enumerate(lines):
            for other in ([], [f"{line} x"], [line, "one more"], *([word] for word in line.split()[1:])):
                changed = "\n".join([*lines[:number], *other, *lines[number + 1 :], ""])
                assert consoles.normalised(changed, command.where) != before, (command.text, line, other)


def test_no_normaliser_hides_a_translation_or_a_fixed_port() -> None:
    def same(one: str, other: str, command: str) -> bool:
        where = f"topologies/clusterip/README.md: {command}"
        return consoles.normalised(one, where) == consoles.normalised(other, where)

    shown = "invoke lab.conntrack"
    assert same("svc/web 10.96.0.10:80  DNAT web-1 TIME_WAIT\n", "svc/web 10.96.0.10:80 DNAT web-2 TIME_WAIT\n", shown)
    assert not same("DNAT web-1 TIME_WAIT\n", "none TIME_WAIT\n", shown)
    assert not same("DNAT web-1 TIME_WAIT\n", "DNAT client-a TIME_WAIT\n", shown)
    assert not same("svc/web 10.96.0.10:80\n", "svc/web 10.96.0.10:81\n", shown)
    assert not same("client-a 10.244.1.3:20001\n", "client-a 10.244.1.3:20002\n", shown)
    assert same("client-a 10.244.1.3:51234\n", "client-a 10.244.1.3:33333\n", shown)
    assert same("node-1/cbr0 10.244.1.1:51234\n", "node-1/cbr0 10.244.1.1:1025\n", shown)
    assert not same("node-3 192.168.0.12:30080\n", "node-3 192.168.0.12:30081\n", shown)
    assert not same("web-1 10.244.1.2\n", "web-2 10.244.2.2\n", "invoke lab.up clusterip")
    assert not same("200 web-1\n", "timeout -\n", "invoke lab.curl client-a svc/web")


def test_a_console_block_is_read_as_a_reader_does() -> None:
    run, unrun, other = "```console\n$ one\na\n\n$ two\n```\n", "```console\n$ three\nb\n```\n", "```yaml\n$ no\n```\n"
    text = f"x\n{run}\n<!-- not run: no terminal -->\n{unrun}{other}"
    found = [(one.line, one.text, one.output, one.not_run) for one in consoles.commands("d", text)]
    assert found == [(3, "one", "a\n\n", ""), (6, "two", "", ""), (11, "three", "b\n", "no terminal")]
