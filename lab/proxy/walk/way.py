"""A packet from hook to hook: in, routed, out, or from the node itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.model.netfilter import Hook, Table
from lab.model.walk import Explanation, Fate, Packet, Step, Vantage, Way
from lab.proxy.walk.ask import Origin, Place
from lab.proxy.walk.doubt import Ledger
from lab.proxy.walk.hook import State, merged, steps, through

_FIRST = (
    "this is a connection's first packet (state NEW): its later ones and the answers do not meet the nat rules, "
    "conntrack treats them as this one; routes, rp_filter and whether anything listens are not looked at"
)
_TELL = {
    "in-interface": "the rules ask by which interface it comes in: --interface would tell",
    "out-interface": "the rules ask by which interface it leaves: --out-interface would tell",
    "source port": "the rules ask for the source port: --from ADDRESS:PORT would tell",
}


def origin(packet: Packet, vantage: Vantage) -> Origin:
    """Return where a packet comes from: the node itself, a pod on it, or elsewhere."""
    if vantage.is_local(packet.source):
        return "node"
    return "pod" if vantage.is_pod(packet.source) else "outside"


def explain(tables: Sequence[Table], packet: Packet, vantage: Vantage, *, every: bool = False) -> Explanation:
    """Return all that may happen to `packet`, the first one of a connection, on its way through the node.

    `every`: nothing is assumed of earlier connections, which rules may remember, and ways to the same end stay apart:
    one of them is the way that a packet was seen to take.

    Routes are not part of the rules: what is not the node's own address is sent on. Raises `LabError` for rules that
    no kernel would have taken (a chain that is not there, chains that lead in a circle).
    """
    way = _Way(tables, vantage, origin(packet, vantage), Ledger(every=every))
    ends = merged(list(way.walk(State(packet=packet))), way.ledger, final=True)
    return Explanation(
        packet=packet,
        vantage=vantage,
        ways=tuple(_way(end, vantage) for end in ends),
        notes=(*vantage.inferred, *way.ledger.notes, *_what_would_tell(ends), _FIRST),
    )


def _what_would_tell(ends: Sequence[State]) -> Iterator[str]:
    asked = {one.field for end in ends for one in end.packet.assumed}
    for name, sentence in _TELL.items():
        if any(field.startswith(name) for field in asked):
            yield sentence


class _Way:
    """The rules and the node, and what was assumed so far."""

    def __init__(self, tables: Sequence[Table], vantage: Vantage, began: Origin, ledger: Ledger) -> None:
        self.tables, self.vantage, self.began, self.ledger = tables, vantage, began, ledger

    def walk(self, state: State) -> Iterator[State]:
        """Yield the states at the end of every way."""
        if self.began == "node":
            for one in self._at("OUTPUT", state):
                if one.end:
                    yield one
                elif self.vantage.is_local(one.packet.destination):
                    yield from self._loop(self._routed(one))
                else:
                    yield from self._at("POSTROUTING", self._routed(one))
            return
        for one in self._at("PREROUTING", state):
            if one.end:
                yield one
            elif self.vantage.is_local(one.packet.destination):
                yield from self._at("INPUT", self._routed(one))
            else:
                yield from self._forward(self._routed(one))

    def _forward(self, state: State) -> Iterator[State]:
        for one in self._at("FORWARD", state):
            if one.end:
                yield one
            else:
                yield from self._at("POSTROUTING", one)

    def _loop(self, state: State) -> Iterator[State]:
        """What the node says to itself leaves by lo and comes back; its translations are made by then."""
        for out in self._at("POSTROUTING", state):
            for back in [out] if out.end else self._at("PREROUTING", out, looped=True):
                yield from [back] if back.end else self._at("INPUT", back, looped=True)

    def _at(self, hook: Hook, state: State, *, looped: bool = False) -> list[State]:
        place = Place(hook=hook, origin=self.began, vantage=self.vantage, looped=looped, ledger=self.ledger)
        return through(self.tables, state, place, nat=not looped)

    def _routed(self, state: State) -> State:
        packet = state.packet
        notes = self.ledger.notes
        if packet.destination.is_loopback and self.began != "node":
            notes["it reaches 127.0.0.0/8 from elsewhere only if route_localnet is 1 on its interface"] = None
        if packet.source.is_loopback and not packet.destination.is_loopback:
            notes["its source is a loopback address: it leaves only if route_localnet is 1"] = None
        why = _whither(packet, self.vantage, self.began)
        return state.step(Step(hook="ROUTING", why=why, before=packet, after=packet))


def _whither(packet: Packet, vantage: Vantage, began: Origin) -> str:
    if vantage.is_local(packet.destination):
        return f"{packet.destination} is an address of {vantage.name}: it stays here"
    verb = "leaves" if began == "node" else "is sent on"
    where = "to a pod here" if vantage.is_pod(packet.destination) else "to another machine"
    where = where if vantage.pods else "(where to, the rules do not say)"
    return f"{packet.destination} is no address of {vantage.name}: it {verb} {where}"


def _way(state: State, vantage: Vantage) -> Way:
    packet = state.packet
    return Way(
        share=state.share,
        steps=tuple(steps(state.trail))[::-1],
        assumed=packet.assumed,
        fate=Fate(
            kind=state.end or "accept",
            destination=packet.destination,
            port=packet.destination_port,
            dnat=packet.dnat,
            masquerade=state.masquerade,
            source=packet.new_source,
            local=vantage.is_local(packet.destination),
            place=state.decided,
            detail=state.detail,
        ),
    )
