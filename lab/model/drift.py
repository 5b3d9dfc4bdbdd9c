"""Drift: what differs between the rules that a node should have and those that its kernel holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["missing", "extra", "changed", "order"]
"""`missing`: wanted and not there; `extra`: there and not wanted; `order`: all there, in another order."""

Thing = Literal["table", "chain", "rule", "jump", "set", "element", "rules"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `table` and `chain` (or set) say where, `text` is the rule or element, "" for the whole of it.

    `jump` is a rule of ours in a built-in chain, which leads a packet into our chains.
    """

    kind: Kind
    thing: Thing
    table: str
    chain: str
    text: str = ""

    def __str__(self) -> str:
        """Return a sentence, such as `nat KUBE-SERVICES: rule is missing: -d 10.96.0.10/32 ...`."""
        said = {
            "missing": f"{self.thing} is missing",
            "extra": f"{self.thing} that nobody wants",
            "changed": f"{self.thing} is not as it should be",
            "order": f"{self.thing} are in another order",
        }[self.kind]
        place = f"{self.table} {self.chain}".strip()
        return f"{place}: {said}: {self.text}" if self.text else f"{place}: {said}"
