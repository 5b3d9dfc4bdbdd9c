"""A journey: all that one request's packets were seen to do, from hop to hop, hook to hook, rule to rule, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from lab.model.address import IPAddress
from lab.model.flow import Flow, Tuple
from lab.model.netfilter import Hook, Rule
from lab.model.request import Reply
from lab.model.trace import Tool

Kind = Literal["tap", "bridge", "hook", "rule", "verdict", "route", "conntrack"]

Moment = Literal[
    "choose",  # an endpoint was chosen, by chance or affinity; `share` is its probability
    "dnat",  # the destination was rewritten
    "mark",  # the fwmark was set or changed
    "mark-read",  # a rule matched because of the fwmark
    "masquerade",  # the source was rewritten, to the node's own address
    "snat",  # the source was rewritten, to an address that the rule says
    "port-changed",  # the source port was rewritten, by no rule: the replies would have looked like another flow's
    "untracked",  # conntrack was told to leave it alone: no nat rule is asked
    "act",  # a rule did something else: to the packet, its connection, or what is kept of it; `text` says what
    "hairpin",  # sent back out of the port, or to the machine, that it came from
    "reply-translated",  # a later packet of a connection, rewritten by its entry: no rule does it
    "reject",  # refused: the sender is told
    "drop",  # ended in silence
    "lost",  # not seen any more, and no rule said so
]


def whose(tool: Tool | None, usual: Tool) -> str:
    """Return what stands before a table's name, to tell it from one that the tool `usual` made: `iptables-legacy's `.

    iptables-legacy and iptables-nft have tables of the same names side by side. nft names its own with the family.
    """
    return f"{tool}'s " if tool not in (None, "nft", usual) else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that happened to a packet at one place, or that was seen of it there.

    `node` is the place's name (`node-1`, `web-1`). What the fields are for which `kind`:

    - `tap`: seen at `interface`, coming `in` or going `out` (`direction`), with `ttl` hops left (0: not known);
      `time_ns` since the epoch.
    - `bridge`: forwarded between two ports of a bridge: from `interface` to `out_interface`.
    - `hook`: it came to netfilter's `hook`; `interface` and `out_interface` as the hook has them.
    - `rule`: a rule of `table` and `chain` matched (`rule`, its `number` in the chain from 1, `handle` 0 if it has
      none), which `tool` made; `verdict` is what followed: `accept`, `drop`, `jump KUBE-SEP-X`, `goto X`, `return`,
      `continue`, `reject`.
    - `verdict`: how a chain ended without a rule: its `policy` (`accept`, `drop`), or that the packet was given up.
    - `route`: a routing decision; `text` has it in ip(8)'s words.
    - `conntrack`: an entry of conntrack was made or used: `text` says which and what it does.

    `before` and `after`: the packet's addresses and ports; `mark_before`, `mark_after`: None where not known.
    `matters`: whether it is told in the short story too. `observed` False: inferred, and `text` says from what.
    `service`: the service port (`namespace/name:port`) that the rule is of. `time_ns`: None where none was given.
    """

    node: str
    kind: Kind
    before: Tuple
    after: Tuple
    hook: Hook | None = None
    interface: str = ""
    out_interface: str = ""
    direction: Literal["in", "out", ""] = ""
    ttl: int = 0
    family: str = ""
    table: str = ""
    tool: Tool | None = None
    chain: str = ""
    rule: Rule | None = None
    number: int = 0
    handle: int = 0
    verdict: str = ""
    service: str = ""
    mark_before: int | None = None
    mark_after: int | None = None
    time_ns: int | None = None
    text: str = ""
    moments: tuple[Moment, ...] = ()
    endpoint: str = ""
    share: Fraction | None = None
    matters: bool = True
    observed: bool = True

    def whose(self, usual: Tool) -> str:
        """Return what stands before its table's name, to tell it from one of the tool `usual`; see `whose`."""
        return whose(self.tool, usual)


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """What became of a packet, where, and why.

    `kind`: `delivered` to its destination; `dropped` or `refused` by a rule or policy; `lost` where nobody said so;
    `unknown` if the evidence does not suffice. `why` in words; `observed`: whether the kernel said it.
    """

    kind: Literal["delivered", "dropped", "refused", "lost", "unknown"]
    node: str
    why: str
    observed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One packet's way. `packet`: what it is (`tcp [S]`, `udp 9 bytes`, `icmp port unreachable`).

    `times`: how often it was sent; the steps are those of the first time. 0: it was not sent, as far as it is known.
    `role`: `request` or `reply` (the first packet of each direction), `refusal` (an ICMP error, or a reset by a node),
    `data` (a later packet, shown because it did not arrive).
    """

    role: Literal["request", "reply", "refusal", "data"]
    packet: str
    steps: tuple[Step, ...]
    end: End
    times: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """One request's: who asked (`asker`: `client-a`) for what (`goal`: `svc/web`, `service`: `default/web:http`, "").

    `endpoint`: the pod that the rules chose, "" if none did. `legs` in the order of time. `flows`: the conntrack
    entries that resulted, one for each node. `notes`: what is not known, was lost, or must be said beside it.
    `names`: who has which address; `nodes`: which places are nodes (both as the evidence has them). `unwanted`: legs
    of which nobody wants to see the way; what became of them is said all the same.
    """

    asker: str
    goal: str
    protocol: Literal["tcp", "udp"]
    original: Tuple
    tool: Tool
    reply: Reply
    legs: tuple[Leg, ...]
    service: str = ""
    endpoint: str = ""
    flows: tuple[Flow, ...] = ()
    notes: tuple[str, ...] = ()
    names: Mapping[IPAddress, str] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    unwanted: tuple[Leg, ...] = ()

    def one_way(self) -> Journey:
        """Return the journey of which only the request's own way is to be seen."""
        wanted = tuple(leg for leg in self.legs if leg.role == "request")
        others = tuple(leg for leg in self.legs if leg.role != "request")
        return replace(self, legs=wanted, unwanted=(*self.unwanted, *others))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all legs."""
        return tuple(step for leg in self.legs for step in leg.steps)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments of all legs, in order."""
        return tuple(moment for step in self.steps for moment in step.moments)
