"""The scripts and the lock. Set-up runs with stand-ins for Python and its packages: no network, no waiting."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from .shellcheck import complaints

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci/run"]

LARGE = ROOT / "topologies/large"

# Answers as an interpreter does to `-c` (its path), `-m venv` (makes one like itself) and `-m pip` (notes it, and fails
# when told to).
PYTHON = """\
#!/bin/sh
case $*/ in
    -c*) echo "$0" ;;
    *venv*) mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo venv >>"$NOTES" ;;
    *pip*requirements.txt*) sleep "${PIP_TAKES:-0}"; echo pip >>"$NOTES"; exit "${PIP_SAYS:-0}" ;;
esac
"""


class Checkout:
    """A checkout with the real scripts, and stand-ins for all that they call."""

    def __init__(self, root: Path, tools: Path) -> None:
        self.root, self.tools, self.notes = root, tools, root.parent / "notes"
        (root / "scripts").mkdir(parents=True)
        tools.mkdir()
        for script in ("setup", "invoke"):
            shutil.copy2(ROOT / "scripts" / script, root / "scripts" / script)
        for name, text in (("requirements.txt", "pinned\n"), ("pyproject.toml", "[project]\n[tool.ruff]\n")):
            (root / name).write_text(text)
        self.tool("python", PYTHON)
        self.notes.touch()

    def tool(self, name: str, text: str) -> None:
        path = self.tools / name
        path.unlink(missing_ok=True)  # it may be a link to the machine's own, which is not ours to write
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        paths = {"PATH": f"{self.tools}:{os.environ['PATH']}", "NOTES": str(self.notes)}
        settings = paths | {"PYTHON": str(self.tools / "python")} | env
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(argv, cwd="/", env=settings, text=True, **pipes)

    def setup(self, **env: str) -> tuple[int, str]:
        process = self.start(str(self.root / "scripts/setup"), **env)
        output, _ = process.communicate(timeout=30)
        return process.returncode, output

    def done(self) -> list[str]:
        return self.notes.read_text().split()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "check out", tmp_path / "tools")


def test_set_up_is_silent_and_does_nothing_the_second_time(checkout: Checkout) -> None:
    status, output = checkout.setup()
    assert status == 0, output
    assert "making .venv" in output
    assert checkout.setup() == (0, "")
    assert checkout.done() == ["venv", "pip"]


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "scripts/setup"])
def test_a_change_of_what_set_up_depends_on_is_set_up_anew(checkout: Checkout, name: str) -> None:
    checkout.setup()
    path = checkout.root / name
    path.write_text(path.read_text().replace("[tool.ruff]", "# changed\n[tool.ruff]") + "# changed\n")
    assert checkout.setup()[0] == 0
    assert checkout.done() == ["venv", "pip"] * 2


def test_a_change_of_the_linters_settings_is_none_of_set_ups_business(checkout: Checkout) -> None:
    checkout.setup()
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("line-length = 120\n")
    assert checkout.setup() == (0, "")
    assert checkout.done() == ["venv", "pip"]


def test_a_moved_checkout_is_set_up_anew(checkout: Checkout) -> None:
    checkout.setup()
    checkout.root = checkout.root.rename(checkout.root.with_name("elsewhere"))
    assert checkout.setup()[0] == 0
    assert checkout.done() == ["venv", "pip"] * 2


def test_a_set_up_that_failed_says_the_next_move_and_is_tried_again(checkout: Checkout) -> None:
    status, output = checkout.setup(PIP_SAYS="1")
    assert status == 1
    assert "hint: is a package index reachable?" in output
    assert checkout.setup()[0] == 0
    assert checkout.done() == ["venv", "pip"] * 2


def test_an_interrupted_set_up_is_done_again(checkout: Checkout) -> None:
    process = checkout.start(str(checkout.root / "scripts/setup"), PIP_TAKES="0.3")
    while "venv" not in checkout.done():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    status, output = checkout.setup()
    assert status == 0, output
    assert checkout.done().count("venv") == 2
    assert checkout.setup() == (0, "")


def test_two_set_ups_at_once_make_one(checkout: Checkout) -> None:
    first, second = (checkout.start(str(checkout.root / "scripts/setup"), PIP_TAKES="0.3") for _ in range(2))
    outputs = first.communicate(timeout=30)[0] + second.communicate(timeout=30)[0]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert checkout.done() == ["venv", "pip"]
    assert "waiting for it" in outputs


def test_an_interpreter_that_will_not_do_is_refused_with_what_would(checkout: Checkout) -> None:
    checkout.tool("python", "#!/bin/sh\nexit 1\n")
    status, output = checkout.setup()
    assert status == 1
    assert "no Python 3.11 or later with the modules venv and ensurepip" in output
    assert "hint: install one (" in output


def test_missing_tools_are_told_once_with_the_command_that_installs_them(checkout: Checkout) -> None:
    tools = ("sh", "readlink", "cat", "sed", "cmp", "mkdir", "cp", "mv", "rm", "flock", "sleep", "tail")
    for name in tools:
        (checkout.tools / name).symlink_to(shutil.which(name) or name)
    # A user who may not install anything, on a machine with little in its PATH: /usr/sbin is always looked into.
    checkout.tool("id", "#!/bin/sh\necho 1000\n")
    script = checkout.root / "scripts/setup"
    script.write_text(script.read_text().replace(":/usr/sbin:/sbin", ""))
    checkout.tool("apt-get", "#!/bin/sh\necho installed >>$NOTES\n")
    status, output = checkout.setup(PATH=str(checkout.tools))
    assert status == 0, output
    assert "these system packages are missing: iptables nftables conntrack iproute2 curl" in output
    assert "hint: sudo apt-get install --no-install-recommends iptables nftables" in output
    assert checkout.setup(PATH=str(checkout.tools)) == (0, "")
    assert "installed" not in checkout.done()


def test_root_has_them_installed_and_is_told(checkout: Checkout) -> None:
    checkout.tool("id", "#!/bin/sh\necho 0\n")
    checkout.tool("apt-get", '#!/bin/sh\necho "apt-get:$*" | tr " " _ >>"$NOTES"\n')
    script = checkout.root / "scripts/setup"
    script.write_text(script.read_text().replace("curl curl", "no-such-tool curl"))
    status, output = checkout.setup()
    assert status == 0, output
    assert "installing system packages with apt-get: curl\n" in output
    asked = [note for note in checkout.done() if note.startswith("apt-get:")]
    assert [note.endswith("install_-y_--no-install-recommends_curl") for note in asked] == [True]


def test_invoke_runs_from_anywhere_with_this_checkouts_tasks(checkout: Checkout) -> None:
    checkout.setup()
    invoke = checkout.root / ".venv/bin/invoke"
    invoke.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    invoke.chmod(0o755)
    process = checkout.start(str(checkout.root / "scripts/invoke"), "lab.exec", "a b", "ls | cat")
    assert process.communicate(timeout=30)[0] == f"--search-root|{checkout.root}|lab.exec|a b|ls | cat|"
    assert process.returncode == 7


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_executable_and_please_shellcheck(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert complaints([script]) == ""


def test_the_lock_pins_every_requirement_by_hashes_and_names_no_address() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="ascii")
    assert "://" not in lock
    assert "--index" not in lock
    blocks = [block for block in re.split(r"\n(?=[a-z])", lock) if not block.startswith("#")]
    assert len(blocks) > 20
    for block in blocks:
        assert re.match(r"[a-z0-9.-]+==[\w.]+( ; [^\\]+)? \\\n", block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


def test_the_lock_has_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[<>=~; ]", requirement)[0].lower() for requirement in wanted}
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.txt").read_text(encoding="ascii"), re.MULTILINE))
    assert names <= pinned


def test_the_large_topology_is_what_its_script_prints() -> None:
    made = subprocess.run(["/bin/sh", LARGE / "make.sh"], capture_output=True, text=True, check=True)
    assert made.stdout == (LARGE / "lab.yaml").read_text(encoding="utf-8")


def test_what_must_be_alone_on_the_machine_is_where_scripts_test_looks_for_it() -> None:
    marked = [path for path in (ROOT / "tests").rglob("*.py") if re.search(r"mark\.alone\b", path.read_text("utf-8"))]
    assert marked
    assert {path.parent for path in marked} == {ROOT / "tests/kernel"}
