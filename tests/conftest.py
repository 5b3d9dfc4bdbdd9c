"""No test is left out unseen: a skip (or an expected failure) that tests/skips.txt does not name fails the run."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("skips.txt")


def allowed_skips(text: str) -> dict[str, str]:
    """Return why each test may be skipped, by its node id: one `NODE-ID REASON` a line, `#` begins a comment."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition(" ")[::2] for line in lines if line and not line.startswith("#"))
    return {node: reason.strip() for node, reason in pairs}


class SkipGuard:
    """Collects what was skipped, on the controlling process when xdist spreads the tests."""

    def __init__(self, allowed: dict[str, str]) -> None:
        self.allowed = allowed
        self.unexpected: list[str] = []

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and report.nodeid not in self.allowed:
            self.unexpected.append(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for node in self.unexpected:
            terminalreporter.write_line(f"SKIPPED, and tests/skips.txt does not allow it: {node}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipGuard(allowed_skips(ALLOWED.read_text())))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what needs root to root: deselected, so that the closing line counts it."""
    if os.geteuid() != 0:
        for_root = [item for item in items if item.get_closest_marker("root")]
        items[:] = [item for item in items if item not in for_root]
        config.hook.pytest_deselected(items=for_root)


def pytest_collection_finish() -> None:
    """Let the collector pass over what stands now: a child of a test would copy it, page by page, to look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this test state folders of its own, so that tests beside it see other labs than it does."""
    place = tmp_path / "runtime"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    monkeypatch.delenv("HAIRPIN_LAB", raising=False)
    return place
