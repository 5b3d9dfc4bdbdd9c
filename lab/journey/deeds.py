"""What a rule that matched did: its verdict, its mark, its choice among endpoints, its translation; and what it is for.

A trace says which rule matched; what that means is in the rule's text.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from lab.model.flow import Tuple
from lab.model.netfilter import (
    Chance,
    Container,
    Decide,
    Dnat,
    Draw,
    Lookup,
    Mark,
    Masked,
    Masquerade,
    Match,
    Note,
    Reject,
    Remember,
    Remembered,
    Unknown,
)

if TYPE_CHECKING:
    from lab.journey.rules import Found
    from lab.model.address import IPAddress
    from lab.model.netfilter import Chain, Rule, Statement, Table, Value
    from lab.model.trace import Event

CONNTRACK = -200
"""When conntrack looks at a packet (NF_IP_PRI_CONNTRACK)."""

# Targets of iptables and words of nft, of rules that are not known but for these.
_DESTINATION = {"DNAT", "REDIRECT", "dnat", "redirect"}
_SOURCE = {"SNAT", "snat"}
_MASQUERADE = {"MASQUERADE", "masquerade"}
_EITHER = "NETMAP"  # the source in the hooks that are for sources, else the destination
_OF_SOURCES = {"POSTROUTING", "INPUT"}
_UNTRACK = {"NOTRACK", "notrack"}
_MARKS = {"MARK", "HMARK", "meta mark"}
_IDLE = {
    *("LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "LED", "IDLETIMER", "RATEEST"),
    *("counter", "log", "last", "meta nftrace"),
    *("REJECT", "reject", "vmap"),  # the verdict tells
}
"""What says or counts something, and what is told of otherwise."""

_DONE = {
    **dict.fromkeys(["TTL", "HL", "ip ttl", "ip6 hoplimit"], "the hops that it has left are set"),
    **dict.fromkeys(["TCPMSS", "tcp option maxseg size"], "the segment size that it offers is set"),
    **dict.fromkeys(["DSCP", "TOS", "ECN", "ip dscp", "ip6 dscp", "ip ecn", "ip6 ecn"], "its class of traffic is set"),
    **dict.fromkeys(["CLASSIFY", "meta priority"], "its class for queueing is set"),
    **dict.fromkeys(["CONNMARK", "ct mark"], "its connection's mark is set"),
    **dict.fromkeys(["CT", "ct zone", "ct helper", "ct timeout"], "conntrack is told how to treat it"),
    **dict.fromkeys(["NFQUEUE", "QUEUE", "queue"], "handed to a program, which decides"),
    **dict.fromkeys(["TPROXY", "tproxy"], "handed to a socket of the node itself"),
    **dict.fromkeys(["SYNPROXY", "synproxy"], "answered in the server's place"),
    **dict.fromkeys(["TEE", "dup"], "a copy is sent elsewhere"),
    "SET": "a set of addresses takes it in, or out",
    "CHECKSUM": "its checksum is filled in",
    "flow": "its connection's later packets bypass the rules",
}
"""What rules do otherwise, in words."""


def statements(rule: Rule | None) -> tuple[Statement, ...]:
    """Return what a rule asks and does, in order; nothing of one that is not known."""
    return rule.statements if rule else ()


def verdict_of(event: Event, rule: Rule | None) -> str:
    """Return what followed, in words (`jump KUBE-SEP-X`, `accept`, `reject`); "" if neither event nor rule tell."""
    if any(isinstance(one, Reject) for one in statements(rule)):
        return "reject"
    if event.verdict:
        return f"{event.verdict} {event.target}".rstrip() if event.verdict in ("jump", "goto") else event.verdict
    for one in statements(rule):
        if isinstance(one, Decide):
            return f"{one.verdict.kind} {one.verdict.target}".rstrip()
    if rule and (translates(rule) or source_change(rule) or _words(rule) & {"TPROXY"}):
        return "accept"
    return ("queue" if _words(rule) & {"NFQUEUE"} else "continue") if rule else ""


def target_of(verdict: str) -> str:
    """Return the chain that `jump X` or `goto X` leads to, "" for another verdict."""
    word, _, chain = verdict.partition(" ")
    return chain if word in ("jump", "goto") else ""


def marks(event: Event, rule: Rule | None, known: int | None) -> tuple[int | None, int | None]:
    """Return the mark before and behind a rule; `known`: the one behind what came before it, None if not known."""
    if event.marked_before:
        before = event.mark if event.mark is not None else known
        return before, _marked(rule, before)
    after = event.mark if event.mark is not None else _marked(rule, known)
    return known, after


def _marked(rule: Rule | None, mark: int | None) -> int | None:
    for one in statements(rule):
        if isinstance(one, Mark) and one.of == "mark":
            mark = None if (mark is None and one.keep) or one.mix else (mark or 0) & one.keep ^ one.flip
    return None if _words(rule) & _MARKS else mark


def sets_mark(rule: Rule | None) -> bool:
    """Return whether a rule sets the packet's mark."""
    return any(isinstance(one, Mark) and one.of == "mark" for one in statements(rule)) or bool(_words(rule) & _MARKS)


