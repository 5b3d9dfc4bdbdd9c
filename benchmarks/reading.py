"""What it takes to read a cluster's objects: memory, and time in each language."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from yaml import CSafeDumper, dump

from benchmarks.objects import objects, written
from lab.kernel import command
from lab.parse import cluster_files

_MEASURES_ITSELF = """
import resource, sys
from lab.cli import namespace
sys.stdout = open("/dev/null", "w")
namespace["proxy.render"].body(None, objects=[sys.argv[1]], mode=sys.argv[2], node="node-1")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
"""
_TIMEOUT_S = 300.0


def memory(services: int, place: Path) -> dict[str, Any]:
    """Return the most that rendering takes, in bytes, Python and all its modules included."""
    file = str(written(services, place))
    peaks = {}
    for mode in ("iptables", "nftables"):
        done = command.run([sys.executable, "-c", _MEASURES_ITSELF, file, mode], timeout_s=_TIMEOUT_S)
        if done.status:
            raise RuntimeError(done.stderr)
        peaks[mode] = int(done.stderr.splitlines()[-1])
    return {"services": services, "peak": peaks}


def yaml(services: int, rounds: int, place: Path) -> dict[str, Any]:
    """Return the seconds that reading the same objects takes in each language."""
    file = written(services, place)
    other = file.with_suffix(".yaml")
    other.write_text(dump(objects(services), Dumper=CSafeDumper), encoding="utf-8")
    seconds: dict[str, list[float]] = {"json": [], "yaml": []}
    for _ in range(rounds):
        for name, path in (("json", file), ("yaml", other)):
            begin = time.perf_counter()
            cluster_files.load([str(path)])
            seconds[name].append(time.perf_counter() - begin)
    return {"services": services, "seconds": seconds}
