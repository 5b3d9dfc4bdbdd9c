"""Network namespaces of the capsule that this process is in, by their names under /run/netns (ip-netns(8)).

The empty name is the capsule's own network namespace. A namespace is a property of a thread: these functions
belong in single-threaded processes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import KernelError
from lab.kernel import syscalls

FOLDER = "/run/netns"


def path(name: str) -> str:
    """Return the file that stands for the namespace `name`; the keeper (PID 1 here) is in the capsule's own."""
    return f"{FOLDER}/{name}" if name else "/proc/1/ns/net"


def enter(name: str) -> None:
    """Move this thread into the namespace `name`; `KernelError` if there is none."""
    try:
        fd = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise KernelError(
            f"{name}: no such network namespace in this lab",
            hint="`invoke lab.check` puts back what a change removed that was cut off; else build the lab anew",
        ) from None
    try:
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
    finally:
        os.close(fd)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Be in the namespace `name` for a while: sockets opened and programs started here live there."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(name)
        yield
    finally:
        syscalls.setns(before, syscalls.CLONE_NEWNET)
        os.close(before)


def create(name: str) -> None:
    """Make the namespace `name` and move this thread into it (as `ip netns add` does, by a bind mount)."""
    target = path(name)
    os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    syscalls.unshare(syscalls.CLONE_NEWNET)
    syscalls.mount("/proc/self/ns/net", target, flags=syscalls.MS_BIND)


def remove(name: str) -> None:
    """Remove the namespace `name` (as `ip netns delete` does); it ends when nothing is in it and nobody holds it open.

    `OSError` (ENOENT) if there is none; one that is only half made goes too.
    """
    target = path(name)
    try:
        syscalls.umount(target, syscalls.MNT_DETACH)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not a mount: whoever made it did not come further
            raise
    os.unlink(target)


@contextmanager
def scratch() -> Iterator[None]:
    """Be in a new network namespace without a name, which goes when this ends."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.unshare(syscalls.CLONE_NEWNET)
        yield
    finally:
        syscalls.setns(before, syscalls.CLONE_NEWNET)
        os.close(before)
