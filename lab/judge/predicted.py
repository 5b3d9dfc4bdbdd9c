"""A journey beside the walk through the rules of each node that it passed.

Both know the same rules: those that the nodes listed when the request was over. What is compared is the request's first
packet: later ones do not meet the nat rules, and the walk does not tell of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lab import words
from lab.errors import LabError
from lab.judge import pairs
from lab.model.address import Family, family_of
from lab.model.journey import whose
from lab.model.netfilter import Unknown
from lab.model.predicted import Compared, Visit
from lab.model.trace import OWN_TABLE, UNHEARD, Evidence
from lab.model.walk import Packet, Vantage
from lab.parse import saved_rules
from lab.proxy.walk import explain

if TYPE_CHECKING:
    from lab.model.journey import Journey, Leg, Step
    from lab.model.netfilter import Hook, Table
    from lab.model.predicted import Pair
    from lab.model.walk import Fate, Way

_FAMILIES: dict[Family, str] = {"ipv4": "ip", "ipv6": "ip6"}
_FIRST = (
    "compared is the request's first packet alone: later ones, and the reply, do not meet the nat rules, conntrack"
    " treats them as this one"
)
_LOOPBACK = "lo"
_ENDS = {"accept": "delivered", "drop": "dropped", "reject": "refused"}
_BRIDGED = "net.bridge.bridge-nf-call-{}"


def predicted(found: Journey, evidence: Evidence) -> Compared:
    """Return the journey that was assembled of `evidence` beside what the rules of each node say of it."""
    family = family_of(found.original.dst)
    nodes = {evidence.places.get(netns, netns): netns for netns in evidence.nodes}
    tables = {name: _tables(evidence, netns, family) for name, netns in nodes.items()}
    vantages = {name: _vantage(evidence, name, netns) for name, netns in nodes.items()}
    done = compare(found, tables, vantages)
    return replace(done, notes=(*_gaps(evidence), *_unlisted(done, evidence), *done.notes))


def compare(found: Journey, tables: Mapping[str, Sequence[Table]], vantages: Mapping[str, Vantage]) -> Compared:
    """Return the request's first visit to each node that `tables` and `vantages` know, beside the walk there.

    A packet that comes to a node again is no connection's first one there: conntrack knows it by then.
    """
    leg = next((leg for leg in found.legs if leg.role == "request"), None)
    visits: dict[str, Visit] = {}
    again = dict.fromkeys(tables, 0)
    for steps in _stays(leg.steps) if leg else ():
        name = steps[0].node
        if name in visits:
            again[name] += 1
        elif leg and name in tables:
            ended = leg if steps[-1] is leg.steps[-1] else None
            visits[name] = _visit(steps, found, tables[name], vantages[name], ended)
    notes = [
        f"{visit.node}: the walk does not know {visit.unknown}: nothing is compared behind it"
        for visit in visits.values()
        if visit.unknown
    ]
    notes += [
        f"it came to {name} {words.count(number, 'time')} more: compared is the first time alone"
        for name, number in again.items()
        if number
    ]
    return Compared(visits=tuple(visits.values()), notes=(*notes, _FIRST))


def _stays(steps: Sequence[Step]) -> Iterator[tuple[Step, ...]]:
    """Yield the steps of each stay: one ends when the packet comes to another place, or from outside again."""
    stay: list[Step] = []
    for step in steps:
        comes = step.kind == "hook" and step.hook == "PREROUTING" and step.interface != _LOOPBACK
        if stay and (step.node != stay[0].node or (comes and any(one.hook for one in stay))):
            yield tuple(stay)
            stay = []
        stay.append(step)
    if stay:
        yield tuple(stay)


def _visit(
    steps: Sequence[Step], found: Journey, tables: Sequence[Table], vantage: Vantage, ended: Leg | None
) -> Visit:
    """Return one visit; `ended`: the leg, if the packet went no further."""
    first, last = steps[0], steps[-1]
    packet = Packet(
        source=first.before.src,
        source_port=first.before.sport,
        destination=first.before.dst,
        destination_port=first.before.dport,
        protocol=found.protocol,
        mark=first.mark_before or 0,
    )
    here = _seen_by(vantage, steps)
    tables = pairs.ordered(tables, steps, found.tool)
    ways = [way for way in explain(tables, packet, here, every=True).ways if way.share]
    gone = ended is not None and ended.end.kind in ("lost", "unknown")
    until = _last_hook(steps) if gone else None
    way, both = pairs.best(ways, pairs.shown(steps, tables, found.tool), here, end=last.after, until=until)
    wanted, seen = _ends(way.fate, last, ended)
    return Visit(
        node=first.node,
        packet=packet,
        ways=len(ways),
        share=way.share,
        pairs=both,
        assumed=tuple(one.text for one in way.assumed),
        predicted=wanted,
        observed=seen,
        difference=_difference(way.fate, ended),
        unknown=_unknown(way, both),
    )


def _unknown(way: Way, both: Sequence[Pair]) -> str:
    """Return what of a rule that was met the walk does not know, and where, "" if it knows all."""
    met = pairs.unknown(way, both)
    if met is None:
        return ""
    told = met.observed.rule.statements if met.observed and met.observed.rule else ()
    text = next((one.text for one in told if isinstance(one, Unknown)), way.fate.detail)
    return f"`{text}` (rule {met.number} of {met.table} {met.chain})"


def _seen_by(vantage: Vantage, steps: Sequence[Step]) -> Vantage:
    """Return what is known of a node, with the interfaces that the hooks saw."""
    hooks = [step for step in steps if step.kind == "hook"]
    came = next((step.interface for step in hooks if step.interface and step.hook != "OUTPUT"), "")
    left = [step.out_interface for step in hooks if step.out_interface and step.hook in ("FORWARD", "POSTROUTING")]
    bridged = vantage.pod_is_bridged and came == vantage.pod_interface
    return replace(vantage, in_interface=came, out_interface=left[-1] if left else "", pod_is_bridged=bridged)


def _last_hook(steps: Sequence[Step]) -> Hook | None:
    return next((step.hook for step in reversed(steps) if step.hook), None)


def _ends(fate: Fate, last: Step, ended: Leg | None) -> tuple[str, str]:
    """Return what the walk says of the packet's end on this node, and what came of it."""
    goes_on = f"{'stays here' if fate.local else 'sent on'}, to {words.socket(fate.destination, fate.port)}"
    wanted = goes_on if fate.kind == "accept" else f"{_ENDS.get(fate.kind, 'not known')}: {fate.place or fate.detail}"
    if ended is None:
        return wanted, f"sent on, to {words.socket(last.after.dst, last.after.dport)}"
    return wanted, f"{ended.end.kind}: {ended.end.why}"


