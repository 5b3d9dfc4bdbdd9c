"""Which rules of kube-proxy's chains packets matched, or counted: how they are named, and what was expected of them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lab.judge.said import Said
    from lab.model.journey import Journey, Step
    from lab.model.lab import Mode, RulesExpectation
    from lab.model.netfilter import Table

CHAINS: dict[Mode, tuple[str, ...]] = {
    "iptables": (
        *("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-MARK-MASQ", "KUBE-MARK-DROP"),
        *("KUBE-POSTROUTING", "KUBE-FORWARD", "KUBE-FIREWALL", "KUBE-PROXY-FIREWALL"),
        *("KUBE-SVC", "KUBE-SVL", "KUBE-SEP", "KUBE-EXT", "KUBE-FW", "KUBE-XLB"),
    ),
    "nftables": (
        *("services", "masquerading", "firewall-check", "nodeport-endpoints-check", "service-endpoints-check"),
        *("cluster-ips-check", "reject-chain", "service", "local", "external", "firewall", "endpoint"),
    ),
}
"""kube-proxy's chains that others lead to, those of one Service or endpoint without what tells them apart."""

TARGETS: dict[Mode, tuple[str, ...]] = {
    "iptables": ("ACCEPT", "DROP", "REJECT", "RETURN", "MARK", "MASQUERADE", "DNAT", "none"),
    "nftables": ("accept", "drop", "return", "reject", "mark", "masquerade", "dnat", "update", "none"),
}
"""What a rule does that leads to no chain; `none`: nothing but matching."""

_TARGET = re.compile(r"(?:^| )-[jg] (\S+)")
_HASHED = re.compile(
    r"(KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB))-[A-Z2-7]{16}|(service|local|external|firewall|endpoint)-[A-Z2-7]{8}-[^ ,]+"
)


def mode_of(text: str) -> Mode | None:
    """Return the mode that has such a rule as `CHAIN > TARGET`, None if neither has."""
    chain, arrow, target = map(short, text.partition(" > "))
    for mode, chains in CHAINS.items():
        if arrow and chain in chains and target in (*chains, *TARGETS[mode]):
            return mode
    return None


def foreign(wanted: RulesExpectation, mode: Mode) -> bool:
    """Return whether all rules that are expected are of the other mode."""
    return bool(wanted.hit) and not _of(wanted.hit, mode)


def _of(texts: Iterable[str], mode: Mode) -> tuple[str, ...]:
    return tuple(text for text in texts if mode_of(text) == mode)


def hit(wanted: RulesExpectation, journey: Journey) -> Said:
    """Judge which rules packets of the request and its reply matched: exactly those that are expected."""
    mode: Mode = "nftables" if journey.tool == "nft" else "iptables"
    expected = _of(wanted.hit, mode)
    matched = tuple(dict.fromkeys(_matched([step for step in journey.steps if step.node == wanted.node], mode)))
    holds = all(any(_means(text, one) for text in expected) for one in matched) and all(
        any(_means(text, one) for one in matched) for text in expected
    )
    return f"rules on {wanted.node}", _listed(expected), _listed([short(one) for one in matched]), holds


def _matched(steps: Iterable[Step], mode: Mode) -> Iterator[str]:
    """Yield each rule of kube-proxy's chains among steps, as `CHAIN > TARGET`."""
    for step in steps:
        if step.kind != "rule":
            continue
        if mode == "iptables" and step.chain.startswith("KUBE-"):
            yield named(step.chain, step.rule.text) if step.rule else f"{step.chain} > a rule that is not listed"
        elif mode == "nftables" and step.table == "kube-proxy" and short(step.chain) in CHAINS["nftables"]:
            yield f"{step.chain} > {_done(step)}"


def _done(step: Step) -> str:
    """Return what a rule of nftables mode did: the chain that it led to, its verdict, or the last of its statements."""
    from lab.model.netfilter import Dnat, Mark, Masquerade, Reject, Remember  # noqa: PLC0415 - who only names has none

    verdict, _, chain = step.verdict.partition(" ")
    if chain:
        return chain
    does = ((Dnat, "dnat"), (Masquerade, "masquerade"), (Reject, "reject"), (Mark, "mark"), (Remember, "update"))
    did = [word for one in (step.rule.statements if step.rule else ()) for kind, word in does if isinstance(one, kind)]
    return did[-1] if did else verdict if verdict in TARGETS["nftables"] else "none"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts) or "none"


def _means(text: str, one: str) -> bool:
    """Return whether an expected `CHAIN > TARGET` is that one; each of its two names may lack what tells it apart."""
    return all(name in {full, short(full)} for name, full in zip(text.split(" > "), one.split(" > "), strict=True))


def short(text: str) -> str:
    """Return a text with `KUBE-SVC` for `KUBE-SVC-LOLE4ISW44XBNF3G`, `service` for `service-ULMVA6XW-ns1/svc1/tcp/p80`.

    So for all whose names have a hash.
    """
    return _HASHED.sub(lambda found: found[1] or found[2], text)


def named(chain: str, text: str) -> str:
    """Return `CHAIN > TARGET` of a rule of iptables mode, as iptables-save has it."""
    targets = _TARGET.findall(text)  # the last one: a comment may have another
    return f"{chain} > {targets[-1] if targets else 'none'}"


def counts(tables: Iterable[Table]) -> Counter[str]:
    """Return the packets that the rules of kube-proxy's chains have counted.

    Keys are `CHAIN > TARGET`, of all rules together that have both.
    """
    found: Counter[str] = Counter()
    for table in tables:
        for chain in table.chains.values():
            for rule in chain.rules if chain.name.startswith("KUBE-") else ():
                found[named(chain.name, rule.text)] += rule.packets or 0
    return found
