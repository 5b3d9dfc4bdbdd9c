"""That somebody changes network namespaces of this capsule: links, addresses, routes, rules, sysctls, flows by hand.

What traffic changes by itself is no such thing: neighbours that are learnt, flows that begin and end. All of it comes
as events but the rules of iptables-legacy, of which the kernel tells nobody: these are looked at, if that is allowed
(`lab.kernel.legacy`).
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Literal, Self

from lab.kernel import command, legacy, listing, netns, syscalls, sysctl
from lab.kernel.limits import raise_open_files
from lab.kernel.listeners import Listeners
from lab.kernel.netlink import received

Kind = Literal["links", "rules", "sysctls", "flows"]

# linux/rtnetlink.h: RTNLGRP_LINK, _NEIGH, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR, _IPV6_ROUTE, _IPV6_RULE
_ROUTE_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19)
_RTM_NEWNEIGH, _RTM_DELNEIGH = 28, 29
_NUD_PERMANENT = 0x80  # linux/neighbour.h: what is learnt is not
_NDM_STATE = 8  # struct ndmsg: where the state is
_NETFILTER_GROUPS = (1, 2, 3, 7)  # linux/netfilter/nfnetlink_compat.h: conntrack's three, NFNLGRP_NFTABLES
_SUBSYSTEM_CTNETLINK = 1
_PORT = struct.Struct("=I")
_PORT_AT = 12  # struct nlmsghdr: whose request made it so; 0: nobody's
_IN_MODIFY = 0x2  # linux/inotify.h
_BUFFER_BYTES = 4 * 1024 * 1024
_IP = "link show\naddress show\nroute show table all\nrule show\n-6 rule show\n"
_BY_ITSELF = re.compile(r" (state [A-Z]+|[a-z_]+_timer +[0-9.]+|tentative)\b")  # in what ip(8) prints


class Changes:
    """What is heard of changes in namespaces; a context, which ends it."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        """Begin to listen; raises `OSError` or `LabError` if the kernel refuses."""
        self._namespaces = tuple(namespaces)
        with ExitStack() as stack:
            self._links = stack.enter_context(
                Listeners(namespaces, _ROUTE_GROUPS, _BUFFER_BYTES, protocol=socket.NETLINK_ROUTE)
            )
            self._netfilter = stack.enter_context(Listeners(namespaces, _NETFILTER_GROUPS, _BUFFER_BYTES))
            self._sysctls = stack.enter_context(_Sysctls(namespaces))
            self._legacy = _legacy(namespaces)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def heard(self) -> set[Kind]:
        """Return what has changed since this was last asked, or since the begin; does not wait."""
        kinds: set[Kind] = set()
        for name, data in self._links.read():
            if any(_by_hand(kind, body) for _, (_, kind, _, body) in received(data)):
                kinds.add("links")
                self._sysctls.look(name)  # a new link has some
        for _, data in self._netfilter.read():
            for start, (_, kind, _, _) in received(data):
                if kind >> 8 != _SUBSYSTEM_CTNETLINK:
                    kinds.add("rules")
                elif _PORT.unpack_from(data, start + _PORT_AT)[0]:
                    kinds.add("flows")
        if self._sysctls.heard():
            kinds.add("sysctls")
        return kinds

    def looked(self) -> set[Kind]:
        """Look at what there are no events of, and return whether that has changed."""
        before, self._legacy = self._legacy, _legacy(self._namespaces)
        return {"rules"} if before != self._legacy else set()

    @property
    def files(self) -> tuple[Listeners | _Sysctls, ...]:
        """What to wait for (poll(2)): readable when something may have changed."""
        return self._links, self._netfilter, self._sysctls


class _Sysctls:
    """The folders of sysctls of namespaces, watched by inotify(7), which procfs supports for what is written to it.

    Each is held open: the kernel would make another inode when it is looked up after it was forgotten.
    """

    def __init__(self, namespaces: Sequence[str]) -> None:
        raise_open_files()
        self._fd = syscalls.inotify_init()
        self._held: dict[tuple[str, str], int] = {}
        try:
            for name in namespaces:
                self.look(name)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return what is readable when one was written."""
        return self._fd

    def close(self) -> None:
        """Watch no more."""
        for fd in (self._fd, *self._held.values()):
            os.close(fd)

    def look(self, name: str) -> None:
        """Watch what folders there are in a namespace now."""
        with netns.inside(name):
            for folder, _, _ in os.walk(sysctl.path("net")):
                with suppress(FileNotFoundError):  # its link has gone meanwhile
                    fd = os.open(folder, os.O_PATH | os.O_CLOEXEC)
                    os.close(self._held.pop((name, folder), os.dup(fd)))
                    self._held[name, folder] = fd
                    syscalls.inotify_add_watch(self._fd, folder, _IN_MODIFY)

    def heard(self) -> bool:
        """Return whether one was written since this was last asked."""
        found = False
        with suppress(BlockingIOError):
            while os.read(self._fd, 1 << 16):
                found = True
        return found


def _by_hand(kind: int, body: bytes) -> bool:
    """Return whether a message tells of what somebody did, and not of a neighbour that was learnt."""
    return kind not in (_RTM_NEWNEIGH, _RTM_DELNEIGH) or bool(body[_NDM_STATE] & _NUD_PERMANENT)


def _legacy(namespaces: Sequence[str]) -> Mapping[tuple[str, str], object]:
    """Return what differs when rules of iptables-legacy have changed, of the namespaces that have its tables."""
    return {
        (name, family): listing.generation(name, family, tables)[1:]
        for name in namespaces
        for family, tables in _legacy_tables(name)
    }


def unheard(namespaces: Sequence[str]) -> bool:
    """Return whether changes of iptables-legacy's rules, should there be some, are kept from this user."""
    for name in namespaces:
        with netns.inside(name):
            if any(legacy.tables(family) is None for family in ("ip", "ip6")):
                return True
    return False


def _legacy_tables(name: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    with netns.inside(name):
        for family in ("ip", "ip6"):
            if tables := legacy.tables(family):
                yield family, tables


def state(namespaces: Sequence[str]) -> str:
    """Return links, addresses, routes and rules of namespaces as text, without what changes by itself.

    The order of lines is left out, for kube-proxy makes chains anew in another; so are counters and sets' elements.
    """
    listed = command.run_all(
        [
            each
            for name in namespaces
            for each in (
                command.Command(argv=("nft", "-s", "-t", "list", "ruleset"), netns=name),
                command.Command(argv=("ip", "-d", "-o", "-batch", "-"), netns=name, stdin=_IP),
            )
        ]
    )
    texts = [f"{end.command.netns}\n{_unordered(_BY_ITSELF.sub('', end.stdout))}" for end in listed]
    return "\n".join([*texts, str(sorted(_legacy(namespaces).items()))])


def _unordered(text: str) -> str:
    return "\n".join(sorted(text.splitlines()))


def wait(changes: Changes, control: socket.socket, timeout_s: float) -> bool:
    """Wait until something may have changed, at most so long; return whether `control` has something to read."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    for each in changes.files:
        poll.register(each, select.POLLIN)
    return control.fileno() in {fd for fd, _ in poll.poll(1000 * timeout_s)}