def _difference(fate: Fate, ended: Leg | None) -> str:
    """Return where the packet's end is another one than the rules'; what is lost behind them they do not tell."""
    seen = ended.end.kind if ended else "delivered"
    wanted = _ENDS.get(fate.kind, "unknown")
    if wanted in ("unknown", seen) or (wanted == "delivered" and seen in ("lost", "unknown")):
        return ""
    return f"expected {wanted}, it was {seen}"


def _tables(evidence: Evidence, netns: str, family: Family) -> tuple[Table, ...]:
    """Return the rules that a packet of `family` meets in a namespace, without those of ours."""
    held: dict[tuple[bool, str, str], Table] = {}
    listings = [one for one in evidence.listings if one.netns == netns]
    for listing in sorted(listings, key=lambda one: one.tool != "nft"):  # nft lists in part what iptables-nft made
        for table in _read(listing.text, netns):
            of = _FAMILIES[listing.family] if table.iptables else table.family
            if of in (_FAMILIES[family], "inet") and table.name != OWN_TABLE:
                name = f"{whose(listing.tool, evidence.tool)}{table.name}"
                held[listing.tool == "iptables-legacy", of, table.name] = replace(table, family=of, name=name)
    return tuple(held.values())


def _read(text: str, netns: str) -> tuple[Table, ...]:
    try:
        return saved_rules.read(text, f"rules of {netns}")[0]
    except LabError:  # there is no table
        return ()


def _vantage(evidence: Evidence, name: str, netns: str) -> Vantage:
    """Return what is known of a node: that its bridge's ports are seen is br_netfilter's doing."""
    links = [link for link in evidence.links if link.netns == netns]
    own = frozenset(address for link in links for address in link.addresses if not address.is_loopback)
    sysctls = evidence.sysctls.get(netns, {})
    called = any(sysctls.get(_BRIDGED.format(tool)) == "1" for tool in ("iptables", "ip6tables"))
    bridge = next((link.name for link in links if link.kind == "bridge"), "")
    return Vantage(name=name, addresses=own, pod_interface=bridge, pod_is_bridged=called if sysctls else None)


def _unlisted(done: Compared, evidence: Evidence) -> Iterator[str]:
    """Yield of which nodes it is not known what their silent tables would have done."""
    whole = {evidence.places.get(netns, netns) for netns in evidence.whole}
    for visit in done.visits:
        if visit.node not in whole:
            yield f"{visit.node}: of its tables those alone are known in which a rule or policy was seen"


def _gaps(evidence: Evidence) -> Iterator[str]:
    """Yield what makes the observed side less than sure."""
    for netns, number in evidence.lost.items():
        if number:
            yield f"{evidence.places.get(netns, netns)}: the kernel had no room for {number} of its reports"
    if evidence.left_out:
        yield f"{words.count(evidence.left_out, 'report')} of the kernel's were not kept: there were too many"
    for netns in sorted(evidence.unheard):
        yield f"{evidence.places.get(netns, netns)}: {UNHEARD}"
    for netns in sorted({listing.netns for listing in evidence.listings if not listing.steady}):
        yield f"{evidence.places.get(netns, netns)}: its rules changed while this was traced"
