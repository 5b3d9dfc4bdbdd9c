"""The last step of action.yml with a real lab; the other steps would change this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.test_action import run_step, tool

pytestmark = pytest.mark.once


@pytest.mark.parametrize(("command", "ends"), [("hairpin lab.check", 0), ("hairpin lab.curl client svc/web", 1)])
def test_a_command_meets_the_lab_and_its_status_is_the_steps(
    command: str, ends: int, runtime: Path, tmp_path: Path
) -> None:
    tool(tmp_path, "sudo", 'shift; exec "$@"')  # --preserve-env
    status, output = run_step(
        "Lab and command",
        tmp_path,
        PATH=f"{tmp_path}:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        XDG_RUNTIME_DIR=str(runtime),
        AS_ROOT="true",
        GITHUB_RUN_ID="7",
        TOPOLOGY="clusterip",
        OPTIONS="--mode nftables",
        COMMAND=f"{command} --timeout 0.3" if "curl" in command else command,
    )
    assert status == ends, output
    assert "lab action-7-" in output
    assert ("===== objects" in output) == bool(ends), "the lab is reported when the command fails, and only then"
    assert not list(runtime.iterdir())
