"""Whether a statement holds for a packet at a place, and why, in words. None: it cannot be known.

What is not known is a `Doubt`: a question that has two answers, and a way for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, cast

from lab.model.address import IPAddress
from lab.model.netfilter import (
    Container,
    Field,
    Hook,
    Lookup,
    Masked,
    Match,
    Range,
    Remembered,
    Span,
    Value,
    Verdict,
)
from lab.model.walk import Assumption, Packet, Vantage
from lab.proxy.walk.doubt import Answer, Doubt, Ledger, doubted, whether

Origin = Literal["node", "pod", "outside"]
Known = Value | frozenset[str] | None

_CONNTRACK = -200  # NF_IP_PRI_CONNTRACK: before it no packet has a state
_INTERFACES = {"in-interface": "comes in by", "out-interface": "leaves by"}
_SYN = 0x02
_BROADCAST = 0xFFFF_FFFF


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a rule is asked: `origin` is where the packet began, `looped` that it came back by the interface lo.

    `containers` are the table's.
    """

    hook: Hook
    origin: Origin
    vantage: Vantage
    priority: int = 0
    looped: bool = False
    containers: dict[str, Container] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    def note(self, sentence: str) -> None:
        """Keep a sentence about what is assumed."""
        self.ledger.notes[sentence] = None


def compare(one: Match, packet: Packet, place: Place) -> Answer:
    """Return whether a test holds."""
    value = value_of(one.field, packet, place)
    among = " or ".join(map(str, one.among))
    if value is None:
        return _not_known(one, packet, place, among)
    found = any(_within(value, span) for span in one.among)
    holds = found is not one.negated
    if one.field in _INTERFACES and "lo" not in (value, *one.among) and value in _taken_for_granted(place):
        option = "--interface" if one.field == "in-interface" else "--out-interface"
        place.note(f"it {_INTERFACES[one.field]} {value}, as far as one can tell from here ({option} says another)")
    if value == "unicast" and one.among != ("local",):
        place.note(f"{among} is asked for: what is no address of the node counts as another machine's (unicast)")
    return Answer(holds, _words(one, value, among, found=found))


def _not_known(one: Match, packet: Packet, place: Place, among: str) -> Answer:
    if one.among == ("*",):
        return Answer(not one.negated, "")
    if one.field in _INTERFACES and one.among == ("lo",):  # the one name that is certain
        return Answer(one.negated, f"it does not {'leave' if one.field == 'out-interface' else 'come in'} by lo")
    verb = _INTERFACES.get(one.field)
    said = f"it {verb} {among}" if verb else f"the {one.field} is {among}"
    refuted = f"it {verb} another one than {among}" if verb else f"the {one.field} is not {among}"
    if one.field == "bridge port":
        said, refuted = "it came in by a port of a bridge (br_netfilter is on)", "it came in by no port of a bridge"
    subject = f"{_scope(one.field, packet, place)} {among}"
    name = among if one.field in _INTERFACES and len(one.among) == 1 and "*" not in among else ""
    scope = _scope(one.field, packet, place)
    doubt = Doubt(
        yes=Assumption(said, holds=True, subject=subject, field=scope, value=name),
        no=Assumption(refuted, holds=False, subject=subject, field=scope),
        wanted=not one.negated,
    )
    return doubted(doubt, packet, f"the {one.field} is not known (`{one.text}`)")


def _scope(name: Field, packet: Packet, place: Place) -> str:
    """Return what names a field for as long as it stays the same: a translated packet may leave by another way."""
    if name == "out-interface":
        return f"{name} {packet.destination}"
    return f"{name} {place.hook}" if name == "ct state" else name


def _words(one: Match, value: Known, among: str, *, found: bool) -> str:
    if one.field in _SAID:
        return _SAID[one.field](one, value, "" if found else "not ")
    shown = str(value)
    if found and shown == among.removesuffix("/32").removesuffix("/128"):
        return f"the {one.field} is {shown}"
    several = "among " if " or " in among or "-" in among else "in " if "/" in among else ""
    return f"the {one.field} {shown} is {'' if found else 'not '}{several}{among.replace(' or ', ', ')}"


def _about_mark(one: Match, value: Known, no: str) -> str:
    bits = one.among[0]
    shown = f"{value:#x}" if isinstance(value, int) else str(value)
    if isinstance(bits, Masked) and bits.value in (0, bits.mask):  # all of these bits are wanted, or none
        there = (not no) is (bits.value != 0)
        return f"the mark {shown} {'has' if there else 'has not'} {bits.mask:#x}"
    return f"the mark {shown} is {no}{' or '.join(map(str, one.among))}"


def _about_state(one: Match, value: Known, no: str) -> str:
    return f"the connection is {_shown(value)}" + (f", not {' or '.join(map(str, one.among))}" if no else "")


