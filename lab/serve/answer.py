"""What a pod answers, over HTTP and UDP alike: pure, from what it saw to what it sends.

The words `hostname`, `clientip` and `healthz` are those of agnhost's netexec
(`test/images/agnhost/README.md` in Kubernetes), so that its users find themselves at home.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal

PATHS = ("/", "/hostname", "/clientip", "/healthz", "/bytes?size=N", "/body/N")
LARGEST_BODY = 2**40  # bytes; a typing mistake should be told, not sent for a day
LARGEST_DATAGRAM = 65_507  # bytes: IPv4's 65535, less 20 of its own header and 8 of UDP's
PATTERN = b"0123456789abcdef" * 4096  # a sized body is this again and again, so that a receiver can check it


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request as the pod `pod` (`web-1`, `kube-system/coredns-1`) on `node` saw it.

    `client` and `server` are `address:port` (IPv6 in brackets), `path` is the request target or the datagram's
    text, `received` is the length of the request's body in bytes.
    """

    pod: str
    node: str
    client: str
    server: str
    protocol: Literal["tcp", "udp"]
    path: str
    host: str = ""
    received: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What goes back: a `body`, or (when `size` is given) that many bytes of `PATTERN`."""

    status: int = 200
    type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    size: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def length(self) -> int:
        """Return the number of bytes to send."""
        return len(self.body) if self.size is None else self.size


def endpoint_text(address: tuple[str, int]) -> str:
    """Return a socket's address as `address:port`, IPv6 in brackets and without its zone (RFC 3986, 3.2.2)."""
    host = address[0].partition("%")[0]
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


def content(seen: Seen) -> Content:  # noqa: PLR0911 - a path, a reply
    """Return the answer to an HTTP request."""
    path, _, query = _origin_form(seen.path).partition("?")
    match path.split("/")[1:]:
        case [""]:
            return Content(type="application/json", body=_facts(seen))
        case ["hostname"]:
            return Content(body=seen.pod.rpartition("/")[2].encode())  # a pod does not know its namespace by that
        case ["clientip"]:
            return Content(body=seen.client.encode())
        case ["healthz"]:
            return Content(body=b"ok")
        case ["bytes"]:
            parameters = dict(pair.partition("=")[::2] for pair in query.split("&"))
            return _sized(parameters.get("size", ""), smallest=0, largest=LARGEST_BODY)
        case ["body", size]:
            return _sized(size, smallest=0, largest=LARGEST_BODY)
        case _:
            return Content(status=404, body=f"no such path; there are: {' '.join(PATHS)}\n".encode())


def datagram(seen: Seen) -> bytes:
    """Return the one datagram that answers a datagram; empty when it must not be answered.

    The text is one of HTTP's paths, with or without its first slash; any other text is answered with the facts.
    """
    text = seen.path.strip()
    if text.startswith('{"pod": '):
        return b""  # an answer of our own kind: two servers would answer each other for ever (CERT CA-1996-01)
    path = "/" + text.removeprefix("/")
    if path.startswith(("/bytes?", "/body/")):
        size = path.removeprefix("/body/").removeprefix("/bytes?size=")
        found = _sized(size, smallest=1, largest=LARGEST_DATAGRAM)
        return found.body if found.size is None else PATTERN[: found.size]
    found = content(seen if path == "/" else replace(seen, path=path))
    return found.body if found.status == HTTPStatus.OK else _facts(seen)


def _origin_form(target: str) -> str:
    """Return the path of a request target that may be in absolute form (RFC 9112, 3.2.2), as to a proxy."""
    if target.startswith("/") or "://" not in target:
        return target
    _authority, _, path = target.partition("://")[2].partition("/")
    return f"/{path}"


def _facts(seen: Seen) -> bytes:
    facts: dict[str, str | int] = {
        "pod": seen.pod,
        "node": seen.node,
        "client": seen.client,
        "server": seen.server,
        "protocol": seen.protocol,
        "path": seen.path,
        "host": seen.host,
    }
    if seen.received:
        facts["received"] = seen.received
    return json.dumps(facts).encode() + b"\n"


def _sized(text: str, *, smallest: int, largest: int) -> Content:
    digits = text if text.isascii() and text.isdigit() and len(text) <= len(str(largest)) else ""
    if digits and smallest <= int(digits) <= largest:
        return Content(type="application/octet-stream", size=int(digits))
    return Content(status=400, body=f"size: {text[:40]!r}: expected a number from {smallest} to {largest}\n".encode())
