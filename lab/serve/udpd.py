"""One UDP port of a pod: one datagram in, one out, from the very address that it came to.

A wildcard socket lets the routing table choose the source of what it sends; on a node with several addresses the
reply would then leave from another one than the client asked, and conntrack would not know it. So the destination
of each datagram is taken from its ancillary data and given back as the source: ip(7) IP_PKTINFO, RFC 3542, 6.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

from lab.serve.answer import Seen, datagram, endpoint_text

if TYPE_CHECKING:
    from collections.abc import Callable

IP_PKTINFO = 8  # linux/in.h; Python names it since 3.14
IN_PKTINFO = struct.Struct("@i4s4s")  # interface, local address, destination in the header
IN6_PKTINFO = struct.Struct("@16sI")  # address, interface
BURST = 64  # datagrams answered before other sockets have their turn

Ancillary = list[tuple[int, int, bytes]]

_buffer = bytearray(65_535)  # one for all: a datagram is answered before the next is read


class Datagrams:
    """The server's side of one UDP socket; a datagram that cannot be answered is reported and forgotten."""

    __slots__ = ("_node", "_pod", "_port", "_report", "_socket")

    def __init__(
        self, opened: socket.socket, pod: str, node: str, report: Callable[[str, str, str, str, object], None]
    ) -> None:
        """Answer on `opened`, which `prepare` has seen, as `pod` on `node`."""
        self._socket = opened
        self._pod = pod
        self._node = node
        self._report = report
        self._port: int = opened.getsockname()[1]

    @staticmethod
    def prepare(opened: socket.socket) -> None:
        """Ask the kernel to tell each datagram's destination."""
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)

    def receive(self) -> None:
        """Answer what has come."""
        for _ in range(BURST):
            try:
                length, ancillary, _flags, client = self._socket.recvmsg_into([_buffer], 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error about an earlier answer: its receiver is gone
                continue
            self._answer(bytes(_buffer[:length]), ancillary, client)

    def _answer(self, payload: bytes, ancillary: Ancillary, client: tuple[str, int]) -> None:
        server, back = _destination(ancillary)
        seen = Seen(
            pod=self._pod,
            node=self._node,
            client=endpoint_text(client),
            server=endpoint_text((server, self._port)),
            protocol="udp",
            path=payload.decode("utf-8", "replace"),
        )
        answer = datagram(seen)
        status = str(len(answer))
        if answer:
            try:
                self._socket.sendmsg([answer], back, 0, client)
            except OSError as error:
                status = errno.errorcode.get(error.errno or 0, "EIO").lower()
        self._report("udp", seen.client, seen.server, seen.path.strip(), status)


def _destination(ancillary: Ancillary) -> tuple[str, Ancillary]:
    """Return the address that a datagram came to, and the ancillary data that makes it the source of the answer.

    The interface is left to the routing table, except for a link-local address, which means nothing without one.
    """
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            _interface, local, _header = IN_PKTINFO.unpack_from(data)
            return socket.inet_ntop(socket.AF_INET, local), [(level, kind, IN_PKTINFO.pack(0, local, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            address, interface = IN6_PKTINFO.unpack_from(data)
            text = socket.inet_ntop(socket.AF_INET6, address)
            if address.startswith(b"\xff"):  # multicast is nobody's source address: let the kernel choose
                return text, []
            zone = interface if address.startswith(b"\xfe\x80") else 0
            return text, [(level, kind, IN6_PKTINFO.pack(address, zone))]
    return "0.0.0.0", []  # noqa: S104 - only shown; not reached while `prepare` is called
