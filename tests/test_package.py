"""What is installed: the types, the plugin, topologies and exercises come along."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.iterdir()
    return zipfile.ZipFile(file)


def test_the_wheel_has_types_topologies_and_exercises(wheel: zipfile.ZipFile) -> None:
    files = set(wheel.namelist())
    assert {"lab/py.typed", "lab/api/__init__.py", "lab/plugin.py", "lab/topologies/clusterip/lab.yaml"} <= files
    assert "lab/exercises/03-hairpin/hairpin-port-off/break.sh" in files


def test_pytest_finds_the_plugin_and_a_shell_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = [file for file in wheel.namelist() if file.endswith("entry_points.txt")]
    points = ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert {section: dict(points[section]) for section in points.sections()} == {
        "console_scripts": {"hairpin": "lab.cli:main"},
        "pytest11": {"hairpin": "lab.plugin"},
    }
