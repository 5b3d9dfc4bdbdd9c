"""What all benchmarks share: what is asked for, what the figures depend on, and where they are kept."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import TopologyError
from lab.kernel import command

ROOT = Path(__file__).parents[1]
_TIMEOUT_S = 120.0


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


def invoke(*words: str) -> float:
    """Run a task of this checkout, and return the seconds that it took; raises `RuntimeError` if it failed."""
    argv = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    begin = time.perf_counter()
    done = command.run(argv, timeout_s=_TIMEOUT_S)
    seconds = time.perf_counter() - begin
    if done.status:
        raise RuntimeError(f"invoke {' '.join(words)}: exit {done.status}: {done.stderr.strip()}")
    return seconds


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


def pss(process: str) -> int:
    """Return what a process takes, in bytes, its share of what it has in common with others; 0 if it has ended."""
    with suppress(OSError):
        rows = lines_of(f"/proc/{process}/smaps_rollup")
        return next((int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:")), 0)
    return 0
