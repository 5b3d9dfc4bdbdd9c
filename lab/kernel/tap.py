"""Taps: the packets that pass the interfaces of network namespaces, as packet(7) sockets see them.

One socket for each namespace, bound to all of its interfaces, those that come later too. A packet is seen where it
enters an interface, before any hook of netfilter, and where it leaves one, behind all of them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import Literal, NamedTuple, Self

from lab.errors import KernelError, TopologyError
from lab.kernel import command, netns
from lab.kernel.limits import make_room, raise_open_files

SNAPLEN = 262_144
"""The most of a packet that is kept, in bytes, as tcpdump(8) has it; a veth carries 64 KiB at once, and may more."""

ETHERNET, LOOPBACK = 1, 772
"""Types of hardware (linux/if_arp.h) whose frames have an Ethernet header; a tunnel's may have none."""

OTHERHOST = 3
"""The `Frame.kind` of what is for another machine (linux/if_packet.h, PACKET_OTHERHOST)."""

# linux/if_packet.h, asm-generic/socket.h
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING = 263, 6, 4
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS, _SO_MARK, _SO_RCVMARK = 26, 64, 36, 75
_SO_TIMESTAMPING, _RX_SOFTWARE, _SOFTWARE = 65, 1 << 3, 1 << 4  # linux/net_tstamp.h
_SIOCGIFHWADDR, _SIOCSIFFLAGS, _IFF_UP = 0x8927, 0x8914, 1
_STAMPS_S, _PAUSE_S = 1.0, 0.0002
_BUFFER_BYTES = 8 * 1024 * 1024  # of each socket: some 10,000 packets; without root rmem_max is the limit
_CONTROL = socket.CMSG_SPACE(16) + socket.CMSG_SPACE(4)
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter, linux/filter.h
_RET = 6  # BPF_RET: so many bytes of the packet are wanted

GRACE_NS = 20_000_000
"""How long a packet may be under way from its timestamp to its socket; it takes microseconds, unless we are halted."""


class Frame(NamedTuple):
    """One packet at one interface: when (nanoseconds since the epoch), where, which way, and its bytes.

    `kind` is packet(7)'s sll_pkttype, `hardware` its sll_hatype; `mark` is the fwmark (None where the kernel does not
    tell it); `length` are the bytes that it had, of which `data` may have less.
    """

    time_ns: int
    netns: str
    interface: str
    direction: Literal["in", "out"]
    kind: int
    hardware: int
    protocol: int
    mark: int | None
    length: int
    data: bytes


class Interface(NamedTuple):
    """An interface of a tapped namespace, by the name that it has there."""

    netns: str
    name: str
    hardware: int


