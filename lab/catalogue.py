"""The topologies that come with Hairpin, and the choice of one: by name, by folder or by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from msgspec import structs

import lab
from lab.controllers.adopt import Choice
from lab.controllers.check import no_bridge, no_place, no_tunnel
from lab.errors import TopologyError
from lab.model.cluster import Cluster
from lab.model.lab import HairpinMode, Mode, Overlay, Plugin, Release, Variant
from lab.parse import option
from lab.parse.files import FILE
from lab.parse.mistake import did_you_mean, listed, nearest, show
from lab.proxy.classic import NO_NFTABLES
from lab.standing import programs
from lab.topology import Completed, load, of_cluster, read

INLINE = "<text>"
"""What messages, and the list of labs, call a topology that is not in a file."""

SETTINGS: Mapping[str, Sequence[str]] = {
    "iptables": get_args(Variant),
    "release": get_args(Release),
    "hairpin_mode": get_args(HairpinMode),
    "plugin": get_args(Plugin),
    "overlay": get_args(Overlay),
}
"""What a topology says of itself, and its user may say otherwise: the words for each."""

_OF_SPEC = ("iptables", "release")


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
    found = sorted(place for place in folder().iterdir() if (place / FILE).is_file())
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


def choose(text: str, *, mode: str = "", **settings: str) -> Completed:
    """Return the complete cluster of a topology, with the settings that are given ("" leaves the topology's own).

    `text` is what `find` takes, or, if it has several lines, the topology itself. `settings` are those of `SETTINGS`.
    Raises `TopologyError`.
    """
    _check_all(mode, settings)
    return _settled(read(text, INLINE) if "\n" in text else load(find(text)), mode, settings)


def choose_cluster(file: str, choice: Choice, *, mode: str = "", **settings: str) -> Completed:
    """Return a real cluster, or a part of it, as `choose` does a topology; `file` has its objects ("-" is stdin).

    Raises `TopologyError`.
    """
    _check_all(mode, settings)
    return _settled(of_cluster(file, choice, mode=mode), mode, settings)


def with_commands(chosen: Completed) -> Completed:
    """Return a topology whose containers' commands are run, where this machine has the programs."""
    return replace(chosen, cluster=programs.sought(replace(chosen.cluster, programs={})))


def _check_all(mode: str, settings: Mapping[str, str]) -> None:
    if mode:
        option.check("--mode", mode, get_args(Mode))
    for name, value in settings.items():
        if name not in SETTINGS:  # from a program; the command line has no others
            known = ["mode", *SETTINGS]
            raise TopologyError(f"there is no option {show(name)}; expected {listed(known)}{did_you_mean(name, known)}")
        if value:
            option.check(f"--{name.replace('_', '-')}", value, SETTINGS[name])


def _settled(loaded: Completed, mode: str, settings: Mapping[str, str]) -> Completed:
    cluster = _with(loaded.cluster, mode, settings)
    if cluster.spec.release == "classic" and cluster.mode == "nftables":
        raise TopologyError(NO_NFTABLES, hint="--mode iptables")
    if wrong := no_bridge(cluster.spec.network):
        raise TopologyError(wrong, hint="--hairpin-mode hairpin-veth, or --plugin bridge")
    if wrong := no_tunnel(cluster.spec.network):
        raise TopologyError(wrong, hint="--overlay none")
    if wrong := no_place(cluster):
        raise TopologyError(wrong, hint="--plugin ptp")
    return replace(loaded, cluster=cluster)


def _with(cluster: Cluster, mode: str, settings: Mapping[str, str]) -> Cluster:
    """Return the cluster with those settings of its proxy, its Lab and its network that are not empty."""
    given = {name: value for name, value in settings.items() if value and name in _OF_SPEC}
    wired = {name: value for name, value in settings.items() if value and name not in _OF_SPEC}
    network = structs.replace(cluster.spec.network, **wired)
    lab = structs.replace(cluster.lab, spec=structs.replace(cluster.spec, network=network, **given))
    return replace(cluster, proxy=structs.replace(cluster.proxy, mode=mode) if mode else cluster.proxy, lab=lab)
