"""The pytest plugin: labs as fixtures, what a failed test's lab looked like, and labs that stay; docs/testing.md tells.

It is imported at the start of every pytest run wherever Hairpin is installed: what a lab needs is imported only when
one is built.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Unpack

import pytest

if TYPE_CHECKING:
    from lab.api import Lab, Settings
    from lab.errors import LabError

# See above.
# ruff: noqa: PLC0415

Scope = Literal["function", "class", "module", "package", "session"]
LabMode = Literal["iptables", "nftables", "legacy"]
"""kube-proxy's two modes; `legacy` is the first one with iptables-legacy."""

KEPT = "lab_kept"
"""The property of a report that names a lab which stays."""

_FAILED = pytest.StashKey[set[str]]()
"""The names of labs in which a test failed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("lab", "labs (Hairpin)")
    group.addoption(
        "--lab-keep",
        action="store_true",
        help="leave the lab of a failed test standing, and print how to enter it",
    )
    group.addoption(
        "--lab-capture",
        metavar="FOLDER",
        help="write all packets of a failed test's lab to a pcapng file in this folder",
    )
    group.addoption(
        "--lab-skip",
        action="store_true",
        help="skip the tests whose lab this machine cannot build, and name what it lacks; without it they fail",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.stash[_FAILED] = set()
    config.addinivalue_line(
        "markers",
        "lab(topology, *, modes=(), **settings): the topology of the fixture `lab`: a name, a folder or file beside the"
        " test, or YAML; settings as `lab.up` has them; with modes the test runs once in each",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test with a marker run once in each of its modes."""
    marker = metafunc.definition.get_closest_marker("lab")
    if marker is not None and "lab" in metafunc.fixturenames and marker.kwargs.get("modes"):
        metafunc.parametrize("lab", marker.kwargs["modes"], indirect=True)


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Give the lab that the test's marker asks for: `@pytest.mark.lab("clusterip")`."""
    marker = request.node.get_closest_marker("lab")
    if marker is None or len(marker.args) != 1:
        pytest.fail(
            'the fixture `lab`: expected a marker with a topology: @pytest.mark.lab("clusterip")', pytrace=False
        )
    settings = {name: value for name, value in marker.kwargs.items() if name != "modes"}
    yield from _standing(request, marker.args[0], request.node.path.parent, settings)


def lab_fixture(
    topology: str | os.PathLike[str],
    *,
    scope: Scope = "function",
    modes: Sequence[LabMode] = (),
    **settings: Unpack[Settings],
) -> Callable[..., Any]:
    """Return a fixture that gives a lab; the name that it is assigned to is the fixture's.

    `topology`: the name of one that comes along, a folder or file (from the caller's own folder), or, if the text has
    several lines, the YAML itself. With `modes`, what uses the fixture runs once in each. `settings`: as `lab.api.up`.
    """
    here = inspect.currentframe()
    caller = here.f_back.f_code.co_filename if here and here.f_back else ""

    @pytest.fixture(scope=scope, params=list(modes) or None)
    def standing(request: pytest.FixtureRequest) -> Iterator[Lab]:
        yield from _standing(request, topology, Path(caller).parent, dict(settings))

    return standing


def _standing(
    request: pytest.FixtureRequest, topology: str | os.PathLike[str], folder: Path, settings: dict[str, Any]
) -> Iterator[Lab]:
    """Build a lab, give it, and end it."""
    from lab import api

    lab: Lab | LabError
    with ExitStack() as stack:
        try:
            options = settings | _mode(getattr(request, "param", ""))
            lab = stack.enter_context(api.up(_meant(topology, folder), name=api.unique(_name(request)), **options))
            if file := _packets(request.config, lab):
                file.parent.mkdir(parents=True, exist_ok=True)
                stack.callback(_forget, request.config, lab, file)
                stack.enter_context(lab.capture(file))
        except api.LabError as error:
            lab = error
        if isinstance(lab, api.LabError):  # here, since pytest would tell of it twice within `except`
            _refuse(lab, skip=request.config.getoption("lab_skip"))
        yield lab


