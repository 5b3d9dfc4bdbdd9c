"""Netlink sockets on which the kernel tells namespaces of this capsule something: read together, none waited for."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from lab.errors import KernelError
from lab.kernel.limits import raise_open_files
from lab.kernel.netlink import NETLINK_NETFILTER, Channel, open_in

_SO_MEMINFO, _SK_MEMINFO_DROPS = 55, 8  # linux/sock_diag.h, Linux 4.12
_DATAGRAM_BYTES = 1 << 16
_TURN = 50_000  # datagrams; more than fit into a buffer


class Listeners:
    """Sockets in multicast groups of netlink, one for each namespace; a context, which closes them."""

    def __init__(
        self,
        namespaces: Sequence[str],
        groups: Sequence[int],
        buffer_bytes: int,
        *,
        protocol: int = NETLINK_NETFILTER,
        prepare: Callable[[Channel], None] | None = None,
    ) -> None:
        """Listen to `groups` of a netlink `protocol` in `namespaces`; `prepare`: asks for more, before.

        Raises `OSError` if the kernel refuses, and what `prepare` raises.
        """
        self._channels: list[Channel] = []
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        self._epoll = select.epoll()
        raise_open_files()
        try:
            for name in dict.fromkeys(namespaces):
                channel = open_in(name, protocol)
                self._channels.append(channel)
                if prepare:
                    prepare(channel)
                joined = [channel.listen(group, buffer_bytes) for group in groups]
                self._sockets[joined[0].fileno()] = (name, joined[0])  # they are one
                self._epoll.register(joined[0], select.EPOLLIN)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return what select(2) and its like wait on: readable when something has come."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close the sockets."""
        for channel in self._channels:
            channel.close()
        self._sockets.clear()
        self._epoll.close()

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Yield what has come, of each namespace in its order, until nothing is left or others wait too long."""
        for fd, _ in self._epoll.poll(0):  # in the order in which they had something
            name, opened = self._sockets[fd]
            for data in waiting(opened, _TURN, name):
                yield name, data

    def lost(self) -> dict[str, int]:
        """Return how many messages the kernel had no room for, of each namespace in which it was so."""
        found = {name: dropped(opened) for name, opened in self._sockets.values()}
        return {name: number for name, number in found.items() if number}


def waiting(opened: socket.socket, most: int, name: str) -> Iterator[bytes]:
    """Yield what has come to a socket that does not wait, at most so many datagrams; `name`: its namespace's."""
    for _ in range(most):
        try:
            yield opened.recv(_DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # told once for each row of losses, which `dropped` counts
                raise KernelError(f"in {name}: the kernel's events: {error.strerror}") from None


def dropped(opened: socket.socket) -> int:
    """Return how many messages the kernel had no room for on a socket, ever."""
    told = opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 64)
    return int(struct.unpack_from("=I", told, 4 * _SK_MEMINFO_DROPS)[0])
