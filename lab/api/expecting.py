"""Expectations in a program: the topology's words as plain data, and an error that shows all there is to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from lab import check, evidence, judge
from lab.check import Verdict
from lab.controllers import expect
from lab.errors import TopologyError
from lab.model.address import Family
from lab.model.evidence import Evidence
from lab.model.finding import Finding
from lab.model.lab import NetError
from lab.model.part import camel
from lab.model.request import Reply, Request, Transport
from lab.report import evidence as report
from lab.standing.meter import silently
from lab.standing.session import Standing

Said = Mapping[str, Any]
"""What stands under a word of `expect` in a topology, as plain data: `{"by": ["web-1", "web-2"]}`."""

Judged = tuple[tuple[Finding, ...], ...]


class Expected(TypedDict, total=False):
    """The words of an expectation in a topology (docs/topology.md), beside `from` and `to`."""

    it: str
    port: int
    protocol: Transport
    local_port: int
    family: Family
    answer: Said
    error: NetError
    flow: Said | Sequence[Said]
    mark: Said | Sequence[Said]
    rules: Said | Sequence[Said]
    journey: Said | Sequence[str]
    shares: Literal["equal", "one"]
    when: Said
    then: Sequence[Said]


class ExpectationError(AssertionError):
    """The kernel did otherwise: the message shows expectation and observation, the flows and the rules."""

    __module__ = "lab.api"  # where users know it from, and reports name it

    def __init__(self, failed: Sequence[Sequence[Finding]], shown: Sequence[Evidence]) -> None:
        """Keep the findings of each expectation that failed, and what the lab showed of it."""
        super().__init__(f"{report.line(failed)}\n\n{report.text(failed, shown)}")
        self.failed = tuple(map(tuple, failed))
        self.evidence = tuple(shown)


def topology(lab: Standing) -> Verdict:
    """Judge what a lab's topology expects; raises `ExpectationError` for what does not hold."""
    __tracebackhide__ = True  # pytest then shows the line that expects
    witness = _Witness()
    verdict = check.check(lab, silently, witness.look)
    witness.demand(verdict.judged)
    return verdict


def one(lab: Standing, words: dict[str, Any]) -> Judged:
    """Make one request and judge what comes of it; see `lab.api.Lab.expect`."""
    __tracebackhide__ = True
    wanted = expect.read(lab.cluster, {camel(word): _plain(value) for word, value in words.items()})
    if not judge.applies(wanted, lab.cluster):
        if "when" in words:
            return ()
        other = "iptables" if lab.cluster.mode == "nftables" else "nftables"
        raise TopologyError(
            f"expect: rules: those of `hit` are of {other} mode, and this lab is in {lab.cluster.mode} mode",
            hint=f'when={{"mode": "{other}"}} leaves this out in other labs',
        )
    witness = _Witness()
    judged = tuple(check.one(lab, wanted, witness.look))
    witness.demand(judged)
    return judged


class _Witness:
    """Gathers evidence when something fails, while it is there."""

    def __init__(self) -> None:
        self.seen: list[Evidence] = []

    def look(self, lab: Standing, it: str, asked: Sequence[tuple[Request, Reply]]) -> None:
        """Look at a lab in which `it` has just failed."""
        self.seen.append(evidence.gather(lab, it, asked))

    def demand(self, judged: Sequence[Sequence[Finding]]) -> None:
        """Raise `ExpectationError` unless every finding holds."""
        __tracebackhide__ = True
        if failed := [findings for findings in judged if not all(finding.holds for finding in findings)]:
            raise ExpectationError(failed, self.seen)


def _plain(value: Any) -> Any:  # noqa: ANN401 - what YAML can have
    """Return lists and dictionaries for sequences and mappings, and their own copies."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple, set, frozenset)) else value
