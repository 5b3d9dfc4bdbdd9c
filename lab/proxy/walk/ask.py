"""Whether a statement holds for a packet at a place, and why, in words. None: it cannot be known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from lab.model.address import IPAddress
from lab.model.journey import Packet, Vantage
from lab.model.netfilter import Container, Field, Hook, Lookup, Masked, Match, Range, Remembered, Span, Value, Verdict

Origin = Literal["node", "pod", "outside"]
Known = Value | frozenset[str] | None

_CONNTRACK = -200  # NF_IP_PRI_CONNTRACK: before it no packet has a state
_INTERFACES = {"in-interface": "comes in by", "out-interface": "leaves by"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a rule is asked: `origin` is where the packet began, `looped` that it came back by the interface lo.

    `containers` are the table's. `notes` collects what an answer assumed.
    """

    hook: Hook
    origin: Origin
    vantage: Vantage
    priority: int = 0
    looped: bool = False
    containers: dict[str, Container] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a statement holds (None: not known), and why; `verdict` is what a map says."""

    holds: bool | None
    why: str
    verdict: Verdict | None = None


def compare(one: Match, packet: Packet, place: Place) -> Answer:
    """Return whether a test holds."""
    value = value_of(one.field, packet, place)
    among = " or ".join(map(str, one.among))
    if value is None:
        if one.among == ("*",):
            return Answer(not one.negated, "")
        if one.field == "out-interface" and one.among == ("lo",):  # the one name that is certain
            return Answer(one.negated, "it does not leave by lo")
        return Answer(None, f"the {one.field} is not known (`{one.text}`)")
    found = any(_within(value, span) for span in one.among)
    holds = found is not one.negated
    if one.field in _INTERFACES and "lo" not in (value, *one.among):
        place.notes[f"it {_INTERFACES[one.field]} {value}: interfaces are not in the rules"] = None
    return Answer(holds, _words(one, value, among, found=found))


def _words(one: Match, value: Known, among: str, *, found: bool) -> str:
    if one.field in _SAID:
        return _SAID[one.field](one, value, "" if found else "not ")
    shown = str(value)
    if found and shown == among.removesuffix("/32").removesuffix("/128"):
        return f"the {one.field} is {shown}"
    return f"the {one.field} {shown} is {'' if found else 'not '}{'in ' if '/' in among else ''}{among}"


def _about_mark(one: Match, value: Known, no: str) -> str:
    bits = one.among[0]
    shown = f"{value:#x}" if isinstance(value, int) else str(value)
    if isinstance(bits, Masked) and bits.value in (0, bits.mask):  # all of these bits are wanted, or none
        there = (not no) is (bits.value != 0)
        return f"the mark {shown} {'has' if there else 'has not'} {bits.mask:#x}"
    return f"the mark {shown} is {no}{' or '.join(map(str, one.among))}"


def _about_state(one: Match, value: Known, no: str) -> str:
    return f"the connection is {_shown(value)}" + (f", not {' or '.join(map(str, one.among))}" if no else "")


_SAID: dict[Field, Callable[[Match, Known, str], str]] = {
    "mark": _about_mark,
    "ct state": _about_state,
    "ct status": lambda _, __, no: f"the destination was {no}translated",
    "family": lambda _, value, no: f"it is {value}" if no else "",
    "source type": lambda _, __, no: f"the source is {no}an address of this node",
    "destination type": lambda _, __, no: f"the destination is {no}an address of this node",
    "bridge port": lambda _, __, no: f"it came in {no}by a port of a bridge",
}


def _shown(value: Known) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value, reverse=True)) or "untouched"
    return str(value)


def _within(value: Known, span: Span) -> bool:
    if isinstance(value, frozenset):
        return span in value
    if isinstance(span, str):
        return isinstance(value, str) and (value == span or (span.endswith("*") and value.startswith(span[:-1])))
    if isinstance(span, Masked):
        return isinstance(value, int) and value & span.mask == span.value
    if isinstance(span, Range):
        return type(value) is type(span.first) and span.first <= value <= span.last  # type: ignore[operator]
    return not isinstance(value, (str, int)) and value is not None and value in span


def value_of(name: Field, packet: Packet, place: Place) -> Known:
    """Return what the packet has in a field at a place, None if it cannot be known."""
    return _VALUES[name](packet, place)


def _state(packet: Packet, place: Place, *, status: bool) -> frozenset[str] | None:
    """Return the words of conntrack for a first packet; it is new at every hook, until an answer comes back."""
    if place.priority < _CONNTRACK:
        return None
    translated = {word for word, done in (("dnat", packet.dnat), ("snat", packet.masqueraded)) if done}
    return frozenset(translated if status else translated | {"new"})


def _type(address: IPAddress, place: Place) -> str:
    return "local" if place.vantage.is_local(address) else "unicast"


def _came_in(place: Place) -> str | None:
    if place.looped:
        return "lo"
    if place.origin == "node":
        return ""
    vantage = place.vantage
    return (vantage.pod_interface if place.origin == "pod" else vantage.outside_interface) or None


def _leaves(packet: Packet, place: Place) -> str | None:
    vantage = place.vantage
    if place.hook in ("PREROUTING", "INPUT"):
        return ""
    if vantage.is_local(packet.destination):
        return "lo"
    return (vantage.pod_interface if vantage.is_pod(packet.destination) else vantage.outside_interface) or None


def _bridged(place: Place) -> str | None:
    if place.origin != "pod":
        return "no"
    bridged = place.vantage.pod_is_bridged
    return None if bridged is None else "yes" if bridged else "no"


_VALUES: dict[Field, Callable[[Packet, Place], Known]] = {
    "source": lambda packet, _: packet.source,
    "destination": lambda packet, _: packet.destination,
    "source port": lambda packet, _: packet.source_port or None,
    "destination port": lambda packet, _: packet.destination_port,
    "protocol": lambda packet, _: packet.protocol,
    "family": lambda packet, _: packet.family,
    "mark": lambda packet, _: packet.mark,
    "ct state": lambda packet, place: _state(packet, place, status=False),
    "ct status": lambda packet, place: _state(packet, place, status=True),
    "source type": lambda packet, place: _type(packet.source, place),
    "destination type": lambda packet, place: _type(packet.destination, place),
    "in-interface": lambda _, place: _came_in(place),
    "out-interface": _leaves,
    "bridge port": lambda _, place: _bridged(place),
}


def lookup(one: Lookup, packet: Packet, place: Place) -> Answer:
    """Return whether a set has the packet's values, or what a map says about them."""
    found = one.container if isinstance(one.container, Container) else place.containers.get(one.container)
    if found is None:
        return Answer(None, f"the elements of {one.container} are not known")
    values = tuple(value_of(name, packet, place) for name in one.fields)
    title = f"@{found.name}" if found.name else "them"
    shown = " . ".join(map(_shown, values))
    if any(value is None for value in values):
        return Answer(None, f"{' . '.join(one.fields)} is not known")
    has, verdict = _element(found, values)
    if found.remembers and not has:
        place.notes[f"the set {found.name} is assumed to be empty: no connection before this one"] = None
        shown += " (assumed)"
    if one.verdict:
        return Answer(has, f"{title} has {shown}" if has else f"{title} has no {shown}", verdict)
    return Answer(has is not one.negated, f"{shown} is {'' if has else 'not '}in {title}")


def _element(container: Container, values: tuple[Known, ...]) -> tuple[bool, Verdict | None]:
    exact = cast("Mapping[tuple[Known, ...], Verdict | None]", container.exact)
    if values in exact:
        return True, exact[values]
    for spans, verdict in container.wide:
        if all(_same(value, span) for value, span in zip(values, spans, strict=False)):
            return True, verdict
    return False, None


def _same(value: Known, span: Span) -> bool:
    return value == span or _within(value, span)


def remembered(one: Remembered, place: Place) -> Answer:
    """Return whether a recent packet left its mark: there was none, as far as is known."""
    place.notes[f"the list {one.name} is assumed to be empty: no connection before this one"] = None
    return Answer(one.negated, f"the source is not in the list {one.name} (assumed)")
