"""A lab in a program's hand: as a context, or one that stands."""

from __future__ import annotations

import os
import re
import secrets
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, TypedDict, Unpack

from lab import catalogue, edits
from lab.api import expecting
from lab.api.expecting import Expected, Judged
from lab.api.place import Place
from lab.check import Verdict, check
from lab.controllers.adopt import choice_of
from lab.model.address import IPAddress
from lab.model.cluster import Cluster
from lab.model.flow import Flow
from lab.model.lab import HairpinMode, Mode, Overlay, Plugin, Release, Variant
from lab.model.status import Status
from lab.packets import capture
from lab.parse import kinds
from lab.parse import target as targets
from lab.parse.files import text_of
from lab.standing import installed, live, logbook, observe, session
from lab.standing.meter import silently
from lab.standing.sync import Drift
from lab.topology import Completed

LONGEST_NAME = 63


class Settings(TypedDict, total=False):
    """The options of `lab.up`; what is left out is as the topology has it.

    `run_commands`: run the commands of the pods' containers, as you and on this machine's files. `from_`: the topology
    is a file of a real cluster's objects, as kubectl prints them; `only`: what is in these namespaces of it, `limit`:
    how many pods with a network of their own at most (0: all).
    """

    mode: Mode
    iptables: Variant
    hairpin_mode: HairpinMode
    plugin: Plugin
    overlay: Overlay
    release: Release
    run_commands: bool
    from_: bool
    only: Sequence[str]
    limit: int


@contextmanager
def up(topology: str | os.PathLike[str], *, name: str = "", **settings: Unpack[Settings]) -> Iterator[Lab]:
    """Build a lab and give it when every pod answers; it ends with the block, however that ends (but see `Lab.keep`).

    `topology`: the name of one that comes along, a folder or file, or, if the text has several lines, the YAML itself.
    `name`: the lab's, "" for one that nobody else has. Raises `TopologyError` for mistakes in the topology or a name
    that is taken, `HostError` for what the machine lacks, `KernelError` if it refuses; then nothing stays behind.
    """
    source = _text(topology)
    chosen = _chosen(source, **settings)
    lab = Lab(name or unique(chosen.cluster.name))
    shown = catalogue.INLINE if "\n" in source else source
    with session.passing(chosen.cluster, name=lab.name, source=shown, notes=chosen.notes, stays=lambda: lab.kept):
        yield lab


def _chosen(
    source: str,
    *,
    run_commands: bool = False,
    from_: bool = False,
    only: Sequence[str] = (),
    limit: int | None = None,
    **settings: str,
) -> Completed:
    choice = choice_of(only, limit, from_=from_)
    chosen = catalogue.choose_cluster(source, choice, **settings) if choice else catalogue.choose(source, **settings)
    return catalogue.with_commands(chosen) if run_commands else chosen


def attach(name: str = "") -> Lab:
    """Return a lab that stands; `name` "" is $HAIRPIN_LAB, or the only one. Raises `TopologyError` if there is none."""
    return Lab(session.attach(name or None).name)


def unique(name: str) -> str:
    """Return a lab's name that begins like `name` and that nobody else has."""
    token = secrets.token_hex(4)
    short = re.sub(r"[^a-z0-9]+", "-", name.lower())[: LONGEST_NAME - len(token) - 1].strip("-")
    return f"{short}-{token}".lstrip("-")