def reads_mark(rule: Rule | None, mark: int | None) -> bool:
    """Return whether a rule matched because of bits that are set in the mark."""
    if not mark:
        return False
    looked_up = any(isinstance(one, Lookup) and "mark" in one.fields for one in statements(rule))
    return looked_up or bool(mark & _asked_bits(rule))


def passed_by_mark(found: Found, mark: int | None, last: int) -> str:
    """Return the text of a rule that turns unmarked packets away, and that let this one go on to the rule `found`.

    kube-proxy's masquerading chain begins so: what is not marked returns, and what comes to its next rules is marked.
    `last`: the number of the chain's rule that matched before this one, 0 for none. "" if there is none such.
    """
    if not mark or found.chain is None:
        return ""
    passed = found.chain.rules[last : max(found.number - 1, 0)]
    return next((rule.text for rule in passed if _returns(rule) and mark & _asked_bits(rule)), "")


def _returns(rule: Rule) -> bool:
    return any(isinstance(one, Decide) and one.verdict.kind == "return" for one in rule.statements)


def _asked_bits(rule: Rule | None) -> int:
    """Return the bits of the mark that a rule asks for."""
    bits = 0
    for one in statements(rule):
        if isinstance(one, Match) and one.field == "mark":
            for span in one.among:
                bits |= span.mask if isinstance(span, Masked) else 0
    return bits


def share_of(found: Found, target: str, after: Tuple, *, service: str) -> tuple[bool, Fraction | None]:
    """Return whether a rule chose an endpoint, and with which probability: None if it did so by affinity.

    A choice is made by chance (`statistic`, `numgen`), or by affinity, or it is what is left: the last of a Service's
    rules that lead to a chain that translates, or the only one. `after`: how the packet looks behind the rule.
    """
    rule, chain, table = found.rule, found.chain, found.table
    if rule is None or chain is None or table is None:
        return False, None
    drawn = _drawn(rule, target, after)
    if drawn is not None:
        return True, drawn
    if not _leads_on(rule, table):
        return False, None
    if _by_affinity(rule, table):
        return True, None
    own = next((one.share for one in rule.statements if isinstance(one, Chance)), None)
    left = Fraction(1)
    for earlier in chain.rules[: max(found.number - 1, 0)]:
        chances = [one.share for one in earlier.statements if isinstance(one, Chance)]
        if chances and _leads_on(earlier, table):
            left *= 1 - chances[0]
    alone = own is None and left == 1
    return (False, None) if alone and (translates(rule) or not service) else (True, left * (1 if own is None else own))


def _drawn(rule: Rule, target: str, after: Tuple) -> Fraction | None:
    """Return the share of what was drawn among all that a random number decides between, None if a rule draws none."""
    for one in rule.statements:
        if isinstance(one, Draw):
            return Fraction(sum(verdict.target == target for verdict in one.choices.values()), one.modulus)
        if isinstance(one, Dnat) and _draws(one):
            same = sum((after.dst, after.dport) == (dst, port or after.dport) for dst, port in one.choices.values())
            return Fraction(max(same, 1), one.modulus)
    return None


def _draws(one: Dnat) -> bool:
    return one.modulus > 1 or "numgen" in one.text  # of a single endpoint, too


def _translates_in(chain: Chain | None) -> bool:
    """Return whether a chain is an endpoint's: it translates, and draws no endpoint itself."""
    deeds = [one for rule in (chain.rules if chain else ()) for one in rule.statements if isinstance(one, Dnat)]
    return bool(deeds) and not any(map(_draws, deeds))


