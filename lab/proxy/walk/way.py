"""A packet from hook to hook: in, routed, out, or from the node itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.model.journey import Explanation, Fate, Journey, Packet, Step, Vantage
from lab.model.netfilter import Hook, Table
from lab.proxy.walk.ask import Origin, Place
from lab.proxy.walk.hook import State, Trail, through

_FIRST = "this is a connection's first packet: the nat rules see no other, conntrack treats the rest alike"


def origin(packet: Packet, vantage: Vantage) -> Origin:
    """Return where a packet comes from: the node itself, a pod on it, or elsewhere."""
    if vantage.is_local(packet.source):
        return "node"
    return "pod" if vantage.is_pod(packet.source) else "outside"


def explain(tables: Sequence[Table], packet: Packet, vantage: Vantage) -> Explanation:
    """Return all that may happen to `packet`, the first one of a connection, on its way through the node.

    Routes are not part of the rules: what is not the node's own address is sent on. Raises `LabError` for rules that
    no kernel would have taken (a chain that is not there, chains that lead in a circle).
    """
    way = _Way(tables, vantage, origin(packet, vantage))
    ends = list(way.walk(State(packet=packet)))
    return Explanation(
        packet=packet,
        vantage=vantage,
        journeys=tuple(_journey(end, vantage) for end in ends),
        notes=(*vantage.inferred, *way.notes, _FIRST),
    )


class _Way:
    """The rules and the node, and what was assumed so far."""

    def __init__(self, tables: Sequence[Table], vantage: Vantage, began: Origin) -> None:
        self.tables, self.vantage, self.began = tables, vantage, began
        self.notes: dict[str, None] = {}

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
        place = Place(hook=hook, origin=self.began, vantage=self.vantage, looped=looped, notes=self.notes)
        return through(self.tables, state, place, nat=not looped)

    def _routed(self, state: State) -> State:
        packet = state.packet
        if packet.destination.is_loopback and self.began != "node":
            self.notes["it reaches 127.0.0.0/8 from elsewhere only if route_localnet is 1 on its interface"] = None
        if packet.source.is_loopback and not packet.destination.is_loopback:
            self.notes["its source is a loopback address: it leaves only if route_localnet is 1"] = None
        why = _whither(packet, self.vantage, self.began)
        return state.step(Step(hook="ROUTING", why=why, before=packet, after=packet))


def _whither(packet: Packet, vantage: Vantage, began: Origin) -> str:
    if vantage.is_local(packet.destination):
        return f"{packet.destination} is an address of {vantage.name}: it stays here"
    verb = "leaves" if began == "node" else "is sent on"
    where = "to a pod here" if vantage.is_pod(packet.destination) else "to another machine"
    where = where if vantage.pods else "(where to, the rules do not say)"
    return f"{packet.destination} is no address of {vantage.name}: it {verb} {where}"


def _journey(state: State, vantage: Vantage) -> Journey:
    packet = state.packet
    return Journey(
        share=state.share,
        steps=tuple(_steps(state.trail)),
        fate=Fate(
            kind=state.end or "accept",
            destination=packet.destination,
            port=packet.destination_port,
            dnat=packet.dnat,
            masquerade=state.masquerade,
            local=vantage.is_local(packet.destination),
            place=state.decided,
            detail=state.detail,
        ),
    )


def _steps(trail: Trail) -> list[Step]:
    found = []
    while trail is not None:
        trail, step = trail
        found.append(step)
    return found[::-1]