def _packets(config: pytest.Config, one: Lab) -> Path | None:
    """Return the file for a lab's packets, if they are asked for."""
    folder = config.getoption("lab_capture")
    return config.invocation_params.dir / folder / f"{one.name}.pcapng" if folder else None


def _forget(config: pytest.Config, one: Lab, file: Path) -> None:
    """Remove the packets of a lab in which no test failed."""
    if one.name not in config.stash[_FAILED]:
        file.unlink()


def _mode(word: str) -> dict[str, Any]:
    """Return the settings that one of `modes` means."""
    from lab.api import TopologyError
    from lab.gallery import MODES

    if word and word not in MODES:
        raise TopologyError(f"modes: {word!r}: expected {', '.join(MODES)}")
    return dict(MODES[word]) if word else {}


def _meant(topology: str | os.PathLike[str], folder: Path) -> str | os.PathLike[str]:
    """Return what `lab.api.up` takes: a relative path is meant from `folder`, where the test stands."""
    from lab import catalogue

    text = os.fspath(topology)
    if isinstance(topology, str) and ("\n" in text or text in {entry.name for entry in catalogue.entries()}):
        return text
    return folder / text if (folder / text).exists() else topology


def _name(request: pytest.FixtureRequest) -> str:
    """Return what the lab's name begins with: the test, or the fixture if more than one test uses it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return f"{request.node.name if request.scope == 'function' else request.fixturename}-{worker}"


def _refuse(error: LabError, *, skip: bool) -> NoReturn:
    """Fail a test that gets no lab, with the doctor's words if it is the machine that lacks something; or skip it."""
    from lab.errors import TopologyError

    lacking = [] if isinstance(error, TopologyError) else _lacking()
    if not lacking:
        pytest.fail(str(error), pytrace=False)
    from lab.report import doctor

    told = f"{error}\n\n{doctor.text(lacking)}"
    if skip:
        pytest.skip(told.splitlines()[-1] + "".join(f"; {one['name']}: {one['mend']}" for one in lacking))
    pytest.fail(told, pytrace=False)


def _lacking() -> list[Any]:
    """Return what the doctor finds missing that every lab needs; but not what could not be tried because of that."""
    from lab.kernel.doctor import examine

    missing = [check for check in examine() if check["required"] and check["status"] == "missing"]
    return [check for check in missing if not check["observed"].startswith("not tried")] or missing


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to the report of a failed test what its labs look like, while they stand."""
    report = yield
    if report.failed:
        for one in _labs(item):
            _tell(item, report, one)
    return report


def _labs(item: pytest.Item) -> list[Lab]:
    """Return the labs that a test uses, by whatever fixture."""
    api = sys.modules.get("lab.api")
    return [] if api is None else [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, api.Lab)]


def _tell(item: pytest.Item, report: pytest.TestReport, one: Lab) -> None:
    from lab import snapshot
    from lab.errors import LabError

    try:
        parts = snapshot.parts(one.standing)
    except LabError:  # it ended before: the test ended it, or it was the end of the lab that failed
        return
    item.config.stash[_FAILED].add(one.name)
    file = _packets(item.config, one)
    if file is not None and file.exists():  # not that of a lab which is built in another way
        parts["packets"] = str(file)
    said = [("lab_name", one.name), *((f"lab_{part}", text) for part, text in parts.items())]
    if item.config.getoption("lab_keep"):
        one.keep()
        said.append((KEPT, one.name))
    report.sections += [(f"lab {one.name}: {part}", text) for part, text in parts.items()]
    item.user_properties += said  # which the report of its teardown carries: JUnit XML has them from there


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how to enter the labs that stay."""
    reports = [report for several in terminalreporter.stats.values() for report in several]
    kept = {
        value: report.nodeid
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == KEPT
    }
    if kept:
        terminalreporter.section("labs that stand")
    for name, test in kept.items():
        terminalreporter.write_line(f"{name}, of {test}")
        terminalreporter.write_line(f"  enter it: hairpin lab.shell --lab {name}")
        terminalreporter.write_line(f"  end it:   hairpin lab.down --lab {name}")
