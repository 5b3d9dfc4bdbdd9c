"""Requests by real curl processes: what a person would have typed, and what came of it.

curl's own words for a failed connection changed between its versions and are the same for a refusal and for a
missing route; the kernel's words, which `--verbose` shows in between, did neither.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, cast

from lab import words
from lab.kernel import command
from lab.model.request import Reply, Request
from lab.parse.reply import NO_SENSE, endpoint, error_word, with_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.model.address import IPAddress

AT_A_TIME = 16  # curl processes: each is some 10 MB
MARGIN_S = 5.0  # for a curl process to start and end, beside the time that its request may take
WRITE_OUT = "\n%{http_code}|%{local_ip}|%{local_port}|%{time_total}"  # curl(1) --write-out; read by `curl_reply`
# curl(1), EXIT CODES; the others of interest are told by the errno that stands in the same output
TIMED_OUT = 28
WITHOUT_SENSE = frozenset({1, 8, 18, 52, 56})  # not HTTP, odd reply, partial, empty, failure in receiving
_ERRNOS = {os.strerror(number): number for number in errno.errorcode}
_FROM = re.compile(r" from (\S+) port (\d+) failed")


def curl_argv(wanted: Request) -> list[str]:
    """Return the curl command that makes a TCP request.

    The caller's ~/.curlrc and proxy variables have no say; nothing but HTTP is spoken.
    """
    return [
        "curl",
        "-q",  # no ~/.curlrc; must come first
        *("--silent", "--show-error", "--verbose", "--globoff", "--path-as-is"),
        *("--noproxy", "*", "--proto", "=http"),
        *("--max-time", f"{wanted.timeout_s:.3f}", "--write-out", WRITE_OUT),
        *(("--local-port", str(wanted.local_port)) if wanted.local_port else ()),
        *(("--header", f"Host: {wanted.host}") if wanted.host else ()),
        *("--url", f"http://{words.socket(wanted.address, wanted.port)}{wanted.path}"),
    ]


def curl(wanted: Sequence[Request], *, at_a_time: int = AT_A_TIME) -> list[Reply]:
    """Make TCP requests by real curl processes, at most `at_a_time` side by side.

    Raises `HostError` if there is no curl, `KernelError` if there is no such namespace.
    """
    commands = [
        command.Command(argv=tuple(curl_argv(asked)), netns=asked.netns, env={"LC_ALL": "C"}) for asked in wanted
    ]
    timeout_s = MARGIN_S + max((asked.timeout_s for asked in wanted), default=0.0)
    return [
        curl_reply(end.status, end.stdout, end.stderr)
        for first in range(0, len(commands), at_a_time)
        for end in command.run_all(commands[first : first + at_a_time], timeout_s=timeout_s)
    ]


def curl_reply(status: int, stdout: str, stderr: str) -> Reply:
    """Return what curl's exit status and output tell; of a command that `curl_argv` made, run with LC_ALL=C."""
    body, _, figures = stdout.rpartition("\n")
    code, address, port, seconds, *_ = [*figures.split("|"), "", "", "", ""]
    reply = Reply(
        error=_error(status, stderr) if status else "",
        status=int(code) if code.isdigit() else 0,
        local=_local(address, port, stderr),
        latency_s=float(seconds) if seconds else 0.0,
        body=body,
    )
    return reply if reply.error else with_facts(reply)


def _local(address: str, port: str, stderr: str) -> tuple[IPAddress, int] | None:
    """Return the client's own end; of a failed connection only curl 8's `-v` tells it."""
    found = _FROM.search(stderr)
    if not address and found:
        address, port = cast("tuple[str, str]", found.groups())
    bracketed = f"[{address}]" if ":" in address else address
    return endpoint(f"{bracketed}:{port}") if port != "0" else None


def _error(status: int, stderr: str) -> str:
    if status == TIMED_OUT:
        return error_word(errno.ETIMEDOUT)
    told = [line for line in stderr.splitlines() if line.startswith(("* ", "curl: "))]
    for line in told:
        number = _ERRNOS.get(line.rpartition(": ")[2].strip())
        if number is not None:
            return error_word(number)
    return NO_SENSE if status in WITHOUT_SENSE else f"curl-{status}"
