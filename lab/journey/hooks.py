"""A pass through a hook -> steps: the rules that matched, what each did to addresses and mark, how chains ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lab import words
from lab.journey import deeds
from lab.journey.rules import Found, service_of, tool_of
from lab.journey.sight import first_tuple, is_own, tuple_of
from lab.journey.translation import renewed, translated
from lab.model.flow import Tuple
from lab.model.journey import Moment, Step
from lab.proxy.names import service_of_comment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.journey.rules import Book
    from lab.journey.sight import Pass
    from lab.model.address import IPAddress
    from lab.model.flow import Flow
    from lab.model.trace import Event

_FATAL = {"drop", "reject"}

UNTRACKED = "no nat rule is asked"
"""What it means that conntrack leaves a packet alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What is around a pass: the place's name, the packet and mark as it came, how it looked `behind` the pass.

    `behind`: None if it was not seen any more. `flow`: the entry of conntrack that it belongs to, if that is known.
    """

    node: str
    packet: Tuple
    mark: int | None
    behind: Tuple | None
    flow: Flow | None
    names: Mapping[IPAddress, str]
    protocol: str


@dataclass(slots=True)
class _Walk:
    """The way through a hook so far: the packet and its mark, and for each chain its Service and its last rule."""

    book: Book
    at: Pass
    setting: Setting
    packet: Tuple
    mark: int | None
    steps: list[Step] = field(default_factory=list)
    services: dict[str, str] = field(default_factory=dict)
    numbers: dict[tuple[bool, str, str], int] = field(default_factory=dict)
    depths: list[int] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)

    def base(self, chain: str) -> str:
        """Return the base chain that a packet came to a chain from."""
        return self.stack[0] if chain in self.stack else chain

    def add(self, step: Step, chain: str = "") -> None:
        """Tell a step, of a chain that may be inside of others."""
        if chain in self.stack:
            del self.stack[self.stack.index(chain) + 1 :]
        elif chain:
            self.stack = [chain]
        self.steps.append(step)
        self.depths.append(len(self.stack))
        if target := deeds.target_of(step.verdict):
            self.stack.append(target)
        self.packet, self.mark = step.after, step.mark_after


def steps(at: Pass, book: Book, setting: Setting) -> tuple[Step, ...]:
    """Return the hook, its rules and the ends of its chains. Our own table's show the packet and are not told."""
    start = first_tuple(at) or setting.packet
    mark = next((event.mark for event in at.events if event.packet and event.mark is not None), setting.mark)
    walk = _Walk(book, at, setting, start, mark)
    for number, event in enumerate(at.events):
        _look(walk, event)
        if is_own(event) or event.kind == "return":
            continue
        if event.kind == "rule":
            _rule(walk, event, at.events[number + 1 :])
        else:
            _policy(walk, event)
    _leave(walk)
    matters = _matter(walk.steps, walk.depths)
    told = tuple(replace(step, matters=known) for step, known in zip(walk.steps, matters, strict=True))
    hook = Step(
        node=setting.node,
        kind="hook",
        before=start,
        after=start,
        hook=at.hook,
        interface=at.iif,
        out_interface=at.oif,
        mark_before=mark,
        mark_after=mark,
        matters=any(matters),
    )
    return (hook, *told)


def _look(walk: _Walk, event: Event) -> None:
    """See how the packet looks now, if the event tells: what changed without a rule, conntrack has done."""
    now = tuple_of(event.packet) if event.packet is not None else None
    if now is not None and now != walk.packet:
        walk.add(_translation(walk, now))
    if event.mark is not None and event.packet is not None and (is_own(event) or event.marked_before):
        walk.mark = event.mark


def _leave(walk: _Walk) -> None:
    """See how the packet looks behind the hook: the part of its addresses that this hook is there to change."""
    behind = walk.setting.behind
    if behind is None or behind == walk.packet:
        return
    now = renewed(walk.packet, behind, walk.at.hook)
    if now != walk.packet:
        walk.add(_translation(walk, now))


def _translation(walk: _Walk, now: Tuple) -> Step:
    flow = walk.setting.flow
    step = translated(walk.setting.node, walk.packet, now, flow, walk.mark)
    return replace(step, hook=walk.at.hook)


def _rule(walk: _Walk, event: Event, later: Sequence[Event]) -> None:
    found, base = walk.book.find(event), walk.base(event.chain)
    rule, place = found.rule, (event.marked_before, event.table, event.chain)
    verdict = deeds.verdict_of(event, rule)
    target = deeds.target_of(verdict)
    before, after = deeds.marks(event, rule, walk.mark)
    service = _service(walk, event, found)
    if target and service:
        walk.services.setdefault(target, service)
    step = Step(
        node=walk.setting.node,
        kind="rule",
        before=walk.packet,
        after=_after(walk, found, base, later),
        hook=walk.at.hook,
        family=event.family,
        table=event.table,
        tool=tool_of(event, found),
        chain=event.chain,
        rule=rule,
        number=found.number,
        handle=event.handle,
        verdict=verdict,
        service=service,
        mark_before=before,
        mark_after=after,
    )
    chosen, share = deeds.share_of(found, target, step.after, service=service)
    read = deeds.reads_mark(rule, before)
    by = "" if read else deeds.passed_by_mark(found, before, walk.numbers.get(place, 0))
    walk.numbers[place] = found.number
    step = replace(
        step,
        moments=tuple(_moments(step, found, base, chosen=chosen, read=bool(read or by))),
        share=share,
        endpoint=_endpoint(walk, found, step, target) if chosen or _sent_on(step) else "",
        text=_text(step, by, affinity=chosen and share is None, untracked=deeds.untracks(found, base)),
    )
    walk.add(step, event.chain)


