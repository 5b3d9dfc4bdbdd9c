"""Requests to the kernel's rtnetlink, in batches: many messages in one sendmsg(2), one acknowledgement at the end.

Messages are packed here and not with pyroute2's classes: importing these takes 0.12 s and packing a veth pair
0.17 ms, half of what 500 pods may take altogether. A test packs the same messages with pyroute2 and compares the
bytes; pyroute2 also reads for the tests what stands then (tests/kernel/look.py).
Source: rtnetlink(7), netlink(7), linux/netlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn, Self

from lab.errors import KernelError
from lab.kernel import netns as namespaces
from lab.kernel.limits import make_room

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400

NLA_F_NESTED = 0x8000

NETLINK_NETFILTER = 12
"""The protocol of nfnetlink's sockets; `socket` has no name for it."""

_NFNL_BATCH_BEGIN, _NFNL_BATCH_END = 0x10, 0x11  # linux/netfilter/nfnetlink.h
_NFGENMSG = struct.Struct("!BBH")  # struct nfgenmsg: family, version, resource

_NLMSG_ERROR = 0x2
_NLMSG_DONE = 0x3
_NLM_F_DUMP = 0x300
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
_U32 = struct.Struct("=I")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

BATCH_BYTES = 32 * 1024
"""As much as iproute2 reads at once; far below the 208 KiB that a socket may send by default."""
_DEADLINE_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One request: an RTM_* number, NLM_F_* flags beside REQUEST, and everything that follows the header."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The kernel's no to the message at `position` of those sent: its errno, and its own words where it has some."""

    position: int
    errno: int
    words: str

    def __str__(self) -> str:
        """Return, for example, `File exists (EEXIST)`."""
        name = _errno_name(self.errno)
        return f"{os.strerror(self.errno)} ({name})" + (f": {self.words}" if self.words else "")


def attribute(kind: int, value: bytes) -> bytes:
    """Return `value` as an attribute, padded to four bytes (netlink(3))."""
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + _PADDING[len(value) & 3]


def number(kind: int, value: int) -> bytes:
    """Return an attribute that holds an unsigned 32-bit number."""
    return _ATTRIBUTE.pack(8, kind) + _U32.pack(value)


def string(kind: int, value: str) -> bytes:
    """Return an attribute that holds a zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the type (without its flags) and the value of each attribute in `data`."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:  # noqa: PLR2004 - shorter than its own header: there is nothing sensible after it
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Channel:
    """A netlink socket of one network namespace: the one in which it was opened.

    Opened inside the namespace it keeps speaking to it from anywhere. `where` is for messages to people.
    """

    def __init__(self, where: str = "", protocol: int = socket.NETLINK_ROUTE) -> None:
        """Open the socket in the namespace that this thread is in."""
        self.where = where
        self._sequence = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))  # a socket without an address of its own is told nothing by multicast
        self._socket.settimeout(_DEADLINE_S)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, messages: Sequence[Message]) -> list[Refusal]:
        """Send `messages` in order and return what the kernel refused; it goes on after a refusal.

        Raises `KernelError` when there is no answer within ten seconds.
        """
        refusals: list[Refusal] = []
        for start, batch in _batches(messages):
            refusals += self._send_batch(start, batch)
        return refusals

    def transaction(self, messages: Sequence[Message], subsystem: int) -> list[Refusal]:
        """Send `messages` to a subsystem of nfnetlink as one transaction, and return what the kernel refused.

        It does all of them, or, if it refuses any, none. Raises `KernelError` as `send` does, and if they are too long
        for this user: net.core.wmem_default is the most.
        """
        around = _NFGENMSG.pack(socket.AF_UNSPEC, 0, subsystem)
        return self._send_batch(0, messages, (_NFNL_BATCH_BEGIN, around), (_NFNL_BATCH_END, around))

    def get(self, message: Message) -> bytes | Refusal:
        """Ask for one object, and return the answer's body, or the kernel's no; raises `KernelError` as `send` does."""
        sequence = self._sequence = self._sequence + 1
        try:
            self._socket.send(_packed(message.kind, message.flags, sequence, message.body))
            while True:
                for _, (answered, kind, flags, body) in received(self._socket.recv(1 << 16)):
                    if answered == sequence and kind != _NLMSG_ERROR:
                        return body
                    if answered == sequence:
                        number, words = _verdict(flags, body)
                        return Refusal(position=0, errno=number, words=words)
        except OSError as error:
            raise KernelError(f"{self._place}: the kernel did not answer a netlink message: {error}") from None

    def listen(self, group: int, octets: int) -> socket.socket:
        """Join a multicast group and return the socket, which no longer waits and holds `octets` bytes, if it may.

        What the kernel tells comes there from now on, so nothing more can be asked for. It is closed with the channel.
        """
        make_room(self._socket, octets)
        self._socket.settimeout(0)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        return self._socket

    def dump(self, kind: int, body: bytes) -> Iterator[bytes]:
        """Ask for all objects of an RTM_GET* `kind`; yield each answer whole, with its header.

        Raises `KernelError` if the kernel refuses or does not answer; its cause is an `OSError` with the errno.
        """
        sequence = self._sequence = self._sequence + 1
        try:
            self._socket.send(_packed(kind, _NLM_F_DUMP, sequence, body))
            while True:
                data = self._socket.recv(1 << 18)
                for start, (answered, answer, flags, part) in received(data):
                    if answered != sequence:
                        continue
                    if answer == _NLMSG_DONE:
                        return
                    if answer == _NLMSG_ERROR:
                        _refuse(*_verdict(flags, part))
                    yield data[start : start + _HEADER.size + len(part)]
        except OSError as error:
            said = error.strerror or error
            raise KernelError(f"{self._place}: the kernel did not list what was asked for: {said}") from error

    @property
    def _place(self) -> str:
        return f"in {self.where}" if self.where else "in the capsule's own namespace"

    def _send_batch(self, start: int, batch: Sequence[Message], *around: tuple[int, bytes]) -> list[Refusal]:
        """Send messages at once; `around`: the kinds and bodies of two more, before and behind them."""
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(batch)
        # Only the last one asks for an acknowledgement: the kernel answers in order, and refusals are always sent.
        parts = [
            _packed(message.kind, message.flags | (NLM_F_ACK if sequence == last else 0), sequence, message.body)
            for sequence, message in enumerate(batch, first)
        ]
        if around:
            (begin, head), (end, tail) = around
            # What is wrong with all of it is the first one's refusal, and the only answer.
            parts = [_packed(begin, 0, last, head), *parts, _packed(end, 0, 0, tail)]
        try:
            self._socket.send(b"".join(parts))
            return [
                Refusal(position=start + sequence - first, errno=errno, words=words)
                for sequence, errno, words in self._answers(first, last)
                if errno
            ]
        except OSError as error:
            raise KernelError(
                f"{self._place}: the kernel did not answer {len(batch)} netlink messages: {error}"
            ) from None

    def _answers(self, first: int, last: int) -> Iterator[tuple[int, int, str]]:
        """Yield sequence number, errno (0 is an acknowledgement) and words of each answer, up to the last one's."""
        sequence = 0
        while sequence != last:
            for _, (sequence, kind, flags, body) in received(self._socket.recv(1 << 16)):
                if kind == _NLMSG_ERROR and first <= sequence <= last:
                    yield sequence, *_verdict(flags, body)


