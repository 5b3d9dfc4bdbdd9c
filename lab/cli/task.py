"""How a task is made, and the words that many tasks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from invoke import task

from lab.cli.output import plainly

LAB = "the lab to work on; default: $HAIRPIN_LAB, or the only one that stands"
JSON = "print data for programs instead of text"
PLACE = "a node, pod or client: web-1, node-1, pod/web-1, pod/NAMESPACE/NAME, node/node-1, client/NAME, router"
WHOM = "whom: svc/web, svc/web:81, svc/web:http, pod/web-1, node-1:30080, 10.96.0.10:80, http://web/path"
PORT = "the port to ask; default: the Service's or pod's only one"
LOCAL_PORT = "the port to ask from, so that a flow can be found, or met, again"


def command(name: str | None = None, **options: Any) -> Callable[[Callable[..., None]], Any]:  # noqa: ANN401 - invoke has no types
    """Make a task that ends plainly; short flags would change their meaning as options are added."""
    return lambda function: task(name=name, auto_shortflags=False, **options)(plainly(function))