def _text(step: Step, by: str, *, affinity: bool, untracked: bool) -> str:
    """Return what is to be said beside a rule: why it matched, or what it did that no moment's name says."""
    if affinity:
        return "by affinity: a recent request of the same client chose it"
    if by:
        return f"the mark let it pass: {by}"
    if step.rule is None:
        return "the rule is not in the listing"
    return UNTRACKED if untracked else deeds.acts(step.rule)[1]


def _service(walk: _Walk, event: Event, found: Found) -> str:
    told = service_of(event, found.rule) or walk.services.get(event.chain, "")
    return told or service_of_comment(deeds.element_of(found, walk.packet, walk.setting.protocol))


def _moments(step: Step, found: Found, base: str, *, chosen: bool, read: bool) -> Iterator[Moment]:
    if chosen:
        yield "choose"
    if read:
        yield "mark-read"
    if deeds.sets_mark(step.rule) and (step.mark_after is None or step.mark_before != step.mark_after):
        yield "mark"
    if deeds.translates(step.rule, base):
        yield "dnat"
    if source := deeds.source_change(step.rule, base):
        yield source
    if deeds.untracks(found, base):
        yield "untracked"
    if deeds.acts(step.rule)[0]:
        yield "act"
    if step.verdict == "reject":
        yield "reject"
    if step.verdict == "drop":
        yield "drop"


def _after(walk: _Walk, found: Found, base: str, later: Sequence[Event]) -> Tuple:
    """Return how the packet looks behind a rule: as it is seen next, or as the rule says."""
    here = walk.packet
    dnat, snat = deeds.translates(found.rule, base), bool(deeds.source_change(found.rule, base))
    if not dnat and not snat:
        return here
    seen = next((now for event in later if event.packet and (now := tuple_of(event.packet))), walk.setting.behind)
    if seen is not None:
        ends = seen if dnat else here
        begins = seen if snat else here
        return Tuple(src=begins.src, sport=begins.sport, dst=ends.dst, dport=ends.dport)
    told = deeds.dnat_of(found.rule)
    if told is not None:
        return replace(here, dst=told[0], dport=told[1] or here.dport)
    flow = walk.setting.flow
    if snat and flow is not None:
        return replace(here, src=flow.reply.dst, sport=flow.reply.dport)
    return here


def _endpoint(walk: _Walk, found: Found, step: Step, target: str) -> str:
    """Return the name of the endpoint that a rule chose, or its socket if it has no name."""
    socket = (step.after.dst, step.after.dport) if step.before.dst != step.after.dst else None
    chain = found.table.chains.get(target) if found.table else None
    for rule in chain.rules if chain and socket is None else ():
        told = deeds.dnat_of(rule)
        if told is not None:
            socket = (told[0], told[1] or step.before.dport)
            break
    if socket is None:
        return ""
    return walk.setting.names.get(socket[0]) or words.socket(*socket)


def _sent_on(step: Step) -> bool:
    """Return whether a rule sent a packet to an address that the rule says; a redirected one is for who has it."""
    return step.before.dst != step.after.dst and not deeds.redirects(step.rule)


def _policy(walk: _Walk, event: Event) -> None:
    found = walk.book.find(event)
    verdict = event.verdict or (found.chain.policy if found.chain else "")
    step = Step(
        node=walk.setting.node,
        kind="verdict",
        before=walk.packet,
        after=walk.packet,
        hook=walk.at.hook,
        family=event.family,
        table=event.table,
        tool=tool_of(event, found),
        chain=event.chain,
        verdict=verdict,
        mark_before=walk.mark,
        mark_after=walk.mark,
        moments=("drop",) if verdict == "drop" else (),
    )
    walk.add(step, event.chain)


def _may_matter(step: Step) -> bool:
    """Return whether a rule keeps something of the packet, or may have done anything, for nobody knows it."""
    unknown = step.kind == "rule" and step.rule is None and step.verdict in ("", "continue")
    return unknown or deeds.remembers(step.rule)


def _matter(told: Sequence[Step], depths: Sequence[int]) -> list[bool]:
    """Return which steps matter: those that did something or may have, and the jumps that led to one of them."""
    matters = [bool(step.moments) or step.verdict in _FATAL or _may_matter(step) for step in told]
    for at in range(len(told) - 1, -1, -1):
        if not deeds.target_of(told[at].verdict):
            continue
        inside = at + 1
        while inside < len(told) and depths[inside] > depths[at]:
            matters[at] = matters[at] or matters[inside]
            inside += 1
    return matters
