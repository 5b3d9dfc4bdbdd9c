"""A user's files and standard input: their bytes, their text, and what messages call them."""

from __future__ import annotations

import sys
from pathlib import Path

from lab.errors import TopologyError
from lab.parse.yaml import place

STDIN = "-"
FILE = "lab.yaml"
MAX_BYTES = 8 * 2**20  # of a topology, which has some kilobytes


def source_of(name: str) -> str:
    """Return what messages call a file; "-" is standard input."""
    return "standard input" if name == STDIN else printable(Path(name))


def printable(path: Path) -> str:
    """Return a path as it can be shown in one line."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def text_of(name: str) -> tuple[str, str]:
    """Return the text of a file, and what messages call it; "-" is standard input, a folder means its lab.yaml.

    Raises `TopologyError` if there is no such file, if it is too large, or if it is not text.
    """
    file = Path(name) / FILE if name != STDIN and _is_folder(Path(name)) else Path(name)
    source = source_of(str(file))
    hint = f"a topology is a YAML file, or a folder with {FILE}"
    return decode_text(data_of(str(file), most=MAX_BYTES, hint=hint), source), source


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long for the file system, or with a null byte
        return False


def data_of(name: str, *, most: int, hint: str) -> bytes:
    """Return the bytes of a file, or of standard input for "-"; raises `TopologyError` if there are none to be had.

    `most`: how many bytes there may be. `hint`: what is said beside a file that is missing or too large.
    """
    source = source_of(name)
    try:
        if name == STDIN:
            data = sys.stdin.buffer.read(most + 1)
        else:
            with Path(name).open("rb") as stream:
                data = stream.read(most + 1)
    except IsADirectoryError:
        raise TopologyError(f"{source}: this is a folder; expected a file") from None
    except FileNotFoundError:
        raise TopologyError(f"{source}: there is no such file", hint=hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it cannot be a file's name"
        raise TopologyError(f"{source}: cannot be read: {reason}") from None
    if len(data) > most:
        raise TopologyError(f"{source}: larger than {most // 2**20} MiB", hint=hint)
    return data


def decode_text(data: bytes, source: str) -> str:
    """Return the text of a file's bytes; raises `TopologyError` if they are not UTF-8 text."""
    if b"\0" in data:
        raise TopologyError(f"{source}: this is a binary file; expected YAML, as UTF-8 text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = place(data[: error.start].decode("utf-8", "replace"), error.start)
        byte = data[error.start]
        msg = f"{source}:{line}:{column}: the byte 0x{byte:02x} is not UTF-8; expected YAML, as UTF-8 text"
        raise TopologyError(msg) from None
