"""The tasks `proxy.*`: kube-proxy's rules without a kernel, and what they do with a packet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke import Context  # noqa: TC002 - invoke reads the annotation

from lab.cli.output import look, note, show, show_json
from lab.cli.task import JSON, command
from lab.errors import TopologyError

if TYPE_CHECKING:
    from lab.model.journey import Explanation
    from lab.model.kubernetes import KubeProxyConfiguration
    from lab.parse.cluster_files import ClusterFiles

# What a task needs is imported when it runs: `invoke --list` shall not wait for all of it.
# ruff: noqa: PLC0415

OBJECTS = "a cluster's objects, as kubectl get -o yaml or -o json prints them; - is standard input; may be repeated"
CONFIG = "kube-proxy's configuration, or the ConfigMap that holds it; default: kube-proxy's defaults"
MODE = "kube-proxy's mode: iptables or nftables; default: the configuration's"
NODE = "the node whose rules are meant; default: the configuration's hostnameOverride"


@command(
    iterable=["objects", "rules", "local"],
    help={
        "objects": OBJECTS,
        "config": CONFIG,
        "rules": "instead of objects: what iptables-save or nft list ruleset (-j) printed on a real node; repeatable",
        "from": "who asks: an address, with a port or not",
        "to": "whom: address and port, such as 10.96.0.10:80 or [fd00::a]:80",
        "protocol": "tcp, udp or sctp",
        "mode": MODE,
        "node": NODE,
        "local": "an address of the node's own, beside those that its Node object has; may be repeated",
        "interface": "the interface that the packet comes in by; default: cbr0 or detectLocal's of a pod, else eth0",
        "all": "also the rules that did not match, and every way that is like another",
        "json": JSON,
    },
)
def explain(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    _: Context,
    objects: list[str],
    rules: list[str],
    local: list[str],
    config: str = "",
    from_: str = "",
    to: str = "",
    protocol: str = "tcp",
    mode: str = "",
    node: str = "",
    interface: str = "",
    all: bool = False,  # noqa: A002 - the option's name
    json: bool = False,
) -> None:
    """Tell what the rules do with a packet, step by step.

    Walks a connection's first packet through the rules in plain code: which chain, which rule and why, which
    endpoints with what probability, dropped or refused where. Needs no privileges. What is not known is named.
    """
    from lab.proxy.explain import packet_of
    from lab.report import explain as report

    if not from_ or not to:
        raise TopologyError("--from and --to: expected who asks whom", hint="--from 10.244.1.3 --to 10.96.0.10:80")
    packet = packet_of(from_, to, protocol)
    if bool(objects) == bool(rules):
        raise TopologyError("expected --objects FILE (and --config FILE), or --rules FILE")
    found = (
        _of_rules(rules, packet, node=node, local=local, interface=interface)
        if rules
        else _of_objects(objects, config, packet, node=node, mode=mode, local=local, interface=interface)
    )
    if json:
        show_json(report.data(found, every=all))
    else:
        show(report.text(found, look(), every=all))


@command(
    iterable=["objects"],
    help={
        "objects": OBJECTS,
        "config": CONFIG,
        "mode": MODE,
        "family": "ipv4 or ipv6",
        "node": NODE,
        "release": "whose rules: 1.36, or classic (the shape of 1.20, iptables only); default: 1.36",
        "no-counters": "leave out the matches that only count, as kube-proxy does on a kernel without nfacct",
    },
)
def render(
    _: Context,
    objects: list[str],
    config: str = "",
    mode: str = "",
    family: str = "ipv4",
    node: str = "",
    release: str = "1.36",
    no_counters: bool = False,
) -> None:
    """Print the rules that kube-proxy would install.

    As complete input for iptables-restore, ip6tables-restore or nft -f on a clean node. Needs no privileges. The rules
    of iptables mode name two counters, which have to be there: nfacct add ct_state_invalid_dropped_pkts; nfacct add
    localhost_nps_accepted_pkts.
    """
    from lab.parse.quick import uncollected
    from lab.proxy.stream import stream

    chosen = _mode(mode)
    if not objects:
        raise TopologyError("--objects is missing: expected a cluster's objects", hint=f"--objects FILE: {OBJECTS}")
    with uncollected():
        found, settings = _read(objects, config)
        pieces = stream(
            found,
            settings,
            _word("--family", family, "ipv4", "ipv6"),
            node=node,
            mode=chosen,
            release=_word("--release", release, "1.36", "classic"),
            counters=not no_counters,
        )
        _say_what_is_assumed(found, node or settings.hostname_override)
        for piece in pieces:
            sys.stdout.write(piece)
    sys.stdout.flush()


def _say_what_is_assumed(found: ClusterFiles, node: str) -> None:
    from lab.proxy.names import node_name

    if node and node_name(node) not in {one.metadata.name for one in found.nodes}:
        note(f"note: there is no Node {node} among the objects: its address is taken for loopback, as kube-proxy does")


def _read(files: list[str], config: str) -> tuple[ClusterFiles, KubeProxyConfiguration]:
    """Return the objects, and the configuration: the one in `config`, among the objects, or the defaults."""
    from lab.model.kubernetes import KubeProxyConfiguration
    from lab.parse import cluster_files

    if [*files, config].count(cluster_files.STDIN) > 1:
        raise TopologyError("standard input (-) is here twice; expected it once")
    found = cluster_files.load(files)
    if skipped := cluster_files.skipped_text(found.skipped):
        note(f"note: {skipped}")
    if config:
        return found, cluster_files.settings(config)
    if len(found.settings) > 1:
        raise TopologyError(f"there are {len(found.settings)} KubeProxyConfigurations; expected one, or --config FILE")
    return found, next(iter(found.settings), KubeProxyConfiguration())


def _of_rules(rules: list[str], packet: Any, **options: Any) -> Explanation:  # noqa: ANN401 - see `explain`
    from lab.parse import saved_rules
    from lab.proxy.explain import of_rules

    tables, missing = saved_rules.load(rules)
    for sentence in missing:
        note(f"note: {sentence}")
    return of_rules(tables, packet, **options)


def _of_objects(
    files: list[str],
    config: str,
    packet: Any,  # noqa: ANN401 - see `explain`
    *,
    mode: str,
    **options: Any,  # noqa: ANN401 - as above
) -> Explanation:
    from lab.proxy.explain import of_objects

    objects, settings = _read(files, config)
    return of_objects(objects, settings, packet, mode=_mode(mode), **options)


def _mode(text: str) -> Any:  # noqa: ANN401 - see `_word`
    return _word("--mode", text, "iptables", "nftables") if text else None


def _word(option: str, text: str, first: str, second: str) -> Any:  # noqa: ANN401 - a Literal of lab.model
    if text not in (first, second):
        raise TopologyError(f"{option} {text[:80]!r}: expected {first} or {second}")
    return text


def every() -> Sequence[Any]:
    """Return the tasks of this collection."""
    return (render, explain)
