"""Which tables iptables-legacy has in the network namespace that this thread is in: nobody makes one by looking.

Asking for a table (IPT_SO_GET_INFO, `iptables-legacy -S`) makes it, with its hooks: so names alone are read.
"""

from __future__ import annotations

from collections.abc import Mapping

_NAMES: Mapping[str, str] = {"ip": "/proc/net/ip_tables_names", "ip6": "/proc/net/ip6_tables_names"}


def tables(family: str) -> tuple[str, ...] | None:
    """Return the names of the tables of `ip` or `ip6`; None if the kernel tells this user nothing.

    Only the root of the user namespace that owns the network namespace may read them (net/netfilter/x_tables.c).
    """
    try:
        with open(_NAMES[family], encoding="ascii") as file:
            return tuple(sorted(file.read().split()))
    except FileNotFoundError:  # the module is not loaded
        return ()
    except OSError:
        return None
