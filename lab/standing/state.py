"""The state folders: what is known of a lab outside its capsule, one folder a lab, in a place of the caller's own.

A folder names its lab's keeper by PID, start time and boot, so a reused PID is never taken for it. The keeper holds a
lock on the log as long as it lives, which is also seen from another PID namespace, and it ends when the log is removed.
A folder whose keeper is gone and that nobody holds locked is stale, and is removed by whoever sees it first.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from lab.errors import HostError, TopologyError
from lab.kernel.capsule import Keeper, current, identify
from lab.kernel.fork import undisturbed

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RECORD = "lab.json"
LOG = "log"
PRIVATE = 0o700
PATIENCE_S = 60.0
"""How long to wait, in seconds, for another command that changes or checks the same lab; it should take a few."""
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What the state folder of one lab holds.

    `source`: the topology as the user named it. `created`: seconds since the epoch. `objects`: the lab's objects,
    complete, as JSON (a Kubernetes List). `notes`: what its user should know, a sentence each. `pending`: the objects
    that a change was to lead to which has not come to its end: the lab is then somewhere between `objects` and these.
    `rules`: the nodes that have a file's rules instead of kube-proxy's, and which file's.
    """

    name: str
    keeper: Keeper
    source: str
    created: float
    version: str
    objects: dict[str, Any]
    notes: tuple[str, ...] = ()
    pending: dict[str, Any] | None = None
    rules: dict[str, str] = field(default_factory=dict)


def checked_name(name: str) -> str:
    """Return `name` if it can be a lab's name, a label as RFC 1123 has it; raise `TopologyError` otherwise."""
    if not NAME.fullmatch(name):
        raise TopologyError(
            f"lab name {name[:80]!r}: expected at most 63 lower-case letters, digits and '-', beginning and ending"
            " with a letter or digit",
            hint="for example: --lab my-lab",
        )
    return name


def root() -> Path:
    """Return the folder of all state folders; it need not exist.

    It lies in $XDG_RUNTIME_DIR or /run/user/UID if that is ours, or else in /tmp. /run itself is nobody's own, and
    /run/hairpin is a capsule's.
    """
    uid = os.geteuid()
    for runtime in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}"):
        with suppress(OSError):
            ours = os.path.isabs(runtime) and os.stat(runtime).st_uid == uid and os.access(runtime, os.W_OK)
            if ours and os.path.realpath(runtime) != "/run":
                return Path(runtime) / "hairpin"
    return Path(f"/tmp/hairpin-{uid}")  # noqa: S108 - made 0700, and refused if it is not ours


def _make(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=PRIVATE)


def _check_ours(folder: Path) -> None:
    """Raise `HostError` if `folder` is anything else than a folder for us alone, such as a stranger's link."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != PRIVATE:
        raise HostError(
            f"{folder}: expected a folder of your own with mode 0700,"
            f" found {stat.filemode(found.st_mode)} of uid {found.st_uid}",
            hint="look at what is there; remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )


@contextmanager
def locked(name: str, *, create: bool = False) -> Iterator[Path]:
    """Hold the lock of the lab `name` and give its state folder; a folder that is left empty is removed.

    The folder itself is what is locked (flock(2)), which waits for another command's change to end; it is looked at
    anew after the wait, since the other may have removed it. Raises `TopologyError` if there is no such lab,
    `HostError` if the other command takes longer than `PATIENCE_S`.
    """
    folder = root() / checked_name(name)
    deadline = time.monotonic() + PATIENCE_S
    with undisturbed() as disturbed:  # a signal must not leave behind a folder that was just made
        while (fd := _lock(folder, create=create)) is None:
            with disturbed():
                if time.monotonic() >= deadline:
                    raise HostError(
                        f"lab {name}: another command is changing or checking it, and does not come to an end",
                        hint=f"find it: fuser -v {folder}",
                    )
                time.sleep(_POLL_S)
        try:
            with disturbed():
                yield folder
        finally:
            for empty in (folder, folder.parent):
                with suppress(OSError):
                    empty.rmdir()
            os.close(fd)


def _lock(folder: Path, *, create: bool) -> int | None:
    """Return a descriptor that holds the lock of `folder`, or None if it is to be tried again: somebody else is at it.

    Raises `TopologyError` if it is not there and is not to be created.
    """
    if create:
        _make(folder.parent)  # outside of the `try`: if it cannot be made, it will not help to try again
    try:
        if create:
            _check_ours(folder.parent)
            _make(folder)
            _check_ours(folder)
        return _lock_now(folder)
    except FileNotFoundError:
        if not create:  # otherwise somebody who just left has removed it
            raise no_lab(folder.name) from None
    except BlockingIOError:
        pass
    return None


def _lock_now(folder: Path) -> int:
    """Return a descriptor that holds the lock of `folder`.

    Raises `FileNotFoundError` if it is not there (any more), `BlockingIOError` if somebody else holds it.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    with ExitStack() as unless_locked:
        unless_locked.callback(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), folder.lstat()):
            raise FileNotFoundError(errno.ENOENT, "removed, and made anew", str(folder))
        unless_locked.pop_all()
    return fd


