"""System calls that Python 3.11 does not have, through libc; each raises `OSError` with the kernel's errno."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2

_CAPABILITY_VERSION_3 = 0x2008_0522  # linux/capability.h

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), what)
    return result


def unshare(flags: int) -> None:
    """Leave the namespaces named by the CLONE_NEW* `flags` for new ones (unshare(2))."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Enter the namespaces that `fd` stands for: a namespace file, or a pidfd with several `flags` (setns(2))."""
    _check(_libc.setns(fd, flags), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` of file system type `kind` on `target` (mount(2))."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mount {target}",
    )


def umount(target: str, flags: int = 0) -> None:
    """Unmount what is mounted on `target` (umount2(2))."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def prctl(option: int, *arguments: int) -> None:
    """Ask the kernel about this process, with up to four integers after `option` (prctl(2))."""
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(option, *padded), f"prctl {option}")


def sethostname(name: str) -> None:
    """Set the host name of this UTS namespace, cut to the kernel's 64 bytes (sethostname(2))."""
    raw = name.encode()[:64]
    _check(_libc.sethostname(raw, len(raw)), "sethostname")


def getsockopt(fd: int, level: int, option: int, asked: bytes) -> bytes:
    """Return a socket's option (getsockopt(2)) of those that are told what is asked for by what they shall fill."""
    filled = ctypes.create_string_buffer(asked, len(asked))
    size = ctypes.c_uint32(len(asked))
    _check(_libc.getsockopt(fd, level, option, filled, ctypes.byref(size)), f"getsockopt {option}")
    return filled.raw[: size.value]


def inotify_init() -> int:
    """Return a descriptor on which events of files come, which does not wait (inotify_init1(2))."""
    return _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")


def inotify_add_watch(fd: int, path: str, events: int) -> int:
    """Ask for events of the file `path`, or of those in that folder (inotify_add_watch(2)); return the watch."""
    return _check(_libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint32(events)), f"inotify {path}")


def keep_capabilities() -> None:
    """Make every permitted capability inheritable and ambient, so that it survives an exec (capabilities(7)).

    What `unshare --keep-caps` does: without it a uid other than 0 would lose them at the first exec.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words first, then high words
    _check(_libc.capget(header, sets), "capget")
    sets[2], sets[5] = sets[1], sets[4]
    _check(_libc.capset(header, sets), "capset")
    permitted = sets[1] | sets[4] << 32
    for capability in range(permitted.bit_length()):
        if permitted >> capability & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
