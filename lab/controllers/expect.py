"""Expectations: every name that they use must mean something in the lab."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lab.errors import TopologyError
from lab.model.lab import FlowExpectation
from lab.parse.mistake import LAB, did_you_mean, listed, show
from lab.parse.place import Kind, Place, find, places
from lab.parse.target import destination_among, sources_among, target_among

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.model.cluster import Cluster
    from lab.model.lab import Expectation
    from lab.parse.mistake import Mistakes, Path

POD: tuple[Kind, ...] = ("pod",)


def check(cluster: Cluster, out: Mistakes) -> None:
    """Report the names of expectations that mean nothing, and answers that are expected beside an error."""
    if not cluster.spec.expect:
        return
    known = places(cluster)
    for index, one in enumerate(cluster.spec.expect):
        _expectation(cluster, known, one, ("spec", "expect", index), out)


def _try(out: Mistakes, path: Path, resolve: Callable[[], object]) -> None:
    try:
        resolve()
    except TopologyError as error:
        out.add(LAB, path, error.message, certain=False)


def _expectation(cluster: Cluster, known: list[Place], one: Expectation, path: Path, out: Mistakes) -> None:
    if one.error and (one.answer or one.shares):
        text = "an error and an answer are expected at once; expected one of the two"
        out.add(LAB, (*path, "error"), text)
    _try(out, (*path, "from"), partial(target_among, known, one.from_))
    _try(out, (*path, "to"), partial(_to, known, one))
    if one.answer:
        by = one.answer.by
        where: Path = (*path, "answer", "by")
        named = [(where, by)] if isinstance(by, str) else [((*where, number), name) for number, name in enumerate(by)]
        for place, name in named:
            _try(out, place, partial(find, known, name, kinds=POD))
        if one.answer.source:
            _try(out, (*path, "answer", "source"), partial(sources_among, cluster, known, one.answer.source))
    if isinstance(one.flow, FlowExpectation):
        _flow(cluster, known, one.flow, (*path, "flow"), out)
    else:
        for number, flow in enumerate(one.flow):
            _flow(cluster, known, flow, (*path, "flow", number), out)


def _to(known: list[Place], one: Expectation) -> None:
    try:
        asker = target_among(known, one.from_)
    except TopologyError:  # said already, of `from`
        asker = None
    destination_among(known, one.to, source=asker, protocol=one.protocol, port=one.port)


def _flow(cluster: Cluster, known: list[Place], flow: FlowExpectation, path: Path, out: Mistakes) -> None:
    nodes = [node.metadata.name for node in cluster.nodes]
    if flow.node not in nodes:
        text = f"there is no node {show(flow.node)}; expected {listed(nodes)}{did_you_mean(flow.node, nodes)}"
        out.add(LAB, (*path, "node"), text, certain=False)
    for name, value in (("dnat", flow.dnat), ("snat", flow.snat)):
        if isinstance(value, str):
            _try(out, (*path, name), partial(sources_among, cluster, known, value))