class Lab:
    """A lab that stands. Every call looks at it as it is at that time, whoever has changed it meanwhile.

    Names are those that the commands take; one that means nothing raises `TopologyError` with the nearest.
    """

    def __init__(self, name: str) -> None:
        """Stand for the lab `name`; see `up` and `attach`."""
        self.name = name
        self.kept = False

    def __repr__(self) -> str:
        return f"Lab({self.name!r})"

    def keep(self) -> None:
        """Let the lab stand when the block of `up` ends: `hairpin lab.shell --lab NAME` enters it then."""
        self.kept = True

    @property
    def standing(self) -> session.Standing:
        """The lab as Hairpin's own parts know it."""
        return session.attach(self.name)

    @property
    def cluster(self) -> Cluster:
        """The lab's objects, complete."""
        return self.standing.cluster

    @property
    def names(self) -> dict[IPAddress, str]:
        """A name for each address: `web-1`, `svc/web`, `node-1`, `node-1/cbr0`, `client`."""
        return observe.names(self.standing)

    def place(self, text: str) -> Place:
        """Return what `text` names: `web-1`, `pod/kube-system/coredns-1`, `node/node-1`, `client`, `router`."""
        found = targets.target(self.cluster, text)
        return Place(lab=self.name, name=found.typed, addresses=found.addresses)

    def pod(self, name: str) -> Place:
        """Return a pod: `web-1`, or `NAMESPACE/NAME`."""
        return self.place(f"pod/{name.removeprefix('pod/')}")

    def node(self, name: str) -> Place:
        """Return a node."""
        return self.place(f"node/{name.removeprefix('node/')}")

    def client(self, name: str) -> Place:
        """Return a machine outside the cluster."""
        return self.place(f"client/{name.removeprefix('client/')}")

    def conntrack(self, *, source: str = "") -> tuple[Flow, ...]:
        """Return every node's flows, or those begun by `source`: a pod, node, client, `node-1/cbr0`, an address."""
        return observe.flows(self.standing, [], source)

    def apply(self, objects: str | os.PathLike[str]) -> live.Changed:
        """Create or change objects: a file, or, if the text has several lines, the YAML itself."""
        text, source = _text(objects), catalogue.INLINE
        if "\n" not in text:
            text, source = text_of(text)
        return self._change(lambda cluster: edits.apply(cluster, text, source))

    def delete(self, kind: str, name: str) -> live.Changed:
        """Delete an object: `delete("pod", "web-1")`."""
        return self._change(lambda cluster: edits.delete(cluster, kinds.kind_of(kind), name))

    def scale(self, deployment: str, replicas: int) -> live.Changed:
        """Give a Deployment so many pods."""
        return self._change(lambda cluster: edits.scale(cluster, deployment, replicas))

    def condition(self, pod: str, word: Literal["ready", "unready", "terminating"]) -> live.Changed:
        """Make a pod ready, unready or terminating; it answers all the same."""
        return self._change(lambda cluster: edits.condition(cluster, pod, word, now=live.moment()))

    def _change(self, edit: Callable[[Cluster], Cluster]) -> live.Changed:
        return live.change(self.standing, edit, silently)

    def sync(self, *, node: str = "") -> None:
        """Write all rules anew, on one node or on every one: hand edits in kube-proxy's chains vanish."""
        installed.rewrite(self.standing, silently, node=node)

    def drift(self, *, node: str = "") -> tuple[Drift, ...]:
        """Return where installed rules differ from the wanted ones; nothing if they do not."""
        return tuple(one for one in installed.drift(self.standing, node=node) if one.differences)

    def status(self) -> Status:
        """Return what stands, and whether each pod answers."""
        return observe.status(self.standing)

    def logs(self, *, pod: str = "", tail: int = 0) -> list[str]:
        """Return the log's lines, a line for each request that a pod served; of one pod, or the last `tail`."""
        return logbook.lines(self.standing, pod=pod, tail=tail)

    def capture(
        self, file: str | os.PathLike[str], *targets: str, expression: str = ""
    ) -> AbstractContextManager[capture.Capture]:
        """Capture packets while a block runs, into a new pcapng file: on `targets` (none: everywhere).

        `expression`: which packets, in pcap-filter(7)'s language.
        """
        return capture.running(self.standing, targets or [capture.ALL], write=file, expression=expression)

    def check(self) -> Verdict:
        """Judge what the topology expects; `expect_all` raises for what does not hold."""
        return check(self.standing, silently)

    def expect_all(self) -> Verdict:
        """Judge what the topology expects; raises `ExpectationError` for what does not hold."""
        __tracebackhide__ = True  # pytest then shows the line that expects
        return expecting.topology(self.standing)

    def expect(self, *, from_: str, to: str, **said: Unpack[Expected]) -> Judged:
        """Make a request and judge what comes of it, in the words that `expect` has in a topology.

        Returns the findings, of each step of `then` too; none if `when` means other labs.
        Raises `ExpectationError` if one does not hold, `TopologyError` for words that mean nothing here.
        """
        __tracebackhide__ = True
        return expecting.one(self.standing, {"it": f"{from_} asks {to}", "from_": from_, "to": to, **said})


def _text(given: str | os.PathLike[str]) -> str:
    """Return a topology's name, a path that is no name (`./clusterip`), or YAML without the indentation of its code."""
    if isinstance(given, str):
        return textwrap.dedent(given) if "\n" in given else given
    return os.path.join(".", given)  # an absolute path stays as it is
