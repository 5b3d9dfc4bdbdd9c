"""A real node's rules in a lab's node, in place of kube-proxy's: tried first, then loaded, or nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lab.controllers.amend import Edit, changed
from lab.controllers.complete import complete
from lab.controllers.told import missing, targets, told_by
from lab.errors import HostError, KernelError, LabError, TopologyError
from lab.parse import rule_file
from lab.parse import target as places
from lab.parse.files import data_of, source_of
from lab.parse.mistake import listed
from lab.standing import installed, live, session, state
from lab.standing.meter import Meter
from lab.standing.session import Standing

if TYPE_CHECKING:
    from lab.controllers.told import Targets
    from lab.kernel.foreign import Load, Refusal, Tool
    from lab.model.cluster import Cluster
    from lab.model.lab import Mode
    from lab.parse.rule_file import Kind, RuleFile

# lab.kernel and lab.standing.sync load netlink: they are wanted inside the capsule only.
# ruff: noqa: PLC0415

MAX_BYTES = 512 * 2**20
HINT = "iptables-save, ip6tables-save, nft list ruleset and nft -j list ruleset print what is needed"
NODE = "node-1"
_SHOWN = 4
_TOO_LONG = "net.core.wmem_default limits what an ordinary user may load at once; root has no such limit"
_ADVICE = (
    "load the module that the kernel lacks (modprobe, as root), install what iptables lacks, or go on with --leave-out"
)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of it: the lab, whether it was built for the rules, the node, and what should be known of it."""

    lab: Standing
    built: bool
    node: str
    notes: tuple[str, ...]


def read(name: str) -> RuleFile:
    """Return the rules in a file ("-" is standard input); raises `TopologyError` if there are none."""
    text = data_of(name, most=MAX_BYTES, hint=HINT).decode("utf-8-sig", "replace")
    try:
        return rule_file.read(text, source_of(name))
    except TopologyError as error:
        raise TopologyError(error.mistakes, hint=error.hint or HINT) from None


def build(file: RuleFile, *, name: str, node: str, leave_out: bool, progress: Meter) -> Done:
    """Build a lab of the rules' own: a node that has them, pods where they lead to, a client; and load them.

    Raises `LabError`; then nothing stays behind.
    """
    found = targets(file.tables)
    mode: Mode = "iptables" if file.parts[0].kind == "iptables" else "nftables"
    told = told_by(found, name=name, node=node or NODE, mode=mode, variant="nft")
    lab, built = session.up(
        complete(told.lab, told.objects), name=name, source=file.name, notes=file.notes, progress=progress
    )
    if not built:
        raise TopologyError(f"lab {name!r} stands already", hint=f"load into it: --lab {name}")
    try:
        notes = _load(lab, file, node or NODE, leave_out=leave_out)
    except BaseException:
        session.down(name)
        raise
    return Done(lab=session.attach(name), built=True, node=node or NODE, notes=(*notes, *_unlike(found, lab.cluster)))


def load(lab: Standing, file: RuleFile, *, node: str, leave_out: bool, progress: Meter) -> Done:
    """Load rules into a node of a lab that stands ("": its only one), with the pods that they lead to and it lacks.

    Raises `TopologyError` if there is no such node, `KernelError` for rules that this machine cannot load, with all of
    them; then the node's rules are as they were.
    """
    name = _node(lab.cluster, node)
    _try(lab, file, leave_out=leave_out)
    if lab.record.rules:
        installed.rewrite(lab, progress, node=name)
        lab = session.attach(lab.name)
    found = targets(file.tables)
    pods, homeless = missing(found, lab.cluster, name)
    if pods:
        live.change(lab, lambda cluster: changed(cluster, Edit(objects=dict(enumerate(pods)))), progress)
        lab = session.attach(lab.name)
    notes = [*_load(lab, file, name, leave_out=leave_out), *_unlike(found, lab.cluster)]
    if homeless:
        notes.append(f"nobody in this lab can have what the rules lead to: {_some(homeless)}; a lab of their own would")
    return Done(lab=session.attach(lab.name), built=False, node=name, notes=tuple(notes))


def _node(cluster: Cluster, text: str) -> str:
    if text:
        return places.node(cluster, text).netns
    names = [node.metadata.name for node in cluster.nodes]
    if len(names) > 1:
        raise TopologyError(f"there are several nodes: {listed(names)}", hint=f"say which: --node {names[0]}")
    return names[0]


