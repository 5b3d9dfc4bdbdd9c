"""Expectations: every name that they use must mean something in the lab."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec import structs

from lab import shares, words
from lab.controllers.deployments import pods_of
from lab.errors import TopologyError
from lab.model.lab import Expectation, FlowExpectation, MarkExpectation, RulesExpectation
from lab.parse.check import convert
from lab.parse.kinds import KINDS
from lab.parse.kinds import find as find_object
from lab.parse.mistake import LAB, Mistakes, did_you_mean, listed, show, show_path
from lab.parse.place import Kind, Place, find, places
from lab.parse.target import destination_among, sources_among, target_among

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.model.cluster import Cluster
    from lab.model.kubernetes import Deployment
    from lab.model.lab import Outcome, Step, When
    from lab.parse.mistake import Path

POD: tuple[Kind, ...] = ("pod",)


def check(cluster: Cluster, out: Mistakes) -> None:
    """Report the names of expectations that mean nothing, and answers that are expected beside an error."""
    if not cluster.spec.expect:
        return
    known = places(cluster)
    for index, one in enumerate(cluster.spec.expect):
        _expectation(_meant(cluster, one.when), known, one, ("spec", "expect", index), out)


def read(cluster: Cluster, said: dict[str, Any]) -> Expectation:
    """Return an expectation that is not in a topology but written as plain data, with the topology's words.

    `said` is used up. Raises `TopologyError` with every mistake, as `expect: path.to.field: what is wrong`.
    """
    out = Mistakes()
    one: Expectation | None = convert(Expectation, said, LAB, out)
    if one is not None and not out.kept:
        _expectation(_meant(cluster, one.when), places(cluster), one, (), out)
    if one is None or out.kept:
        raise TopologyError([": ".join(filter(None, ("expect", show_path(each.path), each.text))) for each in out.kept])
    return one


def judge(cluster: Cluster, one: Expectation, path: Path, out: Mistakes) -> None:
    """Report what an expectation, which stands at `path` of another document, names and means nothing in a lab."""
    _expectation(_meant(cluster, one.when), places(cluster), one, path, out)


def _meant(cluster: Cluster, when: When) -> Cluster:
    """Return the lab that an expectation is for: how it is wired decides which interfaces a node has."""
    network = cluster.spec.network
    wired = structs.replace(network, plugin=when.plugin or network.plugin, overlay=when.overlay or network.overlay)
    spec = structs.replace(cluster.spec, network=wired)
    return cluster if wired == network else replace(cluster, lab=structs.replace(cluster.lab, spec=spec))


def _try(out: Mistakes, path: Path, resolve: Callable[[], object]) -> None:
    try:
        resolve()
    except TopologyError as error:
        out.add(LAB, path, error.message, certain=False)


def askers(cluster: Cluster, known: list[Place], text: str) -> tuple[Place, ...]:
    """Return who asks: the place that `text` names, or each pod of `deploy/NAME`.

    Raises `TopologyError` with the nearest name, or if the Deployment has no pods.
    """
    kind, slash, name = text.partition("/")
    if not slash or KINDS.get(kind.lower()) != "Deployment":
        return (target_among(known, text),)
    pods = pods_of(cluster, cast("Deployment", find_object(cluster, "Deployment", name)))
    if not pods:
        raise TopologyError(f"{show(text)} has no pods; expected one that asks")
    return tuple(target_among(known, f"pod/{pod.metadata.namespace}/{pod.metadata.name}") for pod in pods)


Wanted = TypeVar("Wanted", bound="Expectation | Step")


def in_short(known: list[Place], one: Wanted) -> Wanted:
    """Return an expectation, or a step of one, with its pods and places as replies and journeys name them.

    Raises `TopologyError` with the nearest name.
    """
    if one.answer is not None:
        by = (one.answer.by,) if isinstance(one.answer.by, str) else one.answer.by
        pods = tuple(find(known, name, kinds=POD).short for name in by)
        one = structs.replace(one, answer=structs.replace(one.answer, by=pods))
    if (wanted := one.story) is not None:
        from lab.controllers import journeys  # noqa: PLC0415 - as in `_traced`

        one = structs.replace(one, journey=journeys.in_short(known, wanted))
    return one


def _expectation(cluster: Cluster, known: list[Place], one: Expectation, path: Path, out: Mistakes) -> None:
    _try(out, (*path, "from"), partial(askers, cluster, known, one.from_))
    _try(out, (*path, "to"), partial(_to, cluster, known, one))
    every = (one, *one.then)
    if one.local_port and any(part.shares for part in every):
        text = "shares need many requests, which cannot all have one port; expected one of the two"
        out.add(LAB, (*path, "localPort"), text)
    if one.size and any(part.shares or (part.answer and (part.answer.by or part.answer.source)) for part in every):
        text = "who answers with so many bytes is not known; expected neither `by` nor `source` nor `shares`"
        out.add(LAB, (*path, "size"), text)
    if one.connections and (
        one.local_port or one.protocol == "udp" or any(part.shares or part.traced for part in every)
    ):
        text = (
            "several connections are TCP's, from ports of their own, and each must be answered; expected nothing else"
        )
        out.add(LAB, (*path, "connections"), text)
    if one.answer and one.answer.again is not None:
        out.add(LAB, (*path, "answer", "again"), "nothing was asked before; expected it in a step of `then`")
    _outcome(cluster, known, one, path, out)
    _single(cluster, known, one, path, out)
    for number, step in enumerate(one.then):
        where: Path = (*path, "then", number)
        if step.answer and step.answer.again is False:
            _dice(cluster, known, one, step, where, out)
        for name in step.change:
            _try(out, (*where, "change", name), partial(find, known, name, kinds=POD))
        _outcome(cluster, known, step, where, out)


def _single(cluster: Cluster, known: list[Place], one: Expectation, path: Path, out: Mistakes) -> None:
    """Report what only one request's journey tells, where many are made."""
    parts: list[tuple[Path, Outcome]] = [(path, one)]
    parts += [((*path, "then", number), step) for number, step in enumerate(one.then)]
    looking = [(where, part) for where, part in parts if part.traced]
    for where, part in looking:
        if part.shares:
            text = "shares need many requests, and a mark, rules or a journey are those of one; expected one of the two"
            out.add(LAB, (*where, "shares"), text)
    try:
        several = len(askers(cluster, known, one.from_)) > 1
    except TopologyError:  # said already, of `from`
        several = False
    if several and looking:
        out.add(LAB, (*path, "from"), "a mark, rules or a journey are those of one request; expected one that asks")


