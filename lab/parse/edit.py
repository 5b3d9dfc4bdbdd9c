"""A file of objects for a lab that stands: what `lab.apply` reads, down to the line of each mistake."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab.controllers.amend import Edit, amend
from lab.controllers.complete import title
from lab.errors import TopologyError
from lab.parse.mistake import LAB, Mistakes
from lab.parse.topology import FILE, MAX_BYTES, decode_text, objects, printable, read_text, refusal

if TYPE_CHECKING:
    from lab.model.cluster import Cluster

STDIN = "-"


def text_of(name: str) -> tuple[str, str]:
    """Return a file's text, and what messages call the file; `-` is standard input, a folder means its lab.yaml.

    Raises `TopologyError` if there is no such file, or if it is not text.
    """
    if name == STDIN:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise TopologyError(f"standard input: more than {MAX_BYTES // 2**20} MiB; expected some objects")
        return decode_text(data, "standard input"), "standard input"
    path = Path(name)
    file = path / FILE if path.is_dir() else path
    return read_text(file), printable(file)


def applied(cluster: Cluster, text: str, source: str) -> Cluster:
    """Return `cluster` with the objects of `text` created or changed; `source` is what messages call the text.

    Raises `TopologyError` with every mistake, as `FILE:LINE:COLUMN: path.to.field: what is wrong`; those of objects
    that stand already have no line, but the object's name.
    """
    found = objects(text, source)
    if not found.origins and not found.spots:
        raise TopologyError(f"{source}: there is nothing in here; expected Kubernetes objects")
    whole = Mistakes()
    done = amend(cluster, Edit(lab=found.lab, objects=found.objects), whole)
    found.judge(whole)
    if found.broken:
        standing = {at: title(one) for at, one in done.objects.items()}
        raise refusal(found, source, standing={LAB: f"Lab {cluster.name}", **standing})
    return done.cluster
