"""What the kernel has as modules, found by reading only: asking for a feature would load it, and change the machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import Enum
from pathlib import Path


class Presence(Enum):
    """Where a module stands."""

    HERE = "loaded or built in"
    LOADABLE = "not loaded, but on the disk"
    ABSENT = "neither loaded nor on the disk"
    UNSEEN = "not loaded; a container does not see which modules its machine could load"


def presence(names: Iterable[str], *, root: Path = Path("/")) -> dict[str, Presence]:
    """Return where each module stands, by its name with underscores.

    `root`: the folder that holds proc, sys and lib. Source: modules.dep(5), proc(5), kbuild's modules.builtin.
    A kernel that cannot load modules at all has no /proc/modules.
    """
    loaded = root / "proc/modules"
    folder = root / "lib/modules" / os.uname().release
    can_load, sees_disk = loaded.exists(), (folder / "modules.dep").exists()
    here = _first_words(loaded) | _files(folder / "modules.builtin")
    on_disk = _files(folder / "modules.dep") if can_load else set()

    def one(name: str) -> Presence:
        if name in here or (root / "sys/module" / name).exists():
            return Presence.HERE
        if name in on_disk:
            return Presence.LOADABLE
        return Presence.ABSENT if sees_disk or not can_load else Presence.UNSEEN

    return {name: one(name) for name in names}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _first_words(path: Path) -> set[str]:
    return {line.partition(" ")[0] for line in _lines(path)}


def _files(path: Path) -> set[str]:
    """Return the modules of a list of files such as `kernel/net/bridge/br_netfilter.ko.xz: ...`."""
    files = (line.partition(":")[0].rpartition("/")[2] for line in _lines(path))
    return {file.partition(".ko")[0].replace("-", "_") for file in files}
