"""The command line: invoke's tasks, which parse arguments, call the rooms that do the work, and print."""

from __future__ import annotations

import sys
from typing import NoReturn

from invoke import Collection, Program

import lab
from lab.cli import bench, labs

namespace = Collection()
namespace.add_collection(Collection("lab", *labs.every()))
namespace.add_collection(Collection("bench", *bench.every()))


def main() -> NoReturn:
    """Run the console script `hairpin`: the same tasks, from any folder.

    `--help` counts wherever it stands; invoke takes it for the value of an argument that is still missing.
    """
    words = sorted(sys.argv[1:], key=lambda word: word != "--help")  # stable: the others keep their order
    program = Program(name="hairpin", binary="hairpin", namespace=namespace, version=lab.__version__)
    program.run([sys.argv[0], "--write-pyc", *words])  # see tasks.py
    sys.exit(0)
