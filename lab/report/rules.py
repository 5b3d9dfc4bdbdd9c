"""Installed rules, chain under chain, with their counters; and drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab import words
from lab.model.address import FAMILY_NAMES, Family
from lab.model.cluster import cluster_ips
from lab.model.labels import PROXY_NAME
from lab.model.status import shown
from lab.report.table import PLAIN, Look, paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.drift import Difference
    from lab.model.installed import Installed, Line
    from lab.model.kubernetes import Service

BY_FLOWS = "kube-proxy's nftables rules have no counters: these are of the flows that conntrack holds now"


def text(installed: Sequence[Installed], look: Look = PLAIN, service: Service | None = None) -> str:
    """Return the rules of each node and family, indented by jumps, packets and bytes before each rule.

    `service` is the one that they were looked for of: where there are none, the text says why.
    """
    blocks = [_block(one, look) for one in installed if one.lines]
    return "\n\n".join(blocks) or _none(service)


def _none(service: Service | None) -> str:
    if service is None:
        return "no rules"
    name = f"Service {shown(service.metadata)}"
    if service.spec.type == "ExternalName":
        return f"no rules: {name} is an ExternalName, an alias in DNS; kube-proxy leaves it alone"
    if not any(cluster_ips(service)):
        return f"no rules: {name} is headless, its name resolves to its pods; kube-proxy leaves it alone"
    if PROXY_NAME in service.metadata.labels:
        return f"no rules: {name} has the label {PROXY_NAME}: another proxy takes care of it"
    return f"no rules for {name} on the nodes: invoke lab.drift shows what is missing"


def _block(one: Installed, look: Look) -> str:
    title = paint(f"{one.node}, {FAMILY_NAMES[one.family]}, {one.tool}", "bold", look)
    if not any(line.packets is not None for line in one.lines):
        return "\n".join([title, *(f"  {_words(line, look)}" for line in one.lines)])
    packets = max(7, *(len(f"{line.packets or 0}") for line in one.lines))
    octets = max(5, *(len(f"{line.octets or 0}") for line in one.lines))
    rows = [paint(f"{'PACKETS':>{packets}} {'BYTES':>{octets}}  RULE", "bold", look)]
    for line in one.lines:
        count = ("", "") if line.packets is None else (str(line.packets), str(line.octets))
        rows.append(f"{count[0]:>{packets}} {count[1]:>{octets}}  {_words(line, look)}")
    return "\n".join([title, *rows])


def _words(line: Line, look: Look) -> str:
    """Return a chain's head in bold, a rule or an element as it is listed, behind two blanks for each jump."""
    if line.kind == "chain":
        return "  " * line.depth + paint(f"{line.table} {line.chain}", "bold", look)
    return "  " * line.depth + (words.line(line.text) if line.kind == "rule" else f"{line.kind} {line.text}")


def data(installed: Sequence[Installed]) -> list[dict[str, Any]]:
    """Return an object for each node and family.

    Keys: `node`, `family`, `tool`, `lines` (each `kind`, chain, rule, element or endpoint, `depth`, `table`, `chain`,
    `text`, `packets` and `bytes`, null where nothing counts).
    """
    return [
        {
            "node": one.node,
            "family": one.family,
            "tool": one.tool,
            "lines": [
                {
                    "kind": line.kind,
                    "depth": line.depth,
                    "table": line.table,
                    "chain": line.chain,
                    "text": line.text,
                    "packets": line.packets,
                    "bytes": line.octets,
                }
                for line in one.lines
            ],
        }
        for one in installed
    ]


def drift_text(found: Sequence[tuple[str, Family, Sequence[Difference]]], look: Look = PLAIN) -> str:
    """Return a line for each difference under its node and family, or that there is none."""
    parts = []
    for node, family, differences in found:
        if differences:
            title = f"{node}, {FAMILY_NAMES[family]}: {words.count(len(differences), 'difference')}"
            rows = [f"  {words.line(str(one))}" for one in differences]
            parts.append("\n".join([paint(title, "bold", look), *rows]))
    return "\n\n".join(parts) or "every rule is as it should be"


def drift_data(found: Sequence[tuple[str, Family, Sequence[Difference]]]) -> list[dict[str, Any]]:
    """Return an object for each difference: `node`, `family`, `kind`, `thing`, `table`, `chain`, `text`."""
    return [
        {
            "node": node,
            "family": family,
            "kind": one.kind,
            "thing": one.thing,
            "table": one.table,
            "chain": one.chain,
            "text": one.text,
        }
        for node, family, differences in found
        for one in differences
    ]
