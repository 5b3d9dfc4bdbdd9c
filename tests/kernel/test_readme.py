"""What README.md and the topologies' READMEs print is what happens: their commands are run as they stand, in order.

Those of README.md by a shell, as its reader does it; of the others what is one task and no more has no new interpreter.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import consoles


@pytest.mark.slow
@pytest.mark.parametrize("document", consoles.DOCUMENTS)
def test_a_document_prints_what_its_commands_print(document: str, runtime: Path) -> None:
    commands = [command for command in consoles.read(document) if not command.not_run]
    assert commands
    do = consoles.run if document == "README.md" else consoles.quick
    try:
        for command in commands:
            status, output = do(command)
            expected = consoles.normalised(command.output, command.where)
            assert consoles.normalised(output, command.where) == expected, f"{document}:{command.line}: {command.text}"
            assert status == 0, f"{document}:{command.line}: {command.text}: exit status {status}\n{output}"
        assert not list(runtime.iterdir()), "the document leaves a lab behind"
    finally:
        if any(runtime.iterdir()):
            consoles.shell("invoke lab.down --all")
