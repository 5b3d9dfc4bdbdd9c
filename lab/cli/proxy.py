"""The tasks `proxy.*`: kube-proxy's rules without a kernel, and what they do with a packet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from invoke import Context

from lab.cli.output import look, note, show, show_json
from lab.cli.task import JSON, command
from lab.errors import TopologyError

if TYPE_CHECKING:
    from lab.model.proxy_config import KubeProxyConfiguration
    from lab.model.walk import Explanation
    from lab.parse.cluster_files import ClusterFiles
    from lab.proxy.explain import Asked


OBJECTS = "a cluster's objects, as kubectl get -o yaml or -o json prints them; - is standard input; may be repeated"
CONFIG = "kube-proxy's configuration, or the ConfigMap that holds it; default: kube-proxy's defaults"
MODE = "kube-proxy's mode: iptables or nftables; default: the configuration's"
NODE = "the node whose rules are meant; default: the configuration's hostnameOverride"


@command(
    iterable=["objects", "rules", "local"],
    help={
        "objects": OBJECTS,
        "config": CONFIG,
        "rules": "the rules of a real node: what iptables-save -c or nft -j list ruleset printed; may be repeated; "
        "--objects then only tell names and the node's addresses",
        "from": "who asks: an address, with a port or not, or a name in the objects (web-1, node/node-1)",
        "to": "whom: address and port (10.96.0.10:80, [fd00::a]:80), or a name in the objects (svc/web, svc/web:http)",
        "protocol": "tcp, udp or sctp; default: that of the port that --to names, else tcp",
        "mode": MODE,
        "node": "the node that the packet comes to; default: hostnameOverride, else where the sender or --to is",
        "release": "whose rules: 1.36, or classic (the shape of 1.20, iptables only); default: 1.36",
        "local": "an address of the node's own, beside those that its Node object has; may be repeated",
        "interface": "the interface that the packet comes in by; default: cbr0 or detectLocal's of a pod, else eth0",
        "out-interface": "the interface that it leaves by; default: as for --interface, of its destination",
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
    protocol: str = "",
    mode: str = "",
    node: str = "",
    release: str = "",
    interface: str = "",
    out_interface: str = "",
    all: bool = False,  # noqa: A002 - the option's name
    json: bool = False,
) -> None:
    """Tell what the rules do with a packet, step by step.

    Walks a connection's first packet through the rules in plain code: which chain, which rule and why, which
    endpoints with what probability, dropped or refused where. Needs no privileges. A question that nobody can answer
    from here (an ipset's elements, say) is named, and both answers are followed.
    """
    from lab.proxy.explain import Asked
    from lab.report import explain as report

    _refuse_gaps(objects, rules, from_, to)
    asked = Asked(node=node, local=local, interface=interface, out_interface=out_interface)
    question = (from_, to, protocol)
    if rules:
        if mode or release:
            given = " and ".join(f"{name} {text}" for name, text in (("--mode", mode), ("--release", release)) if text)
            raise TopologyError(f"{given}: the rules of --rules are what they are; expected neither beside them")
        found = _of_rules(rules, objects, config, question, asked)
    else:
        found = _of_objects(objects, config, question, asked, mode=mode, release=release)
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
    from lab.kernel.limits import widen
    from lab.parse.quick import uncollected
    from lab.proxy.stream import stream

    chosen = _one_of("--mode", mode) if mode else None
    if not objects:
        raise TopologyError("--objects is missing: expected a cluster's objects", hint=f"--objects FILE: {OBJECTS}")
    with uncollected():
        found, settings = _read(objects, config)
        pieces = stream(
            found,
            settings,
            _one_of("--family", family),
            node=node,
            mode=chosen,
            release=_one_of("--release", release),
            counters=not no_counters,
        )
        _say_what_is_assumed(found, node or settings.hostname_override)
        widen(sys.stdout)
        for piece in pieces:
            sys.stdout.write(piece)
    sys.stdout.flush()


def _say_what_is_assumed(found: ClusterFiles, node: str) -> None:
    from lab.proxy.names import node_name

    if node and node_name(node) not in {one.metadata.name for one in found.nodes}:
        note(f"note: there is no Node {node} among the objects: its address is taken for loopback, as kube-proxy does")


def _read(files: list[str], config: str) -> tuple[ClusterFiles, KubeProxyConfiguration]:
    """Return the objects, and the configuration: the one in `config`, among the objects, or the defaults."""
    from lab.model.proxy_config import KubeProxyConfiguration
    from lab.parse import cluster_files

    _once([*files, config])
    found = cluster_files.load(files)
    if skipped := cluster_files.skipped_text(found.skipped):
        note(f"note: {skipped}")
    if "Endpoints" in found.skipped and not found.slices:
        note("note: there are Endpoints, but no EndpointSlices, and kube-proxy reads only these: nothing has endpoints")
    settings, unknown = cluster_files.settings(config) if config else (None, found.unknown)
    for sentence in unknown:
        note(f"note: {sentence}")
    if settings:
        return found, settings
    if len(found.settings) > 1:
        raise TopologyError(f"there are {len(found.settings)} KubeProxyConfigurations; expected one, or --config FILE")
    return found, next(iter(found.settings), KubeProxyConfiguration())


def _refuse_gaps(objects: list[str], rules: list[str], source: str, to: str) -> None:
    if not source or not to:
        raise TopologyError("--from and --to: expected who asks whom", hint="--from 10.244.1.3 --to 10.96.0.10:80")
    if not objects and not rules:
        raise TopologyError(
            "expected --objects FILE (and --config FILE), or --rules FILE",
            hint="kubectl get nodes,services,endpointslices -A -o json prints objects; iptables-save -c, rules",
        )


def _once(files: list[str]) -> None:
    """Raise `TopologyError` if standard input is to be read twice."""
    from lab.parse.files import STDIN

    if files.count(STDIN) > 1:
        raise TopologyError("standard input (-) is here twice; expected it once")


def _of_rules(
    rules: list[str], files: list[str], config: str, question: tuple[str, str, str], asked: Asked
) -> Explanation:
    from lab.parse import saved_rules
    from lab.parse.asked import packet_of
    from lab.proxy.explain import of_rules

    _once([*rules, *files, config])
    objects, settings = _read(files, config) if files or config else (None, None)
    packet = packet_of(*question, objects)
    tables, missing = saved_rules.load(rules)
    for sentence in missing:
        note(f"note: {sentence}")
    return of_rules(tables, packet, asked, objects=objects, settings=settings)


def _of_objects(
    files: list[str], config: str, question: tuple[str, str, str], asked: Asked, *, mode: str, release: str
) -> Explanation:
    from lab.parse.asked import packet_of
    from lab.parse.quick import uncollected
    from lab.proxy.explain import of_objects

    chosen = _one_of("--mode", mode) if mode else None
    whose = _one_of("--release", release or "1.36")
    with uncollected():
        objects, settings = _read(files, config)
        return of_objects(objects, settings, packet_of(*question, objects), asked, mode=chosen, release=whose)


def _one_of(name: str, text: str) -> Any:  # noqa: ANN401 - a Literal of lab.model
    """Return what an option says, which is one of a few words; raises `TopologyError` if it is none."""
    from lab.model.address import Family
    from lab.model.lab import Mode, Release
    from lab.parse import option

    option.check(name, text, get_args({"--mode": Mode, "--release": Release, "--family": Family}[name]))
    return text


def every() -> Sequence[Any]:
    """Return the tasks of this collection."""
    return (render, explain)
