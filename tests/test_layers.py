"""The direction of knowledge (docs: "The parts"): read from the imports, lazy ones too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Where each part of lab/ belongs; a new part has to choose. Pure: data in, data out. Kernel: doors to the system, which
# know nothing of Kubernetes. Middle: where deciding meets doing. Front: arguments and printing, and
# what pytest calls.
PURE = {
    "controllers", "edits", "exercise", "journey", "judge", "model", "parse", "picture", "plan", "proxy", "report",
    "shares", "words",
}  # fmt: skip
KERNEL = {"kernel"}
MIDDLE = {
    "api", "ask", "bugreport", "cases", "catalogue", "check", "evidence", "gallery", "graph", "packets", "serve",
    "snapshot", "standing", "topology", "workshop",
}  # fmt: skip
FRONT = {"cli", "plugin"}
ALL = PURE | KERNEL | MIDDLE | FRONT

MAY_IMPORT = {
    **dict.fromkeys(PURE, PURE | {"errors"}),
    **dict.fromkeys(KERNEL, KERNEL | {"errors"}),
    **dict.fromkeys(MIDDLE, PURE | KERNEL | MIDDLE | {"errors"}),
    **dict.fromkeys(FRONT, ALL | {"errors"}),
    # within the middle, from the ground up
    "serve": PURE | KERNEL | {"serve", "errors"},
    "ask": PURE | KERNEL | {"ask", "errors"},
    "standing": PURE | KERNEL | {"ask", "serve", "standing", "errors"},
    "packets": PURE | KERNEL | {"ask", "packets", "standing", "errors"},
    "check": PURE | KERNEL | {"ask", "cases", "check", "packets", "standing", "errors"},
    "model": {"model", "errors"},  # the nouns: all know them, they know nobody
    "parse": {"parse", "model", "words", "errors"},  # from text to nouns: what becomes of them is not its business
    "errors": set(),
}

# package -> where it may be imported, as prefixes of files' names.
HOMES = {
    "ctypes": ("lab/kernel/syscalls.py",),
    "h11": ("lab/serve/httpd.py", "lab/ask/traffic.py"),
    "invoke": ("lab/cli/", "tasks.py"),
    "multiprocessing": (),
    "pyroute2": ("lab/kernel/",),
    "pytest": ("lab/plugin.py",),
    "subprocess": ("lab/kernel/command.py",),
    "tabulate": ("lab/report/table.py",),
    "threading": (),  # a process with two threads cannot join a capsule (setns(2))
    "yaml": ("lab/parse/",),
}

# What the pure half has no use for.
EFFECTS = {"asyncio", "fcntl", "pickle", "select", "selectors", "shutil", "signal", "tempfile", "termios"}

BOOT_ID = "/proc/sys/kernel/random/boot_id"  # not a setting: the boot that a PID belongs to

FILES = [ROOT / "tasks.py", *sorted((ROOT / "lab").rglob("*.py"))]


def imports(source: str) -> Iterator[str]:
    """Yield the dotted name of all that `source` imports: `from lab import words` is lab.words."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def strings(source: str) -> Iterator[str]:
    """Yield the texts in `source` that are not docstrings."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def part_of(name: str) -> str:
    """Return the part of lab/ that a file such as `lab/parse/yaml.py` belongs to."""
    return name.removeprefix("lab/").partition("/")[0].removesuffix(".py")


def breaches(name: str, source: str) -> list[str]:
    """Return what the file `name` imports or says against the rules above."""
    part = part_of(name)
    found = []
    for imported in imports(source):
        package, _, rest = imported.partition(".")
        other = rest.partition(".")[0]
        if package == "lab" and other in ALL and name.startswith("lab/") and other not in MAY_IMPORT.get(part, set()):
            found.append(f"{name} ({part}) may not import {imported}")
        if package in HOMES and not name.startswith(HOMES[package] or ("nowhere",)):
            found.append(f"{name} may not import {package}: its home is {HOMES[package] or 'nowhere'}")
        if package in EFFECTS and part in PURE:
            found.append(f"{name} ({part}) is pure, and may not import {package}")
    if name != "lab/kernel/sysctl.py":
        found += [f"{name} may not know {text}" for text in strings(source) if "/proc/sys" in text and text != BOOT_ID]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_knows_only_what_its_part_may_know(path: Path) -> None:
    assert breaches(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) == []


def test_every_part_of_the_package_has_its_place() -> None:
    parts = {part_of(str(path.relative_to(ROOT))) for path in FILES} - {"tasks", "__init__", "__main__", "errors"}
    assert parts == ALL


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("lab/plan/planner.py", "from lab import kernel", "may not import lab.kernel"),
        ("lab/judge.py", "def f():\n    from lab.kernel.command import run", "may not import lab.kernel.command.run"),
        ("lab/kernel/rules.py", "from lab.model.ops import Op", "may not import lab.model.ops.Op"),
        ("lab/model/ops.py", "import lab.parse.yaml", "may not import lab.parse.yaml"),
        ("lab/parse/topology.py", "from lab.controllers import notes", "may not import lab.controllers.notes"),
        ("lab/standing/session.py", "from lab.cli import labs", "may not import lab.cli.labs"),
        ("lab/ask/traffic.py", "import subprocess", "may not import subprocess"),
        ("lab/standing/session.py", "import pyroute2.netlink", "may not import pyroute2"),
        ("lab/report/table.py", "import signal", "is pure"),
        (
            "lab/standing/build.py",
            "open('/proc/sys/net/ipv4/ip_forward')",
            "may not know /proc/sys/net/ipv4/ip_forward",
        ),
    ],
)
def test_a_breach_is_found_wherever_it_hides(name: str, source: str, words: str) -> None:
    assert [words in breach for breach in breaches(name, source)] == [True]
