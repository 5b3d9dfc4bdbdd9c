"""What the kernel allows this process (getrlimit(2))."""

from __future__ import annotations

import resource


def raise_open_files() -> None:
    """Allow this process all the open files that it may have; the default is 1024.

    500 dual-stack pods need 2000 sockets, and building a lab one for each network namespace.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
