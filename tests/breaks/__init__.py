"""What breaks each expectation of each topology: a file for each, NAME.yaml, a list of `Break`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import yaml

from lab import catalogue, gallery, topology
from lab.errors import KernelError
from lab.kernel import command
from lab.model.gallery import Tried
from lab.parse.target import target
from lab.standing.session import Standing

FOLDER = Path(__file__).parent


class Break(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "break"}):
    """What is done to a lab, and what must come of it: of all that is expected just `red` fails.

    `at` is the place where sh(1) does `do`. `red` names expectations and steps of their `then` by their `it`, in the
    order of the file. `finding` is the first one of the first red one that does not hold: what, expected, observed; of
    the last two a part is enough.
    """

    name: str
    at: str
    do: str
    red: tuple[str, ...]
    finding: tuple[str, str, str]
    mode: str = "iptables"
    options: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, str]:
        """The lab's settings, as `catalogue.choose` takes them."""
        return {**gallery.MODES[self.mode], **{name.replace("-", "_"): value for name, value in self.options.items()}}


def of(name: str) -> tuple[Break, ...]:
    """Return the breaks of a topology."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), tuple[Break, ...])


def expectations(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the sentence of each expectation of a topology, with those of its steps behind."""
    expected = topology.load(catalogue.find(name)).cluster.spec.expect
    return tuple((one.it, *(step.it for step in one.then)) for one in expected)


def done(broken: Break, lab: Standing) -> None:
    """Break a lab; raise `KernelError` if that cannot be done."""
    place = target(lab.cluster, broken.at).netns

    def do() -> None:
        end = command.run(["sh", "-c", broken.do], netns=place)
        if end.status or end.stderr:
            raise KernelError(f"{broken.do}: exit {end.status}: {end.stderr}")

    lab.call(do)


def wrong(broken: Break, tried: Tried) -> Iterator[str]:
    """Yield what came of a break that should not have."""
    if tried.error:
        yield tried.error
        return
    red = {findings[0].it: findings for findings in tried.failed}
    if tuple(red) != broken.red:
        yield f"red are {list(red)}, expected {list(broken.red)}"
        return
    failed = next(finding for finding in red[broken.red[0]] if not finding.holds)
    what, expected, observed = broken.finding
    if failed.what != what or expected not in failed.expected or observed not in failed.observed:
        yield f"found {[failed.what, failed.expected, failed.observed]}, expected {list(broken.finding)}"
