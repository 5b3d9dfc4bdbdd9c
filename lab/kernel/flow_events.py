"""Conntrack's events of network namespaces of this capsule: flows that begin, change and end (conntrack(8) -E).

By default (net.netfilter.nf_conntrack_events=2) the kernel tells of those flows only that began while somebody
listened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from lab.kernel import conntrack
from lab.kernel.listeners import Listeners
from lab.kernel.netlink import NLM_F_CREATE, received

Kind = Literal["new", "update", "destroy"]

# linux/netfilter/nfnetlink_compat.h, nfnetlink_conntrack.h
_GROUPS = (1, 2, 3)  # NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY
_CT_NEW, _CT_DELETE = 1 << 8 | 0, 1 << 8 | 2
_NFGENMSG_BYTES = 4

BUFFER_BYTES = 8 * 1024 * 1024
"""Of each socket: some 13,000 events, for each of which the kernel takes 1280 bytes of twice as many."""


class FlowEvent(NamedTuple):
    """What conntrack told of a flow, in which namespace. An `update` has of TCP's state only what is new (else -1)."""

    netns: str
    kind: Kind
    entry: conntrack.Entry


def listen(namespaces: Sequence[str], buffer_bytes: int = BUFFER_BYTES) -> Listeners:
    """Listen to conntrack in `namespaces`; raises `HostError` without ctnetlink, `KernelError` if it is refused."""
    try:
        return Listeners(namespaces, _GROUPS, buffer_bytes)
    except OSError as error:
        raise conntrack.refusal(error) from error


def read(listeners: Listeners) -> list[FlowEvent]:
    """Return what has come until now, of each namespace in its order."""
    return [
        FlowEvent(name, kind, conntrack.entry(body[_NFGENMSG_BYTES:]))
        for name, data in listeners.read()
        for _, (_, number, flags, body) in received(data)
        if (kind := _kind(number, flags))
    ]


def _kind(number: int, flags: int) -> Kind | None:
    if number == _CT_DELETE:
        return "destroy"
    if number != _CT_NEW:
        return None
    return "new" if flags & NLM_F_CREATE else "update"
