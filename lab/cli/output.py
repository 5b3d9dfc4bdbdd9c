"""What every task shares: how it prints, shows progress, and ends."""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from lab.cli import process
from lab.errors import HostError, LabError, TopologyError

if TYPE_CHECKING:
    from lab.report.table import Look

P = ParamSpec("P")
R = TypeVar("R")
N = TypeVar("N", int, float)

STDOUT = "-"
"""What names standard output where a file is wanted."""

FAILED = 1
"""Exit status: an expectation did not hold, or a request was not answered."""
REFUSED = 2
"""Exit status: wrong input, or a machine that lacks something."""


def plainly(task: Callable[P, R]) -> Callable[P, R]:
    """End a task that cannot go on by one message on standard error, never by a traceback."""

    @functools.wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            process.settle()
            return task(*args, **kwargs)
        except LabError as error:
            _end(f"error: {error}", REFUSED)
        except process.Interrupted as interruption:
            _end("interrupted", 128 + interruption.number)
        except BrokenPipeError:  # the reader, such as head(1), has seen enough
            _drop_output()
            sys.exit(0)
        except OSError as error:  # the machine's: a full disk, a folder that may not be written
            _drop_output()
            _end(f"error: {error}", REFUSED)

    return run


def _drop_output() -> None:
    """Send what is still to be written nowhere, or the interpreter would try, fail and complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(message: str, status: int) -> NoReturn:
    with suppress(OSError):  # the terminal may be gone
        clear_progress()
        print(message, file=sys.stderr)
    sys.exit(status)


def number(option: str, text: str, *, of: type[N] = int) -> N:
    """Return the number that an option was given; raise `TopologyError` if it is none.

    Options that are numbers reach their task as text, since invoke answers `--count x` by a traceback.
    """
    try:
        return of(text)
    except ValueError:
        kind = "a whole number" if of is int else "a number"
        raise TopologyError(f"{option} {text[:80]!r}: expected {kind}") from None


def port_number(option: str, text: str | None) -> int:
    """Return the port that an option was given, 0 if it was not; raise `TopologyError` if it is none.

    0 alone is refused here, since to those who take a port it means that none was given; they refuse what is too high.
    """
    from lab.model.kubernetes import HIGHEST_PORT

    if text is None:
        return 0
    if not (given := number(option, text)):
        raise TopologyError(f"{option} {given}: expected a port, 1 to {HIGHEST_PORT}")
    return given


def look(*, unfolded: bool = False) -> Look:
    """Return what standard output can show; colours are for terminals, and NO_COLOR is heeded.

    `unfolded`: where it is no terminal a line is as long as it must be, since programs read line by line.
    """
    from lab.report import table

    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    otherwise = sys.maxsize if unfolded else table.PLAIN.width
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else otherwise
    return table.look(sys.stdout.encoding, colour=colour, width=width)


def show(text: str) -> None:
    """Print text for people."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a topology's words may have letters that this terminal has not
    print(text, flush=True)


def show_json(data: Any) -> None:  # noqa: ANN401 - JSON is what it is
    """Print data for programs."""
    show(json.dumps(data, indent=2))


def file_mistakes(files: Mapping[str, str | None], others: Mapping[str, bool]) -> list[str]:
    """Return what is wrong with files that are wanted, as far as that shows before any is made.

    `files`: each by the option that names it, None for none; `others`: options that print on standard output, and
    whether they were given.
    """
    from lab import words

    mistakes = []
    if [*files.values()].count(STDOUT) + sum(others.values()) > 1:
        one_of = words.several([*others, *(f"{option} {STDOUT}" for option in files)], "and")
        mistakes.append(f"standard output is wanted more than once; expected one of {one_of}")
    named = [path for path in files.values() if path and path != STDOUT]
    for path in dict.fromkeys(path for path in named if named.count(path) > 1):
        options = words.several([option for option, one in files.items() if one == path], "and")
        mistakes.append(f"{options} {path!r}: expected a file for each")
    for option, wanted in files.items():
        if wanted is not None and (problem := _problem(wanted)):
            mistakes.append(f"{option} {wanted!r}: {os.strerror(problem)}; expected a new file, or {STDOUT}")
    return mistakes


def _problem(path: str) -> int:
    """Return the errno that writing a new file would meet, as far as that shows beforehand; 0 if none."""
    if path == STDOUT:
        return 0
    if not path:
        return errno.ENOENT
    if "\0" in path:
        return errno.EINVAL
    if os.path.isdir(path):
        return errno.EISDIR
    if os.path.isfile(path):
        return errno.EEXIST
    folder = os.path.dirname(path) or "."
    return 0 if os.path.isdir(folder) else errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT


def write_file(path: str, text: str, *, option: str) -> None:
    """Write a text into a new file, whole or not at all: it is written beside, and renamed.

    "-" is standard output. What is there and no regular file (a pipe, /dev/stdout) is written to; a file that exists is
    never overwritten. `option` is what messages call it by (`--svg`). Raises `HostError` if it cannot.
    """
    data = text.encode("utf-8", "replace")
    try:
        if path == STDOUT:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif os.path.lexists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                file.write(data)
        else:
            _write_new(path, data)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null byte
        said = error.strerror if isinstance(error, OSError) else str(error)
        hint = f"choose another place: {option} FILE, or {option} {STDOUT}"
        raise HostError(f"{option} {path!r}: {said}", hint=hint) from None


def _write_new(path: str, data: bytes) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    draft = f"{path}.{os.getpid()}.part"
    try:
        with open(draft, "xb") as file:
            file.write(data)
        os.rename(draft, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def note(text: str) -> None:
    """Print what is not the result, beside it."""
    clear_progress()
    print(text, file=sys.stderr, flush=True)


def progress(what: str, done: int, total: int) -> None:
    """Show on a terminal, in one line that the next one replaces, how far the work is."""
    if sys.stderr.isatty():
        print(
            f"\r\x1b[K{what} {done}/{total}"[: shutil.get_terminal_size().columns + 3],
            end="",
            file=sys.stderr,
            flush=True,
        )


def clear_progress() -> None:
    """Remove the progress line."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
