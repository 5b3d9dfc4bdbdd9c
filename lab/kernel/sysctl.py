"""The only door to sysctls: those of the network namespace that this thread is in.

/proc/sys/net shows the reader's own namespace whatever /proc was mounted for (proc_sys(5), network_namespaces(7)).
"""

from __future__ import annotations

import os
from errno import EACCES, ENOENT, EPERM, EROFS, errorcode

from lab.errors import KernelError

_FOLDER = "/proc/sys"

_HINTS = {
    "net.bridge.": "br_netfilter is not loaded; `invoke lab.doctor` says how to load it, and what that changes",
    "net.netfilter.": "nf_conntrack is not loaded; `invoke lab.doctor` says how to load it",
}


def path(key: str) -> str:
    """Return the file of a dotted key.

    As in sysctl(8) an interface name with a dot in it is written with a slash: `net.ipv4.conf.eth0/5.rp_filter`.
    Raises `ValueError` for a key that does not stay under /proc/sys.
    """
    parts = [part.replace("/", ".") for part in key.split(".")]
    if "/" in key and any(part.strip(".") == "" for part in parts):
        raise ValueError(f"{key!r} is not a sysctl's name")
    if not all(parts):
        raise ValueError(f"{key!r} is not a sysctl's name")
    return "/".join((_FOLDER, *parts))


def exists(key: str) -> bool:
    """Return whether the kernel has `key` here."""
    return os.path.exists(path(key))


def write(key: str, value: str) -> None:
    """Write `value` to `key`; `KernelError` names key, value and errno."""
    try:
        fd = os.open(path(key), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise _refused(f"sysctl {key}={value}", key, error) from None


def read(key: str) -> str:
    """Return the value of `key` without the newline; `KernelError` names key and errno."""
    try:
        with open(path(key), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError as error:
        raise _refused(f"sysctl {key}", key, error) from None


def _refused(what: str, key: str, error: OSError) -> KernelError:
    number = error.errno or 0
    hint = ""
    if number == ENOENT:
        hint = next((text for prefix, text in _HINTS.items() if key.startswith(prefix)), "")
    elif number in (EACCES, EPERM, EROFS):
        hint = "only the machine's own user may write it; a user namespace cannot"
    return KernelError(f"{what}: {os.strerror(number)} ({errorcode.get(number, number)})", hint=hint)
