"""The guard of tests/conftest.py: what is skipped is seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPPED = "import pytest\ndef test_a():\n    pytest.skip('no')\n@pytest.mark.xfail\ndef test_b():\n    assert 0\n"


def run(folder: Path, tests: str, allowed: str, *options: str) -> tuple[int, str]:
    shutil.copy(CONFTEST, folder)
    (folder / "skips.txt").write_text(allowed)
    (folder / "test_it.py").write_text(tests)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *options]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # what is installed beside it has no say, and costs
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["here", "spread"])
def test_a_skip_and_an_expected_failure_fail_the_run_and_are_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    status, output = run(tmp_path, SKIPPED, "", *options)
    assert status == 1
    assert "tests/skips.txt does not allow it: test_it.py::test_a" in output
    assert "tests/skips.txt does not allow it: test_it.py::test_b" in output


def test_a_skipped_file_fails_the_run(tmp_path: Path) -> None:
    status, output = run(tmp_path, "import pytest\npytest.skip('no', allow_module_level=True)\n", "")
    assert status != 0
    assert "does not allow it: test_it.py" in output


def test_what_the_list_allows_may_be_skipped(tmp_path: Path) -> None:
    allowed = "# why\n\ntest_it.py::test_a there is none here\ntest_it.py::test_b\n"
    assert run(tmp_path, SKIPPED, allowed)[0] == 0
