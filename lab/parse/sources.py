"""The objects of a file one by one, JSON or YAML alike: of what kind each is, and where it stands."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, AnyStr

import msgspec
from msgspec import Raw, Struct

from lab.errors import TopologyError
from lab.parse import quick
from lab.parse.files import decode_text
from lab.parse.mistake import Path, show, show_path
from lab.parse.yaml import Document, documents

WHAT = "kubectl get nodes,services,endpointslices,servicecidrs -A -o json prints what is needed"
MAX_YAML_VALUES = 5_000_000  # of YAML that is not read the quick way


@dataclass(frozen=True)
class File:
    """The text of a file, and `name`: what messages call it."""

    data: bytes
    name: str

    @cached_property
    def documents(self) -> list[Document]:
        """The YAML documents with their positions; raises `TopologyError` if this is no YAML."""
        found, spots = documents(decode_text(self.data, self.name), self.name, most=MAX_YAML_VALUES)
        if spots:
            raise TopologyError([f"{self.name}:{spot.line}:{spot.column}: {spot.text}" for spot in spots])
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One object as it stands in its file: what kind it says it is ("" if it does not), and its fields.

    JSON has `raw`, the bytes of the object, and `start`, where they begin; YAML has `value`, and a `path` to it in the
    document number `document`.
    """

    file: File
    api_version: str = ""
    kind: str = ""
    raw: Raw | None = None
    start: int = 0
    value: Any = None
    document: int = 0
    path: Path = ()

    def plain(self) -> Any:
        """Return the object as dicts, lists and scalars, with the kind that a list of such objects says for it."""
        value = self.value if self.raw is None else msgspec.json.decode(self.raw)
        if isinstance(value, dict):
            value.setdefault("apiVersion", self.api_version)
            value.setdefault("kind", self.kind)
        return value

    def said(self, path: Path, text: str, *, key: bool = False) -> str:
        """Return `FILE:LINE:COLUMN: path.to.field: text` of a value in the object, or of its key."""
        document, above, before = self._document()
        whole = (*self.path, *path)
        line, column = document.position(whole, key=key) if document else (1, 1)
        column += before if line == 1 else 0
        where = f"{show_path(whole)}: " if whole else ""
        return f"{self.file.name}:{line + above}:{column}: {where}{text}"

    def _document(self) -> tuple[Document | None, int, int]:
        """Return the document, the lines above it, and the characters before it in its line.

        An object of JSON alone is read again, as YAML; JSON that is no YAML has only a beginning.
        """
        if self.raw is None:
            return self.file.documents[self.document], 0, 0
        data = self.file.data
        above, before = data.count(b"\n", 0, self.start), self.start - (data.rfind(b"\n", 0, self.start) + 1)
        text = bytes(self.raw).decode("utf-8", "replace").replace("\t", " ")
        try:
            return documents(text, self.file.name, most=MAX_YAML_VALUES)[0][0], above, before
        except TopologyError:
            return None, above, before


class _Head(Struct, rename="camel"):
    """As much of an object as it takes to know what it is; a List has items."""

    api_version: str = ""
    kind: str = ""
    items: list[Raw] | None = None


_HEAD = msgspec.json.Decoder(_Head)
_BLANK = re.compile(r"\s*")
_BETWEEN = re.compile(rb"[\s,]*")  # two items of a list


def sources(data: bytes, name: str) -> Iterator[Source]:
    """Yield the objects of a file's bytes, those of Lists too; `name` is what messages call the file.

    Raises `TopologyError` if there are none because this is neither JSON nor YAML of objects.
    """
    return iter(_json(File(data, name)) or _yaml(File(data, name)))


def _json(file: File) -> list[Source] | None:
    """Return the objects of a JSON text, or of several in a row; None if it is none."""
    data = file.data.removeprefix(codecs.BOM_UTF8)
    if data.lstrip(b" \t\r\n")[:1] != b"{":
        return None
    begin = len(file.data) - len(data)
    try:
        return list(_items(file, Raw(data), "", "", begin))
    except msgspec.MsgspecError:
        found: list[Source] = []
    try:
        for text in _several(data):
            begin = file.data.find(text, begin)
            found += _items(file, Raw(text), "", "", begin)
            begin += len(text)
    except (ValueError, msgspec.MsgspecError):
        return None  # YAML's flow style perhaps; else its reader knows the line
    return found


def _several(data: bytes) -> Iterator[bytes]:
    text, end = data.decode(), 0
    while (begin := _end(_BLANK, text, end)) < len(text):
        _, end = json.JSONDecoder().raw_decode(text, begin)
        yield text[begin:end].encode()


def _end(pattern: re.Pattern[AnyStr], text: AnyStr, begin: int) -> int:
    found = pattern.match(text, begin)
    return found.end() if found else begin


def _items(file: File, raw: Raw, api_version: str, kind: str, start: int) -> Iterator[Source]:
    head = _HEAD.decode(raw)
    if head.items is None or not head.kind.endswith("List"):
        yield Source(
            file=file, api_version=head.api_version or api_version, kind=head.kind or kind, raw=raw, start=start
        )
        return
    of = head.kind.removesuffix("List")
    version = head.api_version if of else ""
    for number, item in enumerate(head.items):
        # To look for each item would take as long as to decode it.
        start = _end(_BETWEEN, file.data, start) if number else file.data.find(item, start)
        yield from _items(file, item, version, of, start)
        start += len(item)


def _yaml(file: File) -> Iterator[Source]:
    found = quick.values(decode_text(file.data, file.name))
    found = [document.value for document in file.documents] if found is None else found
    if all(value is None for value in found):
        raise TopologyError(f"{file.name}: there is nothing in here; expected Kubernetes objects", hint=WHAT)
    for number, value in enumerate(found):
        if value is None:  # comments only
            continue
        if not isinstance(value, dict):
            line, column = file.documents[number].position(())
            raise TopologyError(f"{file.name}:{line}:{column}: {show(value)} is no object; expected Kubernetes objects")
        yield from _values(Source(file=file, value=value, document=number), "", "")


def _values(one: Source, api_version: str, kind: str) -> Iterator[Source]:
    value = one.value if isinstance(one.value, dict) else {}
    version, own, items = (value.get(name) for name in ("apiVersion", "kind", "items"))
    version = version if isinstance(version, str) and version else api_version
    own = own if isinstance(own, str) and own else kind
    if not own.endswith("List") or not isinstance(items, list):
        yield Source(
            file=one.file, api_version=version, kind=own, value=one.value, document=one.document, path=one.path
        )
        return
    of = own.removesuffix("List")
    for index, item in enumerate(items):
        inner = Source(file=one.file, value=item, document=one.document, path=(*one.path, "items", index))
        yield from _values(inner, version if of else "", of)