class Taps:
    """Open sockets on namespaces of this capsule, and what they have received; a context, which closes them."""

    def __init__(self, namespaces: Sequence[str], program: bytes = b"") -> None:
        """Tap `namespaces`; `program` (see `compile_filter`) says which packets count.

        Raises `KernelError` if one is not there, or the kernel refuses.
        """
        self.interfaces: list[Interface] = []
        self._buffer = bytearray(SNAPLEN)
        self._sockets: dict[int, tuple[str, socket.socket]] = {}
        self._dropped = dict.fromkeys(namespaces, 0)
        self._epoll = select.epoll()
        raise_open_files()
        try:
            with netns.inside(""):
                for name in dict.fromkeys(namespaces):
                    self._open(name)
            with netns.inside(""):
                _await_stamps()
            for _, opened in self._sockets.values():
                _filter(opened, program or shortened(SNAPLEN))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return what select(2) and its like wait on: readable when packets have come."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close the sockets."""
        for _, opened in self._sockets.values():
            opened.close()
        self._sockets.clear()
        self._epoll.close()

    def read(self) -> list[Frame]:
        """Return what has come until now, without waiting; of each namespace in its order."""
        now = time.time_ns()
        frames: list[Frame] = []
        for fd, _ in self._epoll.poll(0):
            name, opened = self._sockets[fd]
            for frame in self._received(name, opened):
                frames.append(frame)
                if frame.time_ns > now:  # others have their turn; this one's later packets are no earlier
                    break
        return frames

    def dropped(self) -> dict[str, int]:
        """Return how many packets of each namespace the kernel had no room for, since the taps were opened."""
        for name, opened in self._sockets.values():  # asking sets the kernel's own count to 0
            _, lost = struct.unpack("=II", opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
            self._dropped[name] += lost
        return dict(self._dropped)

    def _open(self, name: str) -> None:
        where = f"in {name}: " if name else ""
        try:
            netns.enter(name)
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
        except OSError as error:
            raise KernelError(f"{where}a packet socket: {error.strerror}") from None
        self._sockets[opened.fileno()] = (name, opened)
        try:
            _prepare(opened)
        except OSError as error:
            raise KernelError(f"{where}tapping: {error.strerror}") from None
        self._epoll.register(opened, select.EPOLLIN)
        self.interfaces += (Interface(name, link, _hardware(opened, link)) for _, link in socket.if_nameindex())

    def _received(self, name: str, opened: socket.socket) -> Iterator[Frame]:
        while True:
            try:
                length, told, _, address = opened.recvmsg_into([self._buffer], _CONTROL, socket.MSG_TRUNC)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno == errno.ENETDOWN:  # an interface went; packet(7) tells it once
                    continue
                raise
            link, protocol, kind, hardware, _ = address
            if kind == _PACKET_OUTGOING and hardware == LOOPBACK:
                continue  # it comes in again at once: the same packet
            data = bytes(memoryview(self._buffer)[: min(length, SNAPLEN)])
            time_ns, mark = _told(told)
            way: Literal["in", "out"] = "out" if kind == _PACKET_OUTGOING else "in"
            yield Frame(time_ns, name, link, way, kind, hardware, protocol, mark, length, data)


class Order:
    """Puts the frames of several taps in the order of their time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: list[Frame] = []

    def put(self, frames: Sequence[Frame]) -> None:
        """Add what `Taps.read` returned."""
        self._waiting += frames
        self._waiting.sort(key=attrgetter("time_ns"))

    def take(self, until_ns: int | None = None) -> list[Frame]:
        """Return, and no longer hold, the frames until `until_ns`, or all of them.

        None is missing among those that are older than the last `Taps.read` by `GRACE_NS`.
        """
        if until_ns is None or not self._waiting:
            number = len(self._waiting)
        else:
            number = next((n for n, frame in enumerate(self._waiting) if frame.time_ns > until_ns), len(self._waiting))
        taken, self._waiting = self._waiting[:number], self._waiting[number:]
        return taken

    def __len__(self) -> int:
        return len(self._waiting)


def shortened(octets: int) -> bytes:
    """Return a filter that accepts every packet, of which no more than its first `octets` are kept."""
    return _INSTRUCTION.pack(_RET, 0, 0, octets)


def compile_filter(expression: str) -> bytes:
    """Return a filter as the kernel runs it, compiled by libpcap's own compiler, from pcap-filter(7)'s language.

    Run inside a capsule, names in it (`host web-1`) are the lab's. Raises `TopologyError` with tcpdump's words if it
    makes no sense, `HostError` if there is no tcpdump.
    """
    done = command.run(["tcpdump", "-ddd", "-y", "EN10MB", "-s", str(SNAPLEN), "--", expression])
    numbers = [line.split() for line in done.stdout.splitlines()]
    if done.status or not numbers:
        said = "; ".join(line for line in done.stderr.splitlines() if not line.startswith("Warning"))
        raise TopologyError(
            f"--filter {expression!r}: {said or 'tcpdump does not say why'}",
            hint="man pcap-filter has the language; for example: 'tcp port 80 and host 10.244.1.2'",
        )
    return b"".join(_INSTRUCTION.pack(*map(int, words)) for words in numbers[1:])  # the first line is their count


def _prepare(opened: socket.socket) -> None:
    """Let a socket, which receives already, begin anew as it shall be; it takes nothing yet."""
    _filter(opened, shortened(0))
    with suppress(BlockingIOError):
        while True:
            opened.recv(1)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    with suppress(OSError):  # Linux 5.19
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVMARK, 1)
    make_room(opened, _BUFFER_BYTES)


def _await_stamps() -> None:
    """Wait until packets get their time as they come, which takes milliseconds: net_enable_timestamp of net/core/dev.c.

    Until then a packet has the time when it is read, and those of several taps come out of their order. A datagram that
    we send to ourselves, in the capsule's own namespace where nobody else is, shows whether it is so.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end:
        up = struct.pack("@16sH22x", b"lo", _IFF_UP)
        fcntl.ioctl(end, _SIOCSIFFLAGS, up)
        end.bind(("127.0.0.1", 0))
        end.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)
        deadline = time.monotonic() + _STAMPS_S
        while time.monotonic() < deadline:
            end.sendto(b"?", end.getsockname())
            _, told, _, _ = end.recvmsg(1, socket.CMSG_SPACE(48))
            if told:
                return
            time.sleep(_PAUSE_S)


def _filter(opened: socket.socket, program: bytes) -> None:
    """Let a socket receive what `program` accepts, instead of what it received so far (struct sock_fprog)."""
    held = array("B", program)  # the kernel copies it
    address, size = held.buffer_info()
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", size // _INSTRUCTION.size, address))


def _told(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, int | None]:
    """Return the timestamp and the fwmark that the kernel sent along."""
    time_ns, mark = 0, None
    for _, kind, raw in ancillary:
        if kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("=qq", raw)
            time_ns = seconds * 1_000_000_000 + nanoseconds
        elif kind == _SO_MARK:
            (mark,) = struct.unpack("=I", raw)
    return time_ns or time.time_ns(), mark


def _hardware(opened: socket.socket, link: str) -> int:
    """Return the type of an interface's hardware (netdevice(7)), 0 if it has just gone."""
    with suppress(OSError):
        answer = fcntl.ioctl(opened, _SIOCGIFHWADDR, struct.pack("@16sH22x", os.fsencode(link), 0))
        return int(struct.unpack_from("@H", answer, 16)[0])
    return 0
