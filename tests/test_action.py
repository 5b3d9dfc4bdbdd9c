"""action.yml and the workflows: they parse, every shell step pleases shellcheck, and every action is pinned.

No runner of GitHub's is here: what a step does to a machine is seen with stand-ins for the tools that change one.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .shellcheck import complaints

ROOT = Path(__file__).resolve().parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: dict[str, Any] = {step["name"]: step for step in ACTION["runs"]["steps"]}
SCRIPTS = {name: step["run"] for name, step in STEPS.items() if "run" in step}


def tool(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run_step(name: str, folder: Path, *, script: str = "", **env: str) -> tuple[int, str]:
    """Run a step as a runner does (`shell: bash`), where the tools of `folder` come first."""
    file = folder / "step.sh"
    file.write_text(script or SCRIPTS[name])
    settings = {"PATH": f"{folder}:/usr/bin:/bin", "RUNNER_TEMP": str(folder), **env}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
        env=settings,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_step_pleases_shellcheck(name: str, tmp_path: Path) -> None:
    script = tmp_path / "step.sh"
    script.write_text(f"#!/bin/bash\nset -eo pipefail\n{SCRIPTS[name]}")
    assert complaints([script], dialect="bash") == ""


def test_no_step_takes_an_input_for_shell() -> None:
    assert SCRIPTS
    assert not [name for name, script in SCRIPTS.items() if "${{" in script]


def test_every_input_is_used_and_every_one_that_is_used_is_declared() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(ACTION["inputs"])


@pytest.mark.parametrize("file", ["action.yml", "docs/testing.md"])
def test_every_action_is_pinned_to_a_commit(file: str) -> None:
    used = re.findall(r"uses: (\S+)", (ROOT / file).read_text(encoding="utf-8"))
    assert used
    others = [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@([0-9a-f]{40}|COMMIT)", one)]
    assert others == []


def test_a_machine_is_given_what_it_lacks_and_no_more(tmp_path: Path) -> None:
    tool(tmp_path, "sudo", f'echo "$*" >>{tmp_path}/done')
    for name in ("iptables-nft-restore", "nft", "conntrack", "ip", "curl", "tcpdump", "ipset"):
        tool(tmp_path, name, "")
    name = "What a lab needs of this machine"
    assert run_step(name, tmp_path) == (0, "")
    restricted = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists()
    sysctl = ["sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0"] if restricted else []
    assert (tmp_path / "done").read_text().splitlines() == ["modprobe -a br_netfilter nf_conntrack", *sysctl]


def test_missing_tools_are_installed(tmp_path: Path) -> None:
    tool(tmp_path, "sudo", f'echo "$*" >>{tmp_path}/done')
    name = "What a lab needs of this machine"
    assert run_step(name, tmp_path, script=SCRIPTS[name].replace("nft:nftables", "no-such-tool:nftables"))[0] == 0
    asked = (tmp_path / "done").read_text()
    assert "apt-get -q update\napt-get -qy install --no-install-recommends nftables\n" in asked


def test_hairpin_is_installed_from_the_actions_own_checkout(tmp_path: Path) -> None:
    tool(
        tmp_path,
        "python3",
        '[ "$2" != venv ] || { mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; }; echo "$*" >>"$RUNNER_TEMP/done"',
    )
    path = tmp_path / "path"
    done = run_step(
        "Hairpin", tmp_path, GITHUB_ACTION_PATH="/the/action", GITHUB_PATH=str(path), REQUIREMENTS="scapy other"
    )
    assert done == (0, "")
    assert (tmp_path / "done").read_text().splitlines() == [
        f"-m venv {tmp_path}/hairpin",
        "-m pip -q --disable-pip-version-check install /the/action pytest pytest-xdist scapy other",
    ]
    assert path.read_text() == f"{tmp_path}/hairpin/bin\n"


def step(folder: Path, **env: str) -> tuple[int, list[str]]:
    """Run the last step with a `hairpin` that only notes what it is asked for, and return the notes."""
    tool(folder, "hairpin", 'echo "$HAIRPIN_LAB hairpin $*" >>"$RUNNER_TEMP/done"; exit "${HAIRPIN_SAYS:-0}"')
    tool(folder, "sudo", 'echo sudo >>"$RUNNER_TEMP/done"; shift; exec "$@"')
    defaults = {"COMMAND": "true", "TOPOLOGY": "", "OPTIONS": "", "AS_ROOT": "false", "GITHUB_RUN_ID": "7"}
    status, output = run_step("Lab and command", folder, **(defaults | env))
    notes = folder / "done"
    lines = notes.read_text().splitlines() if notes.exists() else []
    return status, [re.sub(r"action-7-\d+", "LAB", line) for line in lines] + output.splitlines()


def test_a_command_runs_in_a_lab_that_is_removed_afterwards(tmp_path: Path) -> None:
    assert step(tmp_path, TOPOLOGY="clusterip", OPTIONS="--mode nftables", COMMAND="hairpin lab.check\nhairpin x") == (
        0,
        [
            "LAB hairpin lab.up clusterip --lab LAB --mode nftables",
            "LAB hairpin lab.check",
            "LAB hairpin x",
            "LAB hairpin lab.down",
        ],
    )


def test_a_command_that_fails_fails_the_step_and_the_lab_is_reported(tmp_path: Path) -> None:
    status, lines = step(tmp_path, TOPOLOGY="clusterip", COMMAND="false; hairpin never")
    assert status == 1
    assert lines[1:3] == ["LAB hairpin lab.report --file -", "LAB hairpin lab.down"]
    assert not [line for line in lines if "never" in line]


def test_without_a_topology_there_is_only_the_command(tmp_path: Path) -> None:
    assert step(tmp_path, COMMAND="exit 5", AS_ROOT="false") == (5, [])


def test_sudo_is_what_it_says(tmp_path: Path) -> None:
    assert step(tmp_path, COMMAND='echo "$PATH" | cut -d: -f1', AS_ROOT="true") == (0, ["sudo", str(tmp_path)])
    status, lines = step(tmp_path, AS_ROOT="yes")
    assert status == 2
    assert lines[-1] == "::error::sudo: 'yes': expected true or false"


def test_our_own_workflow_uses_the_action_as_it_is_declared() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    (own,) = [step for job in jobs.values() for step in job["steps"] if step.get("uses") == "./"]
    required = {name for name, one in ACTION["inputs"].items() if one.get("required")}
    assert required <= set(own["with"]) <= set(ACTION["inputs"])
