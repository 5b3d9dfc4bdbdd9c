"""A plan in numbers: what `lab.plan.describe` prints in full."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from lab import words
from lab.model.ops import Rules
from lab.report.table import PLAIN, Look, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.ops import Op

# The order in which people think of them.
NOUNS = {
    "Namespace": ("network namespace", ""),
    "Bridge": ("bridge", ""),
    "Veth": ("veth pair", ""),
    "Vxlan": ("VXLAN device", ""),
    "Address": ("address", "addresses"),
    "Route": ("route", ""),
    "Neighbour": ("permanent neighbour", ""),
    "Fdb": ("FDB entry", "FDB entries"),
    "Sysctl": ("sysctl", ""),
    "Rules": ("rule set", ""),
    "Hosts": ("set of names", "sets of names"),
    "Serve": ("server", ""),
    "Run": ("process", "processes"),
    "Health": ("health check", ""),
    "Delete": ("deletion", ""),
    "Close": ("server that ends", "servers that end"),
    "Remove": ("network namespace that goes", "network namespaces that go"),
}

_NFT_CHAIN = re.compile(r"^\tchain .* \{\n((?:\t\t.*\n)*)\t\}$", re.MULTILINE)


def text(ops: Sequence[Op], look: Look = PLAIN) -> str:
    """Return one sentence: how many ops of each kind there are, and how many rules."""
    counts = Counter(type(op).__name__ for op in ops)
    parts = [words.count(counts[kind], *noun) for kind, noun in NOUNS.items() if counts[kind]]
    if rules := sum(_rules(op) for op in ops if isinstance(op, Rules)):
        parts.append(words.count(rules, "rule"))
    return wrap(words.several(parts, "and") or "nothing to do", look.width)


def _rules(op: Rules) -> int:
    """Return how many rules there are in what iptables-restore, or nft, is given."""
    if op.tool != "nft":
        return sum(line.startswith("-A ") for line in op.text.splitlines())
    bodies = _NFT_CHAIN.findall(op.text)
    return sum(not line.startswith(("\t\ttype ", "\t\tcomment ")) for body in bodies for line in body.splitlines())


def data(ops: Sequence[Op]) -> dict[str, int]:
    """Return how many ops of each kind there are, by the kind's name in small letters (`lab.model.ops`)."""
    return {kind.lower(): number for kind, number in Counter(type(op).__name__ for op in ops).items()}