@contextmanager
def open_log(folder: Path) -> Iterator[int]:
    """Open the log of the lab of `folder` for its keeper, and lock it: whoever inherits it keeps the lock."""
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(log, fcntl.LOCK_SH)
        yield log
    finally:
        os.close(log)


def check_not_held(folder: Path) -> None:
    """Raise `HostError` if a keeper holds the lab of `folder`, though its record does not lead to it."""
    if _held(folder):
        raise HostError(
            f"lab {folder.name!r} stands, but its keeper cannot be told from here: another PID namespace (a container?)"
            " or another version of Hairpin built it",
            hint=f"end it there; or remove {folder}: it then ends by itself",
        )


def _held(folder: Path) -> bool:
    try:
        fd = os.open(folder / LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def no_lab(name: str) -> TopologyError:
    """Return the error that a lab has gone, or was never there."""
    return TopologyError(f"no lab {name!r} stands", hint="`invoke lab.list` shows those that do")


def write(folder: Path, record: Record) -> None:
    """Write the record of a lab, whole or not at all."""
    draft = folder / f"{_RECORD}.new"
    raw = {one.name: getattr(record, one.name) for one in fields(record)}  # `asdict` would copy all the objects
    draft.write_text(json.dumps({**raw, "keeper": asdict(record.keeper)}), encoding="utf-8")
    draft.replace(folder / _RECORD)


def note(name: str, **changes: object) -> None:
    """Write fields of the record of the lab `name`, whose lock we hold; raises `TopologyError` if it has none."""
    record = read(name)  # anew: who is inside knows the keeper by another PID
    if record is None:
        raise no_lab(name)
    write(root() / name, replace(record, **changes))  # type: ignore[arg-type] # the callers know the fields


def read(name: str) -> Record | None:
    """Return the record of the lab `name`, or None if there is none that can be read."""
    try:
        # Not to wait for a writer, should somebody have put a FIFO there.
        fd = os.open(root() / name / _RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, encoding="utf-8") as file:
            raw = json.load(file)
        boot, start, pid = str(raw["keeper"]["boot"]), int(raw["keeper"]["start"]), int(raw["keeper"]["pid"])
        changed = {"keeper": Keeper(pid=pid, start=start, boot=boot), "notes": tuple(raw["notes"])}
        return Record(**{**raw, "created": float(raw["created"]), **changed})
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def version(name: str) -> tuple[int, int]:
    """Return what tells the record of the lab `name` from those before it; (0, 0) if there is none."""
    try:
        found = (root() / name / _RECORD).stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def clear(folder: Path) -> None:
    """Empty the state folder of a lab whose lock we hold; `locked` removes it then."""
    for entry in folder.iterdir():
        entry.unlink()


def standing() -> tuple[Record, ...]:
    """Return the labs that stand, by name; stale folders are removed on the way."""
    if inside := current():  # of all keepers only this one can be seen, as PID 1
        record, keeper = read(inside), identify(1)
        return (replace(record, keeper=keeper),) if record and keeper else ()
    try:
        _check_ours(root())
        names = sorted(entry.name for entry in os.scandir(root()) if NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return ()
    records = ((name, read(name)) for name in names)
    live = tuple(record for name, record in records if record and record.name == name and record.keeper.alive)
    for name in set(names) - {record.name for record in live}:
        _prune(name)
    with suppress(OSError):  # others are in it; it is empty, too, if a command was killed just when it had made it
        root().rmdir()
    return live


def _prune(name: str) -> None:
    """Remove the folder of a lab that does not stand, unless somebody is just working on it."""
    folder = root() / name
    with suppress(OSError):
        fd = _lock_now(folder)
        try:
            record = read(name)
            if not (record is not None and record.keeper.alive) and not _held(folder):
                clear(folder)
                folder.rmdir()
        finally:
            os.close(fd)


def find(name: str | None) -> Record:
    """Return the lab that a command works on: `name`, else $HAIRPIN_LAB, else the only one that stands.

    Raises `TopologyError` if it does not stand, or if several do and none is named.
    """
    name = name or os.environ.get("HAIRPIN_LAB") or None
    live = standing()
    if name is None:
        if len(live) == 1:
            return live[0]
        if not live:
            raise TopologyError("no lab stands", hint="build one: invoke lab.up clusterip")
        listed = ", ".join(record.name for record in live)
        raise TopologyError(f"several labs stand: {listed}", hint=f"say which: --lab {live[0].name}")
    checked_name(name)
    for record in live:
        if record.name == name:
            return record
    listed = ", ".join(record.name for record in live) or "none"
    raise TopologyError(
        f"no lab {name!r} stands; standing: {listed}", hint=f"build it: invoke lab.up TOPOLOGY --lab {name}"
    )
