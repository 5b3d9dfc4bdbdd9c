"""Ports to ask from by which no flow is known that a request could meet: what becomes of it, the rules alone decide.

A request that no rule translates is given another source port all the same, if its replies would look like those of
another flow (get_unique_tuple, net/netfilter/nf_nat_core.c): one that came from that port by a Service to the same
endpoint, and be it over; conntrack knows it for two minutes (TIME_WAIT). And what belongs to a flow that is known, as
UDP's does for as long, meets no rule that translates.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from lab.ask import traffic
from lab.kernel import conntrack, limits, netns
from lab.model.address import IPAddress
from lab.model.request import Request

Ends = Sequence[tuple[IPAddress, int]]
"""The addresses and ports that a request's packets may be sent to."""

MOST = 500
"""Of so many requests at a time a port is looked for: each takes a socket that waits, and sockets are not endless."""
MOST_ENDS = 64
"""So many ends are looked at: of more endpoints, the one that a flow went to is hardly chosen again."""
TRIES = 16
"""So many ports are looked at for a request; where each is known, the table is so full that others are, too."""

PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
"""What a protocol's number is in IP."""

_Key = tuple[int, tuple[str, str, int, int]]
"""What a flow is looked for by: its protocol; source, destination, source port, destination port."""


def bound(asked: Sequence[tuple[Request, Ends]], nodes: Sequence[str]) -> dict[int, socket.socket]:
    """Inside the capsule: return sockets to make requests with, by the requests' numbers, each with a port of its own.

    By that port no node knows a flow between the asker and one of the request's ends, and no other request names it.
    None is for a request that does name one, and none where no such port was found: the kernel chooses there, as ever.
    """
    limits.raise_open_files()
    found: dict[int, socket.socket] = {}
    named = {request.local_port for request, _ in asked}
    left = [number for number, (request, _) in enumerate(asked[:MOST]) if not request.local_port]
    with ExitStack() as refused:  # open until the end: else the kernel would offer the same ports again
        for _ in range(TRIES):
            opened = {number: one for number in left if (one := _opened(asked[number][0])) is not None}
            keys = {number: tuple(_keys(one, *asked[number])) for number, one in opened.items()}
            known = _known(keys, nodes) | {number for number, one in opened.items() if one.getsockname()[1] in named}
            for number, one in opened.items():
                if number in known:
                    refused.enter_context(one)
                else:
                    found[number] = one
            left = sorted(known)
    return found


def _opened(request: Request) -> socket.socket | None:
    """Return a socket of the asker's with a port that nobody there has; None if there is none."""
    try:
        with netns.inside(request.netns):
            one = traffic.opened(request)
    except OSError:  # whoever makes the request will be told
        return None
    try:
        one.bind(("", 0))
    except OSError:
        one.close()
        return None
    return one


def _keys(one: socket.socket, request: Request, ends: Ends) -> Iterator[_Key]:
    """Yield what a flow has, in one of its directions, that a request could meet which is made with a socket."""
    source, port, protocol = _source(request), one.getsockname()[1], PROTOCOLS[request.protocol]
    for address, end in ends[:MOST_ENDS] if source else ():
        yield protocol, (source, str(address), port, end)
        yield protocol, (str(address), source, end, port)


def _source(request: Request) -> str:
    """Return the address that the asker will have, "" if there is no way; to connect a UDP socket sends nothing."""
    family = traffic.FAMILIES[request.address.version]
    with netns.inside(request.netns), socket.socket(family, socket.SOCK_DGRAM) as one:
        try:
            one.connect((str(request.address), request.port))
        except OSError:
            return ""
        source: str = one.getsockname()[0]
        return source


def _known(keys: Mapping[int, Iterable[_Key]], nodes: Sequence[str]) -> set[int]:
    """Return the numbers of those of which the conntrack of a node has a key."""
    found: set[int] = set()
    for node in nodes:
        with netns.inside(node):
            found |= {number for number in keys.keys() - found if any(conntrack.find(*key) for key in keys[number])}
    return found
