"""Rules as a packet meets them, whoever wrote them down: one shape for iptables and for nftables.

A rule is a row of statements, tested or done from left to right; iptables has its matches before its one target, nft
mixes them. What no statement here can say is kept as `Unknown`, with its text. Words are iptables(8)'s and nft(8)'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from lab.model.address import IPAddress, IPNetwork

Hook = Literal["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
HOOKS: tuple[Hook, ...] = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")

IPTABLES = ("raw", "mangle", "nat", "filter", "security")
"""The tables of iptables."""

Field = Literal[
    "source",
    "destination",
    "source port",
    "destination port",
    "protocol",
    "family",
    "in-interface",
    "out-interface",
    "mark",
    "ct mark",
    "tcp flags",
    "ct state",
    "ct status",
    "source type",
    "destination type",
    "bridge port",
]
"""What a packet can be asked for.

`bridge port`: whether it came in by a port of a bridge (`yes` or `no`); `tcp flags`: the header's byte, FIN is 1.
"""

Value = IPAddress | int | str


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses or numbers from `first` to `last`, both included."""

    first: IPAddress | int
    last: IPAddress | int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Masked:
    """A number whose bits under `mask` are `value`."""

    value: int
    mask: int = 0xFFFF_FFFF

    def __str__(self) -> str:
        return f"{self.value:#x}" if self.mask == 0xFFFF_FFFF else f"{self.value:#x}/{self.mask:#x}"  # noqa: PLR2004 - all bits


Span = IPNetwork | Range | Masked | str
"""One value or many; a text that ends in `*` stands for all that begin so."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the packet; `target` is the chain of a jump or a goto."""

    kind: Literal["accept", "drop", "return", "continue", "jump", "goto"]
    target: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """Holds if the packet's `field` is among some values, or, `negated`, if it is not."""

    text: str
    field: Field
    among: tuple[Span, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """A set, or a map to verdicts. `exact`: the elements that are single values; `wide`: those with ranges.

    `remembers`: the packets themselves fill it (`flags dynamic`, or a timeout).
    """

    name: str
    exact: Mapping[tuple[Value, ...], Verdict | None] = field(default_factory=dict)
    wide: tuple[tuple[tuple[Span, ...], Verdict | None], ...] = ()
    remembers: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """Looks the packet's `fields` up. A set: holds if they are there (or not, `negated`); a map: does their verdict.

    `container` is the name of one of the table's, or the container itself.
    """

    text: str
    fields: tuple[Field, ...]
    container: str | Container
    negated: bool = False
    verdict: bool = False


@dataclass(frozen=True, slots=True)
class Chance:
    """Holds for a share of the packets, at random."""

    text: str
    share: Fraction


@dataclass(frozen=True, slots=True)
class Remembered:
    """Holds if a recent packet from the same source left its mark in the list `name` (recent --rcheck)."""

    text: str
    name: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Remember:
    """Puts the source into the list or set `name` (recent --set, update @set)."""

    text: str
    name: str


@dataclass(frozen=True, slots=True)
class Note:
    """Says something (`comment`), counts it, or changes what has no part in where a packet goes.

    `word`: what does it: the target (`TTL`), or what nft calls it (`log`, `meta priority`); "" for a comment.
    """

    text: str
    comment: bool = False
    word: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """Sets a mark to `(mark & keep) ^ flip ^ (other & mix)`: and, or, xor, set, save and restore are of this form.

    `of`: the packet's mark, or its connection's; `other` is the other one of these two.
    """

    text: str
    keep: int
    flip: int
    of: Literal["mark", "ct mark"] = "mark"
    mix: int = 0


@dataclass(frozen=True, slots=True)
class Dnat:
    """Changes the destination to one of `choices`, by a random number from 0 to `modulus` - 1; port 0 keeps the port.

    The connection's later packets follow the first one. It ends the hook's nat rules.
    """

    text: str
    choices: Mapping[int, tuple[IPAddress, int]]
    modulus: int = 1


@dataclass(frozen=True, slots=True)
class Draw:
    """Does one of several verdicts, by a random number from 0 to `modulus` - 1."""

    text: str
    choices: Mapping[int, Verdict]
    modulus: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Changes the source to `source`; without one to the node's own address on the interface that it leaves by."""

    text: str
    source: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuses the packet, with an answer to the sender, such as `port-unreachable` or `tcp-reset`."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Decide:
    """Does a verdict."""

    text: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that Hairpin does not know, as it is written.

    `match`: it asks the packet something, and holds or does not; else it may do anything. `fixed`: the same question
    about the same packet has the same answer, as a set's; not so a limit's. `word`: what does it (see `Note`), "" of a
    match.
    """

    text: str
    match: bool
    fixed: bool = False
    word: str = field(default="", compare=False)


Statement = (
    Match | Lookup | Chance | Remembered | Remember | Note | Mark | Dnat | Draw | Masquerade | Reject | Decide | Unknown
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its text as it is written, where (`file:line`), and what it means. `packets` is None if not counted."""

    text: str
    place: str
    statements: tuple[Statement, ...]
    comment: str = ""
    packets: int | None = None
    octets: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; one that the kernel itself calls has a `hook`, a `priority` (lower is earlier) and a `policy`.

    `nat`: its rules see a connection's first packet only.
    """

    name: str
    rules: Sequence[Rule] = ()
    hook: Hook | None = None
    priority: int = 0
    policy: Literal["accept", "drop"] = "accept"
    nat: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one family (nft's word: ip, ip6 or inet) with its chains and containers by name.

    `lacks`: what a listing of nft's leaves out of a table that iptables-nft made: nothing, the options of matches, or
    whole matches.
    """

    family: str
    name: str
    chains: Mapping[str, Chain]
    containers: Mapping[str, Container] = field(default_factory=dict)
    iptables: bool = False
    lacks: Literal["nothing", "options", "matches"] = "nothing"