def _some(items: Sequence[object]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(map(str, items[:_SHOWN])) + more


def _unlike(found: Targets, cluster: Cluster) -> tuple[str, ...]:
    """Return what of the rules is about interfaces that no node of a lab has."""
    own = ("lo", "eth0", "cbr0", "veth", "flannel")
    odd = [name for name in found.interfaces if not name.startswith(own)]
    link = "cbr0" if cluster.spec.network.plugin == "bridge" else "veth-*"
    return (f"no packet matches what the rules ask of {_some(odd)}: the lab's pods are behind {link}",) if odd else ()


def _try(lab: Standing, file: RuleFile, *, leave_out: bool) -> None:
    """Raise `KernelError` for what cannot be loaded here, before anything is changed."""
    with live.steady(lab) as standing:
        refused, _ = standing.call(partial(_tried, standing.cluster, file))
    _check(file, refused, leave_out=leave_out)


def _check(file: RuleFile, refused: Sequence[Refusal], *, leave_out: bool) -> None:
    """Raise `KernelError` for what was refused, unless it shall be left out, and can be."""
    if refused and (not leave_out or any(not one.number for one in refused)):
        raise _refusal(file, refused)


def _refusal(file: RuleFile, refused: Sequence[Refusal]) -> KernelError:
    lines = [
        f"{file.name}:{one.number}: {one.line}: {one.reason}" if one.number else f"{file.name}: {one.reason}"
        for one in refused
    ]
    too_long = any("Message too long" in one.reason for one in refused)
    return KernelError("\n".join(lines), hint=_TOO_LONG if too_long else _ADVICE)


def _load(lab: Standing, file: RuleFile, node: str, *, leave_out: bool) -> list[str]:
    """Try, load and note it; return what should be known."""
    with live.steady(lab) as standing:
        refused, loads = standing.call(partial(_tried, standing.cluster, file))
        _check(file, refused, leave_out=leave_out)
        standing.call(partial(_swap, standing.cluster, file, node, loads))
        state.note(lab.name, rules={**standing.record.rules, node: file.name})
    notes = list(file.notes)
    notes += [f"left out: {file.name}:{one.number}: {one.line}: {one.reason}" for one in refused]
    if file.sets:
        notes.append(f"made empty, since their elements are not in the file: {_some([one.name for one in file.sets])}")
    return notes


def _tried(cluster: Cluster, file: RuleFile) -> tuple[list[Refusal], list[Load]]:
    """Inside the capsule: load in a namespace that goes at once; return what is refused, and what loads without it."""
    from lab.kernel import foreign, netns

    refused: list[Refusal] = []
    loads: list[Load] = []
    with netns.scratch():
        _provide(file)
        for one in _loads(cluster, file):
            (said,) = foreign.load([one])
            found, left = foreign.refusals(one, said)
            refused += found
            loads.append(left)
    return refused, loads


def _loads(cluster: Cluster, file: RuleFile) -> list[Load]:
    from lab.kernel.foreign import Load

    legacy = cluster.spec.iptables == "legacy"
    tools: dict[Kind, Tool] = {
        "iptables": "iptables-legacy" if legacy else "iptables-nft",
        "nft": "nft",
        "nft-json": "nft-json",
    }
    return [Load(tool=tools[part.kind], family=part.family, text=part.text) for part in file.parts]


def _provide(file: RuleFile) -> None:
    """Make what the rules ask for and do not hold themselves, in this thread's namespace."""
    from lab.kernel import foreign, rules

    if rules.nfacct_available():
        rules.add_counters(None, file.counters)
    try:
        foreign.make_sets([(one.name, one.fields, one.family) for one in file.sets])
    except HostError as error:
        names = _some([one.name for one in file.sets])
        raise HostError(
            f"{file.name}: its rules ask for the ipsets {names}, and {error.message}", hint=error.hint
        ) from None


def _swap(cluster: Cluster, file: RuleFile, node: str, loads: Sequence[Load]) -> None:
    """Inside the capsule: put the rules in place of a node's; what is refused leaves the lab's own."""
    from lab.kernel import command, foreign, netns
    from lab.standing import sync

    sync.clear(cluster, [node])
    try:
        with netns.inside(node):
            _provide(file)
            refused = [said for said in foreign.load(loads) if said]
            command.run(("conntrack", "-F"))  # flows that the rules before had made would follow these
        if refused:
            raise KernelError("\n".join(refused), hint="the node has the lab's own rules again")
    except LabError:
        sync.clear(cluster, [node])
        sync.full(cluster, [node])
        raise
