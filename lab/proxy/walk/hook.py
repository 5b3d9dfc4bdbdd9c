"""A packet through the chains of one hook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from lab.errors import LabError
from lab.model.netfilter import Chain, Hook, Masked, Match, Rule, Table
from lab.model.walk import Packet, Step
from lab.proxy.walk.ask import Place
from lab.proxy.walk.doubt import Ledger
from lab.proxy.walk.rule import Branch, branches

_MOST = 64  # chains that lead into one another; kube-proxy needs five, and the kernel allows nft sixteen
_FAMILIES = {4: ("ip", "inet", ""), 6: ("ip6", "inet", "")}

End = Literal["", "drop", "reject", "unknown"]
Trail = tuple["Trail", Step] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A packet on its way, with the share of all packets that it stands for and the steps behind it.

    `markers`: bits of its mark, and which rule set them; `masquerade`: why it is masqueraded. `end`: what ended its way
    ("" nothing).
    """

    packet: Packet
    share: Fraction = Fraction(1)
    trail: Trail = None
    markers: tuple[tuple[int, str], ...] = ()
    masquerade: str = ""
    end: End = ""
    decided: str = ""
    detail: str = ""

    def step(self, step: Step, share: Fraction = Fraction(1)) -> State:
        """Return the state behind one more step."""
        return replace(self, packet=step.after, trail=(self.trail, step), share=self.share * share)


@dataclass(frozen=True, slots=True)
class _Frame:
    """A chain, the next rule in it, the rule that led here, and how many chains led to it."""

    chain: Chain
    at: int = 0
    caller: tuple[Chain, Rule] | None = None
    depth: int = 0


def through(tables: Iterable[Table], state: State, place: Place, *, nat: bool = True) -> list[State]:
    """Return every state behind the hook of `place`, those whose way ended there too.

    `nat`: whether nat rules are asked: once a hook has translated a connection, no other rule does it again.
    """
    states = [state]
    for table, chain in base_chains(tables, place.hook, state.packet):
        here = replace(place, priority=chain.priority, containers=dict(table.containers))
        after = []
        for one in states:
            if one.end or (chain.nat and (not nat or _translated(one, place.hook))):
                after.append(one)
            else:
                after += _walk(table, chain, one, here)
        states = merged(after, place.ledger)
    return states


def merged(states: list[State], ledger: Ledger, *, final: bool = False) -> list[State]:
    """Return the states without those questions whose answers made no difference: two states become one.

    `final`: nothing follows, and marks do not matter any more.
    """
    if ledger.every or not any(state.packet.assumed for state in states):
        return states
    found = list(states)
    at = 0
    while at < len(found):
        twin = next((other for other in range(at) if _indifferent(found[other], found[at], final=final)), None)
        if twin is None:
            at += 1
            continue
        found[twin] = _forgetful(found[twin], found.pop(at), ledger)
        at = twin  # what became one may have a twin itself
    return found


def _indifferent(one: State, other: State, *, final: bool) -> bool:
    """Return whether two states differ in one answer alone."""
    mine, its = one.packet.assumed, other.packet.assumed
    if len(mine) != len(its) or not mine or one.share != other.share or one.end != other.end:
        return False
    apart = [pair for pair in zip(mine, its, strict=True) if pair[0] != pair[1]]
    if len(apart) != 1 or apart[0][0].subject != apart[0][1].subject:
        return False
    return _core(one, final=final) == _core(other, final=final)


def _core(state: State, *, final: bool) -> State:
    packet = replace(state.packet, assumed=())
    if final:
        packet = replace(packet, mark=0, ct_mark=0, service="")
    return replace(state, trail=None, markers=() if final else state.markers, packet=packet)


def _forgetful(one: State, other: State, ledger: Ledger) -> State:
    """Return the state of the shorter way without the assumption that the other one has turned round."""
    pairs = [*zip(one.packet.assumed, other.packet.assumed, strict=True)]
    kept = tuple(mine for mine, its in pairs if mine == its)
    for question in (mine if mine.holds else its for mine, its in pairs if mine != its):
        ledger.notes[f"nobody knows whether {question.text}, and it makes no difference"] = None
    short = min(one, other, key=lambda state: len(list(steps(state.trail))))
    return replace(short, packet=replace(short.packet, assumed=kept))


def steps(trail: Trail) -> Iterator[Step]:
    """Yield the steps of a trail, the last one first."""
    while trail is not None:
        trail, step = trail
        yield step


def base_chains(tables: Iterable[Table], hook: Hook, packet: Packet) -> list[tuple[Table, Chain]]:
    """Return the chains that the kernel calls at a hook for a packet's family, in its order."""
    families = _FAMILIES[packet.destination.version]
    found = [
        (table, chain)
        for table in tables
        if table.family in families
        for chain in table.chains.values()
        if chain.hook == hook
    ]
    return sorted(found, key=lambda one: one[1].priority)


def _translated(state: State, hook: Hook) -> bool:
    return state.packet.dnat if hook in ("PREROUTING", "OUTPUT") else state.packet.masqueraded


