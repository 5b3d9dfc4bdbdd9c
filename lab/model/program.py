"""What a container would run: its command as kubelet makes it of the manifest."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.model.kubernetes import Container

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for, and a container's $PATH unless its own environment says otherwise."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Return `text` with `$(NAME)` replaced by the value of NAME, if there is one, and `$$` by `$`.

    Source: Expand() in third_party/forked/golang/expansion of kubernetes/kubernetes.
    """

    def value(found: re.Match[str]) -> str:
        name: str | None = found[1]
        return "$" if name is None else known.get(name, found[0])

    return _REFERENCE.sub(value, text)


def environment(container: Container) -> dict[str, str]:
    """Return the variables that have a plain value; each may refer to those before it."""
    known: dict[str, str] = {}
    for one in container.env:
        if one.value is not None:
            known[one.name] = expanded(one.value, known)
    return known


def argv(container: Container) -> tuple[str, ...]:
    """Return `command` and `args`; () without a command, since what an image would run is in the image."""
    if not container.command:
        return ()
    known = environment(container)
    return tuple(expanded(word, known) for word in (*container.command, *container.args))


def folder(container: Container) -> str:
    """Return the working directory."""
    return posixpath.join("/", container.working_dir)


def program(container: Container) -> str:
    """Return the program of the command: a name, to be found in a $PATH, or an absolute path; "" without a command."""
    first = next(iter(argv(container)), "")
    return posixpath.join(folder(container), first) if "/" in first else first


def title(container: Container) -> str:
    """Return what a container is called: its name, or its program's."""
    return container.name or posixpath.basename(program(container))
