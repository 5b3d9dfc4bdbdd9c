"""Rules as a kernel holds them, in the order in which a packet meets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lab.model.address import Family


@dataclass(frozen=True, slots=True)
class Line:
    """A chain's head, one of its rules, an element of the map that a rule looks up, or an endpoint that it chooses.

    `depth`: how many jumps lead here. `packets` and `octets` are None where nothing counts.
    """

    kind: Literal["chain", "rule", "element", "endpoint"]
    depth: int
    table: str
    chain: str
    text: str = ""
    packets: int | None = None
    octets: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What one node has installed in one family, for one Service or for all; `tool` is what lists it."""

    node: str
    family: Family
    tool: str
    lines: tuple[Line, ...]
