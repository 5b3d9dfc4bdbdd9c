"""What the kernel allows this process (getrlimit(2)), its pipes and its sockets."""

from __future__ import annotations

import fcntl
import resource
import socket
from contextlib import suppress
from typing import IO, Any

_PIPE_BYTES = 1 << 20  # /proc/sys/fs/pipe-max-size, as it is by default
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


def raise_open_files() -> None:
    """Allow this process all the open files that it may have; the default is 1024.

    500 dual-stack pods need 2000 sockets, and building a lab one for each network namespace.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def widen(pipe: IO[Any]) -> None:
    """Let a pipe hold as much as anybody may have in one (F_SETPIPE_SZ, fcntl(2)); what is no pipe stays as it is.

    A writer and a reader that are both at work stand still less: with the 64 KiB that a pipe has, the one sleeps while
    the other wakes.
    """
    with suppress(OSError):  # no pipe, or this user has as many large ones as one may have
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def make_room(opened: socket.socket, octets: int) -> None:
    """Let a socket hold so many bytes that nobody has read yet; without root net.core.rmem_max is the most."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