_KINDS: dict[tuple[Span, ...], str] = {("local",): "an address of this node"}
_SAID: dict[Field, Callable[[Match, Known, str], str]] = {
    "mark": _about_mark,
    "ct state": _about_state,
    "ct status": lambda _, __, no: f"the destination was {no}translated",
    "family": lambda _, value, no: f"it is {value}" if no else "",
    "source type": lambda one, _, no: f"the source is {no}{_KINDS.get(one.among, one.among[0])}",
    "destination type": lambda one, _, no: f"the destination is {no}{_KINDS.get(one.among, one.among[0])}",
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
        return type(value) is type(span.first) and span.first <= value <= span.last  # type: ignore[operator] # all one type
    return not isinstance(value, (str, int)) and value is not None and value in span


def value_of(name: Field, packet: Packet, place: Place) -> Known:
    """Return what the packet has in a field at a place, None if it cannot be known."""
    value = _VALUES[name](packet, place)
    if value is None and packet.assumed:
        scope = _scope(name, packet, place)
        return next((one.value for one in packet.assumed if one.value and one.field == scope), None)
    return value


def _state(packet: Packet, place: Place, *, status: bool) -> frozenset[str] | None:
    """Return the words of conntrack for a first packet; it is new at every hook, until an answer comes back."""
    if place.priority < _CONNTRACK:
        return None
    translated = {word for word, done in (("dnat", packet.dnat), ("snat", packet.masqueraded)) if done}
    return frozenset(translated if status else translated | {"new"})


def _type(address: IPAddress, place: Place) -> str:
    if place.vantage.is_local(address):
        return "local"
    if address.version == 4 and int(address) == _BROADCAST:  # noqa: PLR2004 - IPv4
        return "broadcast"
    return "multicast" if address.is_multicast else "unicast"


def _came_in(place: Place) -> str | None:
    if place.looped:
        return "lo"
    if place.origin == "node":
        return ""
    vantage = place.vantage
    usual = vantage.pod_interface if place.origin == "pod" else vantage.outside_interface
    return vantage.in_interface or usual or None


def _leaves(packet: Packet, place: Place) -> str | None:
    vantage = place.vantage
    if place.hook in ("PREROUTING", "INPUT"):
        return ""
    if vantage.is_local(packet.destination):
        return "lo"
    usual = vantage.pod_interface if vantage.is_pod(packet.destination) else vantage.outside_interface
    return vantage.out_interface or usual or None


def _taken_for_granted(place: Place) -> tuple[str, ...]:
    vantage = place.vantage
    said = (vantage.in_interface, vantage.out_interface)
    return tuple(one for one in (vantage.pod_interface, vantage.outside_interface) if one and one not in said)


def _bridged(place: Place) -> str | None:
    if place.origin == "node" or (place.origin == "outside" and place.vantage.pods):
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
    "ct mark": lambda packet, _: packet.ct_mark,
    "tcp flags": lambda packet, _: _SYN if packet.protocol == "tcp" else None,
    "ct state": lambda packet, place: _state(packet, place, status=False),
    "ct status": lambda packet, place: _state(packet, place, status=True),
    "source type": lambda packet, place: _type(packet.source, place),
    "destination type": lambda packet, place: _type(packet.destination, place),
    "in-interface": lambda _, place: _came_in(place),
    "out-interface": _leaves,
    "bridge port": lambda _, place: _bridged(place),
}


def lookup(one: Lookup, packet: Packet, place: Place) -> Answer:
    """Return whether a set has the packet's values, or what a map says about them.

    What a map would say about values that are not known is more than yes or no: it is no `Doubt`.
    """
    found = one.container if isinstance(one.container, Container) else place.containers.get(one.container)
    if found is None:
        return _open(one, packet, f"the elements of {one.container} are not known")
    values = tuple(value_of(name, packet, place) for name in one.fields)
    if found.remembers and place.ledger.every:
        return _open(one, packet, f"what {found.name} remembers is not known")
    title = f"@{found.name}" if found.name else "them"
    shown = " . ".join(map(_shown, values))
    if any(value is None for value in values):
        return _open(one, packet, f"{' . '.join(one.fields)} is not known (`{one.text}`)")
    has, verdict = _element(found, values)
    if found.remembers and not has:
        place.note(f"the set {found.name} is assumed to be empty: no connection before this one")
        shown += " (assumed)"
    if one.verdict:
        return Answer(has, f"{title} has {shown}" if has else f"{title} has no {shown}", verdict)
    return Answer(has is not one.negated, f"{shown} is {'' if has else 'not '}in {title}")


def _open(one: Lookup, packet: Packet, why: str) -> Answer:
    if one.verdict:
        return Answer(None, why)
    subject = f"{one.text} {packet.source} {packet.destination}:{packet.destination_port}"
    return doubted(whether(one.text, subject), packet, why)


def _element(container: Container, values: tuple[Known, ...]) -> tuple[bool, Verdict | None]:
    exact = cast("Mapping[tuple[Known, ...], Verdict | None]", container.exact)
    for key in product(*(value if isinstance(value, frozenset) else (value,) for value in values)):
        if key in exact:
            return True, exact[key]
    for spans, verdict in container.wide:
        if all(_same(value, span) for value, span in zip(values, spans, strict=False)):
            return True, verdict
    return False, None


def _same(value: Known, span: Span) -> bool:
    return value == span or _within(value, span)


def remembered(one: Remembered, packet: Packet, place: Place) -> Answer:
    """Return whether a recent packet left its mark: there was none, as far as is known."""
    if place.ledger.every:
        doubt = whether(one.text, f"{one.text} {packet.source}")
        return doubted(doubt, packet, f"what {one.name} remembers is not known")
    place.note(f"the list {one.name} is assumed to be empty: no connection before this one")
    return Answer(one.negated, f"the source is not in the list {one.name} (assumed)")