def open_in(name: str, protocol: int = socket.NETLINK_ROUTE) -> Channel:
    """Open a channel to the network namespace called `name` ("" is the capsule's own)."""
    with namespaces.inside(name):
        return Channel(name, protocol)


def check(channel: Channel, messages: Sequence[Message], what: str) -> None:
    """Send `messages`; `KernelError` names each refusal as one of `what`."""
    refusals = channel.send(messages)
    if refusals:
        place = f"in {channel.where}: " if channel.where else ""
        raise KernelError("\n".join(f"{place}{what}: {refusal}" for refusal in refusals))


def _packed(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, sequence, 0) + body


def _batches(messages: Sequence[Message]) -> Iterator[tuple[int, Sequence[Message]]]:
    """Yield slices of `messages` that fit `BATCH_BYTES`, each with its first one's position."""
    start = size = 0
    for position, message in enumerate(messages):
        length = _HEADER.size + len(message.body)
        if size and size + length > BATCH_BYTES:
            yield start, messages[start:position]
            start, size = position, 0
        size += length
    if start < len(messages):
        yield start, messages[start:]


def received(data: bytes) -> Iterator[tuple[int, tuple[int, int, int, bytes]]]:
    """Yield where each message in `data` starts, and its sequence number, type, flags and body."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        yield offset, (sequence, kind, flags, data[offset + _HEADER.size : offset + length])
        offset += max((length + 3) & ~3, _HEADER.size)


def _verdict(flags: int, body: bytes) -> tuple[int, str]:
    """Return errno and words of an NLMSG_ERROR: struct nlmsgerr, the refused message's header, attributes."""
    (code,) = struct.unpack_from("=i", body)
    words = ""
    if flags & _NLM_F_ACK_TLVS:
        (echoed,) = _U32.unpack_from(body, 4)
        skipped = 4 + (_HEADER.size if flags & _NLM_F_CAPPED else (echoed + 3) & ~3)
        for kind, value in attributes(body[skipped:]):
            if kind == _NLMSGERR_ATTR_MSG:
                words = value.rstrip(b"\0").decode(errors="replace")
    return -code, words


def _refuse(number: int, words: str) -> NoReturn:
    raise OSError(number, str(Refusal(position=0, errno=number, words=words)))


def _errno_name(number: int) -> str:
    from errno import errorcode  # noqa: PLC0415 - only for a message to a person

    return errorcode.get(number, str(number))
