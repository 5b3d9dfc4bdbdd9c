"""The topologies that come with Hairpin, and the choice of one: by name, by folder or by file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from msgspec import structs

import lab
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.lab import HairpinMode, Mode, Release, Variant
from lab.parse import topology
from lab.parse.mistake import listed, nearest, show
from lab.proxy.classic import NO_NFTABLES


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One topology: its name, its folder, and what it shows, in a line."""

    name: str
    folder: Path
    title: str


def folder() -> Path:
    """Return the folder of the topologies: beside the package in a checkout, within it where it was installed."""
    package = Path(lab.__file__).parent
    return next((place for place in (package.parent / "topologies", package / "topologies") if place.is_dir()), package)


def entries() -> tuple[Entry, ...]:
    """Return the topologies by name."""
    found = sorted(place for place in folder().iterdir() if (place / topology.FILE).is_file())
    return tuple(Entry(name=place.name, folder=place, title=_title(place / "README.md")) for place in found)


def _title(readme: Path) -> str:
    """Return a README's heading, `# NAME: TITLE`, without the name."""
    try:
        heading = readme.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return ""
    return heading.lstrip("# ").partition(": ")[2] or heading.lstrip("# ")


def find(text: str) -> Path:
    """Return the topology that `text` means; a name wins over a file of the same name, which `./` tells apart.

    Raises `TopologyError` if it is neither, with the nearest name.
    """
    if text.startswith("-"):
        raise TopologyError(
            f"{show(text)}: expected a topology, not an option", hint="`invoke --help lab.up` lists the options"
        )
    known = {entry.name: entry.folder for entry in entries()}
    if not text:
        raise TopologyError(f"an empty text: expected a topology ({listed(known)}), a file or a folder")
    if text in known:
        return known[text]
    path = Path(text)
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name too long for the file system, or with a null byte
        there = False
    if there:
        return path
    close = nearest(text, known)
    raise TopologyError(
        f"{show(text)}: neither a topology ({listed(known)}) nor a file or folder",
        hint=f"did you mean {close}?" if close else "`invoke lab.topologies` says what each one shows",
    )


def choose(
    text: str, *, mode: str = "", iptables: str = "", hairpin_mode: str = "", release: str = ""
) -> topology.Completed:
    """Return the complete cluster of a topology, with the settings that are given ("" leaves the topology's own).

    Raises `TopologyError`.
    """
    _check("--mode", mode, get_args(Mode))
    _check("--iptables", iptables, get_args(Variant))
    _check("--hairpin-mode", hairpin_mode, get_args(HairpinMode))
    _check("--release", release, get_args(Release))
    loaded = topology.load(find(text))
    cluster = _with(loaded.cluster, mode, iptables, hairpin_mode, release)
    if cluster.spec.release == "classic" and cluster.mode == "nftables":
        raise TopologyError(NO_NFTABLES, hint="--mode iptables")
    return replace(loaded, cluster=cluster)


def _check(option: str, value: str, known: Sequence[str]) -> None:
    if value and value not in known:
        close = nearest(value, known)
        raise TopologyError(
            f"{option} {show(value)}: expected {listed(known)}", hint=f"did you mean {close}?" if close else ""
        )


def _with(cluster: Cluster, mode: str, iptables: str, hairpin_mode: str, release: str) -> Cluster:
    spec, proxy = cluster.spec, cluster.proxy
    if mode:
        proxy = structs.replace(proxy, mode=mode)
    if iptables:
        spec = structs.replace(spec, iptables=iptables)
    if release:
        spec = structs.replace(spec, release=release)
    if hairpin_mode:
        spec = structs.replace(spec, network=structs.replace(spec.network, hairpin_mode=hairpin_mode))
    return replace(cluster, proxy=proxy, lab=structs.replace(cluster.lab, spec=spec))
