"""A topology to a complete cluster: read, completed as the API server and the controllers would, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lab.controllers import assemble, complete, notes
from lab.controllers.adopt import HINT, Choice, adopt
from lab.controllers.remarks import commands
from lab.errors import TopologyError
from lab.model.lab import Lab, LabMeta
from lab.parse import cluster_files
from lab.parse.files import data_of, source_of, text_of
from lab.parse.mistake import Mistakes
from lab.parse.quick import uncollected
from lab.parse.topology import MINIMAL, objects, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from lab.model.cluster import Cluster

_NO_LAB = Lab(metadata=LabMeta(name="none"))


@dataclass(frozen=True)
class Completed:
    """A topology that has no mistake: the complete cluster, and what of the file was not read, in sentences.

    `adopted`: it is made of a real cluster's objects, of which all is said that there is to say.
    """

    cluster: Cluster
    passed_over: tuple[str, ...] = ()
    adopted: bool = False

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is allowed and may still surprise, a sentence each."""
        return (*self.passed_over, *(commands(self.cluster) if self.adopted else notes(self.cluster)))


def of_cluster(name: str, choice: Choice, *, mode: str = "") -> Completed:
    """Return the complete cluster of what kubectl printed of a real one ("-" is standard input), or of a part of it.

    `mode`: kube-proxy's, whatever its configuration says ("": what it says). Raises `TopologyError`.
    """
    source = source_of(name)
    data = data_of(name, most=cluster_files.MAX_BYTES, hint=HINT)
    with uncollected():
        try:
            files = cluster_files.read([(data, source)], whole=True, mode=mode)
        except TopologyError as error:
            other = any(": mode: " in line for line in error.mistakes)
            hint = "--mode iptables, or nftables, builds it with these rules instead" if other else HINT
            raise TopologyError(error.mistakes, hint=hint) from None
        adopted = adopt(files, source, choice)
        return Completed(complete(adopted.lab, adopted.objects), adopted.notes, adopted=True)


def load(path: Path) -> Completed:
    """Return the complete cluster of the topology at `path`: a file, or a folder that holds lab.yaml.

    Raises `TopologyError` with every mistake, as `FILE:LINE:COLUMN: path.to.field: what is wrong`.
    """
    return read(*text_of(str(path)))


def read(text: str, source: str) -> Completed:
    """Return the complete cluster of a topology's text; `source` is what its mistakes call the file.

    Raises `TopologyError` with every mistake. Where the objects themselves have some, only what is certain is said
    of the lab as a whole: a name that is not found may be that of an object with a mistake.
    """
    found = objects(text, source)
    if not found.origins and not found.spots:
        raise TopologyError(f"{source}: there is nothing in this file; expected a topology", hint=MINIMAL)
    whole = Mistakes()
    cluster = assemble(found.lab or _NO_LAB, found.objects, whole)
    found.judge(whole)
    if found.broken or "Lab" not in found.kinds:
        raise refusal(found, source, lab_wanted=True)
    return Completed(cluster, found.notes)
