"""The progress file: one JSON of what a learner has done, read and written whole, whoever is killed meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from lab.errors import HostError, TopologyError
from lab.model.progress import VERSION, Progress

VARIABLE = "HAIRPIN_PROGRESS"
MOST_BYTES = 16 * 1024 * 1024
"""No progress file is so large; what is is something else."""


def path() -> str:
    """Return the progress file's path; it need not be there.

    $HAIRPIN_PROGRESS, else hairpin/progress.json in $XDG_STATE_HOME, which is ~/.local/state if it is not set (XDG Base
    Directory Specification).
    """
    own = os.environ.get(VARIABLE)
    if own:
        return os.path.abspath(own)
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # the specification: such a path is to be ignored
        state = os.path.join(_home(), ".local", "state")
    return os.path.join(state, "hairpin", "progress.json")


def _home() -> str:
    home = os.environ.get("HOME")
    if home:
        return home
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_dir
    raise HostError(
        f"uid {os.getuid()} has no home", hint=f"say where your progress is to be kept: export {VARIABLE}=FILE"
    )


def read() -> Progress:
    """Return what the progress file holds; raises `TopologyError` if that is damaged, `HostError` if it is not ours."""
    return _read(path())


def change(how: Callable[[Progress], Progress]) -> Progress:
    """Write what `how` makes of the progress, whole or not at all, and return it; nobody else writes meanwhile.

    Raises what `read` raises, and `HostError` if the file cannot be written.
    """
    place = os.path.realpath(path())  # a link to it stays
    with _refusing(place), _locked(os.path.dirname(place)):
        changed = how(_read(place))
        _write(place, msgspec.json.format(msgspec.json.encode(changed), indent=2) + b"\n")
        return changed


def _read(place: str) -> Progress:
    with _refusing(place):
        try:
            fd = os.open(place, os.O_RDONLY | os.O_NONBLOCK)  # not to wait for a writer, should it be a FIFO
        except FileNotFoundError:
            return Progress()
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):  # a device would be replaced by what is written
                raise HostError(f"progress file {place}: expected a regular file", hint=_elsewhere())
            with os.fdopen(fd, "rb", closefd=False) as file:
                raw = file.read(MOST_BYTES + 1)
        finally:
            os.close(fd)
    return _decoded(raw, place) if raw else Progress()  # mktemp(1) makes empty ones


class _Version(msgspec.Struct):
    version: int = VERSION


def _decoded(raw: bytes, place: str) -> Progress:
    aside = f"put it aside and begin anew: {shlex.join(['mv', place, f'{place}.damaged'])}"
    try:
        version = msgspec.json.decode(raw[:MOST_BYTES], type=_Version).version  # first: what follows may be another's
        if version == VERSION:
            return msgspec.json.decode(raw[:MOST_BYTES], type=Progress)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TopologyError(f"progress file {place} is damaged: {error}", hint=aside) from None
    raise TopologyError(
        f"progress file {place}: expected version {VERSION}, found {version}",
        hint=f"another version of Hairpin wrote it; use that, or {aside}",
    )


@contextmanager
def _refusing(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = _elsewhere()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f"what it held is still there; make room, or {hint}"
        raise HostError(f"progress file {place}: {error.strerror}", hint=hint) from None


def _elsewhere() -> str:
    return f"have another one: export {VARIABLE}=FILE"


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    with suppress(FileExistsError):  # if it is no folder, the next line says so
        os.makedirs(folder, mode=0o700)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # held for the milliseconds of a write
        yield
    finally:
        os.close(fd)


def _write(place: str, data: bytes) -> None:
    """Write the file beside, and rename it: what a kill leaves is the old one or the new one, and perhaps a draft."""
    draft = f"{place}.part"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
            _hand_over(fd, place)
        os.rename(draft, place)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)  # on a full disk it would take what room there is
        raise


def _hand_over(fd: int, place: str) -> None:
    """Let the file stay its owner's: `sudo` may be needed for one exercise, and for the next one not."""
    with suppress(OSError):  # it is new, or we may not
        before = os.stat(place)
        os.fchown(fd, before.st_uid, before.st_gid)