def _leads_on(rule: Rule, table: Table) -> bool:
    """Return whether a rule ends the way through its chain at a translation, its own or that of where it leads."""
    if translates(rule):
        return True
    targets = (one.verdict.target for one in rule.statements if isinstance(one, Decide))
    return any(_translates_in(table.chains.get(target)) for target in targets)


def _by_affinity(rule: Rule, table: Table) -> bool:
    for one in rule.statements:
        if isinstance(one, Remembered):
            return True
        if isinstance(one, Lookup) and isinstance(one.container, str) and not one.verdict:
            known = table.containers.get(one.container)
            if known is not None and known.remembers:
                return True
    return False


def dnat_of(rule: Rule | None) -> tuple[IPAddress, int] | None:
    """Return the address and port (0: as it was) that a rule translates the destination to, if it has no choice."""
    for one in statements(rule):
        if isinstance(one, Dnat) and len(one.choices) == 1:
            return next(iter(one.choices.values()))
    return None


def translates(rule: Rule | None, base: str = "") -> bool:
    """Return whether a rule changes the destination; `base`: the base chain that the packet came to it from."""
    if any(isinstance(one, Dnat) for one in statements(rule)):
        return True
    words = _words(rule)
    return bool(words & _DESTINATION) or (_EITHER in words and base not in _OF_SOURCES)


def redirects(rule: Rule | None) -> bool:
    """Return whether a rule keeps the packet for the node itself, at an address that it does not say."""
    return bool(_words(rule) & {"REDIRECT", "redirect"})


def source_change(rule: Rule | None, base: str = "") -> Literal["", "masquerade", "snat"]:
    """Return how a rule changes the source: to the node's own address, or to one that it says; "" if it does not."""
    for one in statements(rule):
        if isinstance(one, Masquerade):
            return "snat" if one.source else "masquerade"
    words = _words(rule)
    if words & _SOURCE or (_EITHER in words and base in _OF_SOURCES):
        return "snat"
    return "masquerade" if words & _MASQUERADE else ""


def untracks(found: Found, base: str) -> bool:
    """Return whether a rule has conntrack leave the packet alone: behind conntrack's own turn it is too late for that.

    Source: notrack_tg of net/netfilter/xt_CT.c, nft_notrack_eval of nft_ct.c.
    """
    chain = found.table.chains.get(base) if found.table else None
    late = chain is not None and chain.hook is not None and chain.priority >= CONNTRACK
    return bool(_words(found.rule) & _UNTRACK) and not late


def acts(rule: Rule | None) -> tuple[bool, str]:
    """Return whether a rule does what no other moment tells of, and what that is, "" if its text alone says it."""
    told = _DESTINATION | _SOURCE | _MASQUERADE | _UNTRACK | _MARKS | {_EITHER}
    more = _words(rule) - told - _IDLE
    if any(isinstance(one, Mark) and one.of == "ct mark" for one in statements(rule)):
        more |= {"ct mark"}
    return bool(more), "; ".join(dict.fromkeys(_DONE[word] for word in sorted(more) if word in _DONE))


def remembers(rule: Rule | None) -> bool:
    """Return whether a rule puts something of the packet into a list or set: kube-proxy's affinity does so."""
    return any(isinstance(one, Remember) for one in statements(rule))


def _words(rule: Rule | None) -> set[str]:
    """Return what does something in a rule that no statement of its own tells: targets, nft's words."""
    return {one.word for one in statements(rule) if isinstance(one, Note | Unknown) and one.word}


def element_of(found: Found, packet: Tuple, protocol: str) -> str:
    """Return the comment of the element by which a verdict map of nft decided, "" if it has none."""
    table = found.table
    if found.rule is None or table is None:
        return ""
    for one in found.rule.statements:
        if isinstance(one, Lookup) and one.verdict:
            known = one.container if isinstance(one.container, Container) else table.containers.get(one.container)
            values: dict[str, Value] = {
                "source": packet.src,
                "destination": packet.dst,
                "source port": packet.sport,
                "destination port": packet.dport,
                "protocol": protocol,
            }
            asked = tuple(values.get(name, "") for name in one.fields)
            decided = known.exact.get(asked) if known else None
            return decided.comment if decided else ""
    return ""
