"""What came of a request: from an errno and a reply's body to a `Reply`."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from lab.model.kubernetes import HIGHEST_PORT
from lab.model.request import Reply

if TYPE_CHECKING:
    from lab.model.address import IPAddress

WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
}
NO_SENSE = "eproto"  # the connection held, but what came was no HTTP, or not all of it


def error_word(number: int) -> str:
    """Return an errno as a `Reply` tells it: a word of NetError, or the symbol in lower case, such as `eacces`."""
    return WORDS.get(number) or errno.errorcode.get(number, f"errno-{number}").lower()


def endpoint(text: str) -> tuple[IPAddress, int] | None:
    """Return the address and port of `10.244.0.5:8080` or `[fd00::5]:8080`, or None if it is neither."""
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    try:
        address: IPAddress = ip_address(bare)
    except ValueError:
        return None
    bracketed = host.startswith("[") and host.endswith("]")
    good_port = port.isascii() and port.isdigit() and int(port[:6]) <= HIGHEST_PORT
    if not good_port or bracketed is not isinstance(address, IPv6Address):
        return None
    return address, int(port)


def with_facts(reply: Reply) -> Reply:
    """Return `reply` with what its body tells, if it is a pod's JSON; another server's is left as it is."""
    if not reply.body.startswith("{"):
        return reply
    try:
        facts = json.loads(reply.body)
    except (ValueError, RecursionError):
        return reply
    pod, node, client = (facts.get(key) for key in ("pod", "node", "client"))
    if not (isinstance(pod, str) and isinstance(node, str) and isinstance(client, str)):
        return reply
    return replace(reply, pod=pod, node=node, source=endpoint(client))
