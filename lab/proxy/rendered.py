"""A Service's rules as they would be on a node, in the shape of those that stand: no kernel is asked, none counts."""

from __future__ import annotations

from dataclasses import replace

from lab.model.cluster import Cluster
from lab.model.installed import Installed
from lab.model.kubernetes import Service
from lab.parse import saved_rules
from lab.proxy import installed
from lab.proxy.node import node_rules
from lab.proxy.partial import interfaces, of_service

TOOL = "rendered, not installed"
"""What `Installed` says instead of a program that lists rules."""


def rules(cluster: Cluster, node: str, of: Service | None) -> tuple[Installed, ...]:
    """Return what kube-proxy would install on a node for a Service, or, for None, what all Services share.

    Raises what `lab.proxy.node.render` raises.
    """
    found = []
    for ruleset in node_rules(cluster, node, interfaces=interfaces(cluster, node)):
        tables, _ = saved_rules.read(ruleset.restore_text(), f"rules of {node}")
        only = of_service(cluster, node, ruleset.family, of.metadata.key) if of else None
        lines = tuple(replace(line, packets=None, octets=None) for line in installed.lines(tables, only))
        found.append(Installed(node=node, family=ruleset.family, tool=TOOL, lines=lines))
    return tuple(found)
