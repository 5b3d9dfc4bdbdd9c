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
def listening(namespaces: Sequence[str], table: str, *, legacy: bool) -> Iterator[tuple[Listeners, Sequence[str]]]:
    """Ask for trace events in `namespaces` by tables called `table`; give what they come by, and where it is deaf.

    `legacy`: those of iptables-legacy in any case; else where it has tables. To a user whom the kernel does not tell
    where that is: wherever nobody else listens to them; where somebody does, it is deaf to them.
    Raises `KernelError` if the kernel refuses: of iptables-legacy's events there is one listener in a namespace.
    """
    owners: list[Channel] = []
    deaf: list[str] = []

    def prepare(channel: Channel) -> None:
        log: trace.Log = "yes" if legacy else trace.log_of(channel.where)
        if not trace.hear_legacy(channel, log) and log != "no":
            deaf.append(channel.where)

    with Listeners(namespaces, (trace.NFNLGRP_NFTRACE,), trace.BUFFER_BYTES, prepare=prepare) as listeners:
        try:
            owners += (trace.owner_of(place, trace_table.made_for_new(table)) for place in namespaces)
            yield listeners, deaf
        finally:
            for owner in owners:
                owner.close()
