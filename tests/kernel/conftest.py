"""Fixtures for tests that need namespaces: each works in a capsule, or with labs, of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.kernel import capsule, join
from tests import commandline

ROOT = Path(__file__).parents[2]
WAITS = "import os, sys; os.read(int(sys.argv[1]), 1)"
Invoke = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[capsule.Keeper]:
    """Give the keeper of an empty capsule, which goes with the test, however that ends."""
    ours, theirs = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT, 0o600)
    argv = [sys.executable, "-I", "-c", WAITS, str(ours)]
    kept = capsule.spawn(argv, name="test", keep=tmp_path, log=log, fds=[ours], env=dict(os.environ))
    os.close(ours)
    os.close(log)
    yield kept
    os.close(theirs)
    capsule.end(kept)


@pytest.fixture
def inside(keeper: capsule.Keeper) -> Callable[..., Any]:
    """Give `inside(function, *args)`, which runs `function` in the capsule and returns what it returns."""
    return lambda function, *args, **kwargs: join.call(keeper, partial(function, *args, **kwargs))


def invocation(*words: str) -> list[str]:
    """Return the command line of a task, as a user would type it with this interpreter."""
    return [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]


@pytest.fixture
def invoke(runtime: Path) -> Iterator[Invoke]:
    """Give `invoke("lab.up", "clusterip")`: a task's exit status and output. What still stands afterwards is ended.

    It runs in this process; `invocation` is for what needs one of its own.
    """
    yield commandline.run
    if any(runtime.iterdir()):
        commandline.run("lab.down", "--all")


@contextmanager
def lab_of_module(factory: pytest.TempPathFactory, topology: str) -> Iterator[Invoke]:
    """Give tasks on a lab for the tests of a module that leave it as it is; meanwhile it is the environment's only one.

    Its state folder is not that of `runtime`: a test with that one sees other labs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(factory.mktemp("runtime")))
        patch.delenv("HAIRPIN_LAB", raising=False)
        built = commandline.run("lab.up", topology)
        assert built.returncode == 0, built.stderr
        try:
            yield commandline.run
        finally:
            commandline.run("lab.down", "--all")


@pytest.fixture
def lab(invoke: Invoke) -> Callable[..., Invoke]:
    """Give `lab("clusterip", "--mode", "iptables")`: the topology stands, and the result runs tasks on it."""

    def build(topology: str, *options: str) -> Invoke:
        done = invoke("lab.up", topology, *options)
        assert done.returncode == 0, done.stderr
        return invoke

    return build


QUICK = {"test_build", "test_capsule", "test_loaded", "test_reach", "test_traffic"}
"""The modules that `scripts/test --quick` runs of this folder; each takes seconds."""


ONCE = {
    "test_check",
    "test_classic",
    "test_exercise_verify",
    "test_gallery",
    "test_oracle_nftables",
    "test_proxy_render",
    "test_walk",
}
"""The modules whose outcome does not depend on who runs them; test_oracle loads rules as every user. So it is with what
is about one topology: README.md's commands are run as every user."""


EVERYONE = {"test_predicted"}
"""The modules that are about topologies, and whose outcome may depend on who runs them."""


FIRST = {"", "clusterip", "hairpin", "nodeport", "octopus"}
"""The topologies ("": README.md's) that are tried with everything else; the others are `scripts/test --gallery`'s."""


def topology_of(item: pytest.Item) -> str:
    """Return which topology a test is about, by its parameter `name` or `document`."""
    params: dict[str, str] = getattr(item, "callspec").params if hasattr(item, "callspec") else {}  # noqa: B009 - not every item has one
    if item.path.stem in ("test_gallery", "test_predicted"):
        return params.get("name", "")
    return Path(params["document"]).parent.name if item.path.stem == "test_readme" and "document" in params else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Call slow what builds whole labs, once what is the same for every user, gallery what is a job of its own."""
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        if item.path.stem not in QUICK:
            item.add_marker("slow")
        if item.path.stem in ONCE or (topology_of(item) and item.path.stem not in EVERYONE):
            item.add_marker("once")
        if topology_of(item) not in FIRST:
            item.add_marker("gallery")
