"""The task `lab.trace`: one request, and all that its packets were seen to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from invoke import Context

from lab.cli.output import (
    FAILED,
    STDOUT,
    file_mistakes,
    look,
    note,
    number,
    port_number,
    show,
    show_json,
    write_file,
)
from lab.cli.task import JSON, LAB, LOCAL_PORT, PLACE, PORT, WHOM, command
from lab.errors import TopologyError

if TYPE_CHECKING:
    from lab.model.address import Family
    from lab.model.journey import Journey
    from lab.model.predicted import Compared
    from lab.model.trace import Evidence


_PICTURE = "draw it too, into a new file; - for standard output, in place of the text"


@command(
    help={
        "source": f"who asks: {PLACE}",
        "to": WHOM,
        "port": PORT,
        "udp": "send a datagram to the pods' UDP server instead of an HTTP request",
        "reply": "also the way of what comes back; --no-reply: only that of the request",
        "all": "also the rules that let the packet pass, every interface, and each rule as it is written",
        "explain": "put what the rules were predicted to do beside it, and say where the two differ",
        "svg": f"as SVG: {_PICTURE}",
        "html": f"as a page that explains itself step by step: {_PICTURE}",
        "timeout": "seconds to wait for the answer; an answer takes milliseconds, a SYN is sent again after 1 s",
        "local-port": LOCAL_PORT,
        "size": "send so many bytes and ask for as many, so that packets are as long as they can be; default: few",
        "family": "ipv4 or ipv6, where whom it asks has both; default: what the asker would take",
        "lab": LAB,
        "json": JSON,
    },
)
def trace(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    _: Context,
    source: str,
    to: str,
    port: str | None = None,
    udp: bool = False,
    reply: bool = True,
    all: bool = False,  # noqa: A002 - the option's name
    explain: bool = False,
    svg: str | None = None,
    html: str | None = None,
    timeout: str = "2",
    local_port: str | None = None,
    size: str = "0",
    family: str = "",
    lab: str = "",
    json: bool = False,
) -> None:
    """Send a request, and show all that happens to its packets.

    Hop by hop, hook by hook, rule by rule, and back: the packet's addresses and mark wherever they change, the
    endpoint that was chosen, and the conntrack entries that resulted. Exit status 1 if it was not answered, or
    --explain finds a difference.
    """
    from lab.journey import assemble
    from lab.packets import trace as room
    from lab.standing import observe, session

    files = {"--svg": svg, "--html": html}
    if mistakes := file_mistakes(files, {"--json": json}):
        raise TopologyError(mistakes)
    standing = session.attach(lab)
    evidence = room.trace(
        standing,
        source,
        to,
        port=port_number("--port", port) or None,
        protocol="udp" if udp else "tcp",
        local_port=port_number("--local-port", local_port),
        timeout_s=number("--timeout", timeout, of=float),
        size=number("--size", size),
        family=_family(family),
        whole=explain,
    )
    journey = assemble(evidence)
    compared = _compared(journey, evidence) if explain else None
    journey = journey if reply else journey.one_way()
    if json:
        from lab.report import journey_json

        show_json(journey_json.data(journey, compared))
    elif STDOUT not in files.values():
        _tell(journey, compared, every=all)
    _draw(journey, svg, html)
    if missing := observe.missing_port(standing.cluster, evidence.request):
        note(f"note: {missing}")
    if not journey.reply.answered or (compared is not None and not compared.agrees):
        sys.exit(FAILED)


def _compared(journey: Journey, evidence: Evidence) -> Compared:
    from lab.judge.predicted import predicted

    return predicted(journey, evidence)


def _tell(journey: Journey, compared: Compared | None, *, every: bool) -> None:
    from lab.report import journey as report

    show(report.text(journey, look(), every=every))
    if compared is not None:
        from lab.report import predicted

        show(f"\n{predicted.text(compared, look())}")


def _draw(journey: Journey, svg: str | None, html: str | None) -> None:
    """Write the pictures that are wanted."""
    if svg is None and html is None:
        return
    from lab.picture import journey as picture

    for option, path, draw in (("--svg", svg, picture.svg), ("--html", html, picture.html)):
        if path is not None:
            write_file(path, draw(journey), option=option)
            if path != STDOUT:
                note(f"wrote {path}")


def _family(text: str) -> Family | None:
    from lab.model.address import FAMILIES
    from lab.parse import option

    if text:
        option.check("--family", text, FAMILIES)
    return cast("Family | None", text or None)


def every() -> Sequence[Any]:
    """Return these tasks."""
    return (trace,)
