"""What all benchmarks share: what is asked for, what the figures depend on, and where they are kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.errors import TopologyError
from lab.kernel import command

ROOT = Path(__file__).parents[1]


def numbers(option: str, text: str, example: str) -> list[int]:
    """Return what `--option 1,2,3` means; raises `TopologyError` if it is no list of numbers."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        hint = f"for example {option} {example}"
        raise TopologyError(f"{option}: {text!r} is not a list of numbers", hint=hint) from None


def check_part(only: str, parts: Sequence[str]) -> None:
    """Raise `TopologyError` if `--only` names a part that there is not; "" is all of them."""
    if only and only not in parts:
        raise TopologyError(f"--only: {only!r} is not a part", hint=f"the parts are {', '.join(parts)}")


def keep(results: dict[str, Any], table: str, out: str, name: str) -> None:
    """Print the table, and keep the results as JSON: in the file `out`, or under their `name` among those kept here."""
    file = Path(out) if out else ROOT / "benchmarks" / "results" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(table)
    print(f"\nresults: {file}")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    models = (line.partition(":")[2].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name"))
    return {
        "kernel": platform.release(),
        "processor": next(models, "unknown"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "iproute2": command.check(["ip", "-V"]).strip(),
        "root": os.geteuid() == 0,
    }


def lines_of(path: str) -> list[str]:
    """Return the lines of a file of the kernel's."""
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
