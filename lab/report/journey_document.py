"""The shape of a journey as data for programs: what lab/schema/journey.v1alpha1.json is made from.

Within a version fields are added, never taken away or given another meaning.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from lab.model.journey import Kind, Moment
from lab.model.netfilter import Hook
from lab.model.request import Transport
from lab.model.trace import Tool


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the document; it has all of its fields, always."""


class Ends(Document, frozen=True, kw_only=True):
    """Who sends and who gets a packet; a name is empty where the lab has none, a port 0 where there is none."""

    src: str
    src_name: str
    sport: int
    dst: str
    dst_name: str
    dport: int


class Socket(Document, frozen=True, kw_only=True):
    """An address and a port; the name is empty where the lab has none."""

    address: str
    port: int
    name: str


class Answer(Document, frozen=True, kw_only=True):
    """What the asker got."""

    error: Annotated[str, Meta(description="empty if answered, else refused, timeout, unreachable, reset, ...")]
    status: Annotated[int, Meta(description="HTTP's; 0 over UDP, and without an answer")]
    pod: Annotated[str, Meta(description="who answered")]
    node: Annotated[str, Meta(description="where that pod is")]
    source: Annotated[Socket | None, Meta(description="the asker, as the answering pod saw it")]
    local: Annotated[Socket | None, Meta(description="the asker's own end")]
    latency_s: Annotated[float, Meta(description="seconds from before connect() to the last byte, or to giving up")]


class Entry(Document, frozen=True, kw_only=True):
    """An entry of a node's conntrack, as `lab.conntrack --json` has it."""

    node: str
    protocol: str
    original: Ends
    reply: Ends
    dnat: bool
    snat: bool
    mark: int
    zone: int
    state: Literal["answered", "unanswered"]
    tcp_state: str
    status: list[str]
    timeout_s: int
    id: int


class Step(Document, frozen=True, kw_only=True):
    """One thing that happened to a packet at one place, or that was seen of it there."""

    node: Annotated[str, Meta(description="the machine: a node, pod, client or the router")]
    kind: Kind
    observed: Annotated[bool, Meta(description="false: inferred, from what `text` says")]
    matters: Annotated[bool, Meta(description="whether the text tells it without --all")]
    before: Annotated[Ends, Meta(description="the packet as it came")]
    after: Annotated[Ends, Meta(description="the packet as it went on")]
    mark_before: Annotated[int | None, Meta(description="the fwmark; null where it is not known")]
    mark_after: int | None
    hook: Hook | None
    interface: Annotated[str, Meta(description="where it was seen, or came in by")]
    out_interface: Annotated[str, Meta(description="where it leaves by")]
    direction: Annotated[Literal["in", "out", ""], Meta(description="of a tap")]
    ttl: Annotated[int, Meta(description="hops that a packet at a tap has left; 0: not known")]
    family: Annotated[str, Meta(description="the table's: ip, ip6, inet")]
    table: str
    tool: Annotated[Tool | None, Meta(description="what made the table; null for what is of no table")]
    chain: str
    rule: Annotated[str | None, Meta(description="the rule's text, as it is written, without its chain")]
    number: Annotated[int, Meta(description="which rule of its chain, from 1; 0: not known")]
    handle: Annotated[int, Meta(description="nft's; 0: it has none")]
    verdict: Annotated[str, Meta(description="accept, drop, reject, return, continue, jump CHAIN, goto CHAIN")]
    service: Annotated[str, Meta(description="the service port that the rule is of: NAMESPACE/NAME:PORT")]
    moments: Annotated[list[Moment], Meta(description="what stands out")]
    endpoint: Annotated[str, Meta(description="the pod that was chosen")]
    probability: Annotated[float | None, Meta(description="of that choice")]
    share: Annotated[str | None, Meta(description="the same, exactly: 1/2")]
    time_ns: Annotated[int | None, Meta(description="nanoseconds since the epoch; null where the kernel told no time")]
    text: str


class End(Document, frozen=True, kw_only=True):
    """What became of a packet, where, and why; `observed` false: inferred."""

    kind: Literal["delivered", "dropped", "refused", "lost", "unknown"]
    node: str
    why: str
    observed: bool


class Leg(Document, frozen=True, kw_only=True):
    """One packet's way; `times`: how often it was sent, of which the first is told."""

    role: Literal["request", "reply", "refusal", "data"]
    packet: str
    times: int
    steps: list[Step]
    end: End


class Packet(Document, frozen=True, kw_only=True):
    """What a packet looked like when it came to a node; the ends are `ADDRESS:PORT`."""

    source: str
    destination: str
    protocol: str
    mark: int


class Deed(Document, frozen=True, kw_only=True):
    """What a rule did: its verdict, and where the packet goes and its mark behind it."""

    verdict: str
    destination: str
    mark: int | None


class Forecast(Document, frozen=True, kw_only=True):
    """What a rule was expected to do, and why."""

    verdict: str
    destination: str
    mark: int | None
    why: str


class ComparedRule(Document, frozen=True, kw_only=True):
    """A rule, or a chain's policy (`number` 0), as it was expected and as the kernel showed it."""

    hook: Hook | None
    table: str
    chain: str
    number: int
    rule: str | None
    reached: Annotated[bool, Meta(description="false: the packet was lost before it could come so far")]
    predicted: Forecast | None
    observed: Deed | None
    difference: Annotated[str, Meta(description="in words; empty if they agree")]


class ComparedEnd(Document, frozen=True, kw_only=True):
    """What became of the packet on a node, as expected and as observed."""

    predicted: str
    observed: str
    difference: str


class Visit(Document, frozen=True, kw_only=True):
    """What the request's first packet met on one node, beside what the rules say of it."""

    node: str
    packet: Packet
    ways: Annotated[int, Meta(description="how many ways the rules left open")]
    share: Annotated[str, Meta(description="how likely the one was that it took: 1/2")]
    assumed: Annotated[list[str], Meta(description="what the rules do not tell, and must have been so")]
    agrees: bool
    rules: list[ComparedRule]
    end: ComparedEnd


class Comparison(Document, frozen=True, kw_only=True):
    """The journey beside what the rules were expected to do, node by node."""

    agrees: bool
    visits: list[Visit]
    notes: list[str]


class Journey(Document, frozen=True, kw_only=True):
    """What one request's packets were seen to do."""

    api_version: Literal["hairpin/v1alpha1"] = msgspec.field(name="apiVersion")
    kind: Literal["Journey"]
    asker: Annotated[str, Meta(description="who asked")]
    goal: Annotated[str, Meta(description="for whom, as the lab calls it: svc/web, web-1, node-1, an address")]
    service: Annotated[str, Meta(description="the service port that this is, NAMESPACE/NAME:PORT, or empty")]
    endpoint: Annotated[str, Meta(description="the pod that the rules chose, or empty")]
    protocol: Transport
    tool: Annotated[Tool, Meta(description="whose rules these are")]
    original: Annotated[Ends, Meta(description="the request as the asker sent it")]
    answered: bool
    reply: Answer
    legs: Annotated[list[Leg], Meta(description="in the order of time")]
    flows: Annotated[list[Entry], Meta(description="conntrack's entries afterwards")]
    notes: Annotated[list[str], Meta(description="what is not known, was lost, or must be said")]
    sentence: Annotated[str, Meta(description="the whole story in one sentence")]
    comparison: Annotated[Comparison | None, Meta(description="with --explain; else null")]