def _dice(cluster: Cluster, known: list[Place], one: Expectation, step: Step, where: Path, out: Mistakes) -> None:
    """Report `again: false` with so few askers that a fair choice may well give all of them the same pods again."""
    by = step.answer.by if step.answer else ()
    pods = max(2, len(by)) if isinstance(by, tuple) else 2
    enough = shares.requests_to_rule_out(1 / pods)
    try:
        number = len(askers(cluster, known, one.from_))
    except TopologyError:  # said already, of `from`
        return
    if number < enough:
        text = (
            f"chance may well give {words.count(number, 'asker')} the same of {pods} pods again;"
            f" expected {enough} or more askers (deploy/NAME: each pod of it asks)"
        )
        out.add(LAB, (*where, "answer", "again"), text)


def _outcome(cluster: Cluster, known: list[Place], one: Outcome, path: Path, out: Mistakes) -> None:
    """Report what an expectation, or a step of it, says of its outcome and means nothing."""
    if one.error and (one.answer or one.shares):
        text = "an error and an answer are expected at once; expected one of the two"
        out.add(LAB, (*path, "error"), text)
    if one.answer:
        by = one.answer.by
        where: Path = (*path, "answer", "by")
        named = [(where, by)] if isinstance(by, str) else [((*where, number), name) for number, name in enumerate(by)]
        for place, name in named:
            _try(out, place, partial(find, known, name, kinds=POD))
        if one.answer.source:
            _try(out, (*path, "answer", "source"), partial(sources_among, cluster, known, one.answer.source))
    for where, flow in _numbered((*path, "flow"), one.flow):
        _flow(cluster, known, flow, where, out)
    for where, mark in _numbered((*path, "mark"), one.mark):
        _node(cluster, mark.node, where, out)
    if one.traced:
        _traced(cluster, known, one, path, out)


def _traced(cluster: Cluster, known: list[Place], one: Outcome, path: Path, out: Mistakes) -> None:
    """Report what an expectation says of a request's rules and journey and means nothing."""
    from lab.controllers import journeys  # noqa: PLC0415 - few expect such things, and it knows rules

    for where, rules in _numbered((*path, "rules"), one.rules):
        _node(cluster, rules.node, where, out)
        for below, text, certain in journeys.wrong_rules(rules.hit):
            out.add(LAB, (*where, "hit", *below), text, certain=certain)
    for below, text, certain in journeys.wrong(known, one):
        out.add(LAB, (*path, "journey", *below), text, certain=certain)


Asked = TypeVar("Asked", FlowExpectation, MarkExpectation, RulesExpectation)


def _numbered(path: Path, wanted: Asked | tuple[Asked, ...]) -> list[tuple[Path, Asked]]:
    """Return what is expected with the place of each, whether one is written or a list."""
    if isinstance(wanted, tuple):
        return [((*path, number), one) for number, one in enumerate(wanted)]
    return [(path, wanted)]


def _to(cluster: Cluster, known: list[Place], one: Expectation) -> None:
    try:
        asker: Place | None = askers(cluster, known, one.from_)[0]
    except TopologyError:  # said already, of `from`
        asker = None
    destination_among(known, one.to, source=asker, protocol=one.protocol, port=one.port, family=one.family)


def _node(cluster: Cluster, name: str, path: Path, out: Mistakes) -> None:
    nodes = [node.metadata.name for node in cluster.nodes]
    if name not in nodes:
        text = f"there is no node {show(name)}; expected {listed(nodes)}{did_you_mean(name, nodes)}"
        out.add(LAB, (*path, "node"), text, certain=False)


def _flow(cluster: Cluster, known: list[Place], flow: FlowExpectation, path: Path, out: Mistakes) -> None:
    _node(cluster, flow.node, path, out)
    for name, value in (("dnat", flow.dnat), ("snat", flow.snat)):
        if isinstance(value, str):
            _try(out, (*path, name), partial(sources_among, cluster, known, value))