def _walk(table: Table, base: Chain, state: State, place: Place) -> Iterator[State]:
    todo: list[tuple[State, tuple[_Frame, ...]]] = [(state, (_Frame(base),))]
    while todo:
        one, frames = todo.pop()
        while frames and frames[-1].at >= len(frames[-1].chain.rules):
            frames = frames[:-1]
        if not frames:
            yield _policy(table, base, one, place)
            continue
        frame = frames[-1]
        rule = frame.chain.rules[frame.at]
        frames = (*frames[:-1], _Frame(frame.chain, frame.at + 1, frame.caller, frame.depth))
        forks = []
        for branch in branches(rule, one.packet, place):
            after = _stepped(one, branch, rule, frame, table, place)
            if after.end or branch.verdict.kind == "accept":
                yield after
            else:
                forks.append((after, _moved(frames, branch, rule, table)))
        todo += reversed(forks)  # the first one is followed first


def _policy(table: Table, base: Chain, state: State, place: Place) -> State:
    packet = state.packet
    if not base.rules and base.policy == "accept":
        return state
    step = Step(
        hook=place.hook,
        table=title(table),
        chain=base.name,
        verdict=base.policy,
        why=f"no rule decided: policy {base.policy}",
        before=packet,
        after=packet,
    )
    after = state.step(step)
    return replace(after, end="drop", decided=f"the policy of {base.name}") if base.policy == "drop" else after


def title(table: Table) -> str:
    """Return what steps call a table: `nat`, `ip kube-proxy`."""
    return table.name if table.iptables else f"{table.family} {table.name}"


def _stepped(state: State, branch: Branch, rule: Rule, frame: _Frame, table: Table, place: Place) -> State:
    step = Step(
        hook=place.hook,
        table=title(table),
        chain=frame.chain.name,
        rule=rule,
        number=frame.at + 1,
        matched=branch.matched,
        verdict=_verdict(branch),
        why=branch.why,
        before=state.packet,
        after=branch.packet,
    )
    after = state.step(step, branch.share)
    chain, shown = frame.chain, rule
    if frame.caller and not rule.comment:
        chain, shown = frame.caller  # of KUBE-MARK-MASQ one wants to know who sent the packet there
    named = f"{chain.name} ({shown.comment or shown.text})"
    if bits := branch.packet.mark & ~state.packet.mark:
        after = replace(after, markers=((bits, named), *state.markers))
    if branch.packet.masqueraded and not state.packet.masqueraded:
        after = replace(after, masquerade=_reason(state, rule, frame))
    end: End = "drop" if branch.verdict.kind == "drop" else branch.end or ""
    if end:
        decided = f"{frame.chain.name} ({rule.comment})" if rule.comment else frame.chain.name
        after = replace(after, end=end, decided=f"{decided}, {rule.place}", detail=branch.why)
    return after


def _verdict(branch: Branch) -> str:
    if not branch.matched or branch.end == "unknown":
        return ""
    return branch.end or f"{branch.verdict.kind} {branch.verdict.target}".rstrip()


def _reason(state: State, rule: Rule, frame: _Frame) -> str:
    """Say why a packet is masqueraded: who set the mark that the masquerading chain reads, or that it goes back."""
    packet = state.packet
    back = packet.source == packet.destination
    reader = frame.chain.name
    asked = [*frame.chain.rules[: frame.at], rule, *([frame.caller[1]] if frame.caller else [])]
    read = [bits for one in asked for bits in _mark_bits(one)]
    marker = next((name for bits, name in state.markers if any(bits & mask for mask in read)), "")
    said = f"the mark set by {marker} is read by {reader}" if marker else f"{reader} ({rule.comment or rule.text})"
    return f"hairpin, it goes back to its sender: {said}" if back else said


def _mark_bits(rule: Rule) -> Iterator[int]:
    """Yield the bits of the mark that a rule asks for."""
    for one in rule.statements:
        if isinstance(one, Match) and one.field == "mark":
            yield from (span.mask for span in one.among if isinstance(span, Masked))


def _moved(frames: tuple[_Frame, ...], branch: Branch, rule: Rule, table: Table) -> tuple[_Frame, ...]:
    """Return where the packet goes on: in a chain that the rule leads to, behind the caller, or at the next rule."""
    verdict = branch.verdict
    if verdict.kind == "return":
        return frames[:-1]
    if verdict.kind not in ("jump", "goto"):
        return frames
    chain = table.chains.get(verdict.target)
    if chain is None:
        raise LabError(f"{rule.place}: the rule leads to the chain {verdict.target}, which is not in the table")
    here = frames[-1]
    if here.depth > _MOST:
        raise LabError(f"{rule.place}: the chains lead in a circle, by way of {here.chain.name} and {chain.name}")
    kept = frames if verdict.kind == "jump" else frames[:-1]
    return (*kept, _Frame(chain, 0, (here.chain, rule), here.depth + 1))
