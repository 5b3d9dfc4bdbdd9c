"""What rules do with the first packet of each connection, in network namespaces of this capsule, as it happens.

Trace events are asked for by a table that goes with its socket, whatever ends the process (`lab.kernel.trace_table`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lab.kernel import trace, trace_table
from lab.kernel.listeners import Listeners
from lab.kernel.netlink import Channel


@contextmanager
def listening(namespaces: Sequence[str], table: str, *, legacy: bool) -> Iterator[Listeners]:
    """Ask for trace events in `namespaces` by tables called `table`, and give what they come by.

    `legacy`: those of iptables-legacy in any case; else where it has tables.
    Raises `KernelError` if the kernel refuses: of iptables-legacy's events there is one listener in a namespace.
    """
    owners: list[Channel] = []

    def prepare(channel: Channel) -> None:
        trace.hear_legacy(channel, "yes" if legacy else trace.log_of(channel.where))

    with Listeners(namespaces, (trace.NFNLGRP_NFTRACE,), trace.BUFFER_BYTES, prepare=prepare) as listeners:
        try:
            owners += (trace.owner_of(place, trace_table.made_for_new(table)) for place in namespaces)
            yield listeners
        finally:
            for owner in owners:
                owner.close()
