"""YAML to plain values that remember where they stood: libyaml composes, this module gives the nodes their meaning.

The scalars are those that Kubernetes' own reader (YAML 1.1, by way of JSON) makes of them, but for what nobody means:
`12:30` is no number in base 60, and a date stays a text. Keys are always texts. A file is refused early when it is
too large, too deep, or grows too large through its aliases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from lab.errors import TopologyError
from lab.parse.mistake import SHOWN, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.parse.mistake import Path

MAX_DEPTH = 64  # levels of nesting; a Kubernetes object has about a dozen
MAX_NODES = 300_000  # values of a file, each counted as often as its aliases repeat it: about a second's work
LONGEST_NUMBER = 40  # characters; a longer one is left a text, which no numeric field takes

_TAG = "tag:yaml.org,2002:"
# libyaml's printable characters (YAML 1.1, section 4.1.1)
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBER = re.compile(r"[-+]?\.?[0-9][0-9_a-fA-FxoO.+-]*")  # at first sight; then without its underscores:
_INT = re.compile(r"([-+]?)(?:(0x[0-9a-fA-F]+)|(0b[01]+)|0o?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **{word: True for text in ("true", "yes", "on") for word in (text, text.title(), text.upper())},
    **{word: False for text in ("false", "no", "off") for word in (text, text.title(), text.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}


class _TooMuch(Exception):  # noqa: N818 - never leaves this module
    """The file passes a limit; the text says which."""


class _Composer(CParser):
    """libyaml's composer, stopped at the limits: it calls these three methods for each node."""

    def __init__(self, text: str, most: int) -> None:
        super().__init__(text)
        self.depth = self.nodes = 0
        self.most = most

    def descend_resolver(self, _parent: object, _index: object) -> None:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH:
            raise _TooMuch(f"more than {MAX_DEPTH} levels of nesting")
        if self.nodes > self.most:
            raise _TooMuch(f"more than {self.most} values")

    def ascend_resolver(self) -> None:
        self.depth -= 1

    def resolve(self, _kind: object, _value: object, implicit: object) -> str:
        # a scalar's `implicit` is (plain, quoted), a collection's one bool
        return "plain" if isinstance(implicit, tuple) and implicit[0] else "quoted"


@dataclass(frozen=True, slots=True)
class Spot:
    """A mistake in the YAML itself, at a line and a column (from 1)."""

    line: int
    column: int
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its plain value, and the nodes that know the positions."""

    value: Any
    root: Node

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Return line and column (from 1) of the value at `path`, or of its key; of the nearest parent if absent."""
        node, mark = self.root, self.root.start_mark
        for step in path:
            pair = _step(node, step)
            if pair is None:
                break
            node = pair[1]
            mark = (pair[0] if key and pair[0] is not None else node).start_mark
        return mark.line + 1, mark.column + 1


def _step(node: Node, step: str | int) -> tuple[Node | None, Node] | None:
    if isinstance(node, SequenceNode) and isinstance(step, int):
        return (None, node.value[step]) if step < len(node.value) else None
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == step:
                return key, value
        for key, value in node.value:
            if _is_merge(key):
                for part in value.value if isinstance(value, SequenceNode) else (value,):
                    pair = _step(part, step)
                    if pair is not None:
                        return pair
    return None


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and key.tag == "plain"


@dataclass(slots=True)
class _Reader:
    """Makes plain values of nodes: fresh ones each time that an alias repeats a node, for they are changed later."""

    most: int
    spots: list[Spot] = field(default_factory=list)
    count: int = 0
    open: set[int] = field(default_factory=set)

    def spot(self, node: Node, text: str) -> None:
        if len(self.spots) < SHOWN:
            self.spots.append(Spot(node.start_mark.line + 1, node.start_mark.column + 1, text))

    def read(self, node: Node) -> Any:
        self.count += 1
        if self.count > self.most:
            raise _TooMuch(f"more than {self.most} values, with those that its aliases repeat")
        if isinstance(node, ScalarNode):
            return self.scalar(node)
        here = id(node)
        if here in self.open:
            self.spot(node, "an alias inside of this value refers to the value itself")
            return None
        if len(self.open) > MAX_DEPTH:
            raise _TooMuch(f"more than {MAX_DEPTH} levels of nesting, with those that its aliases repeat")
        self.open.add(here)
        if node.tag not in ("quoted", _TAG + "map", _TAG + "seq"):
            self.spot(node, f"the tag {show(node.tag)} means nothing here; expected plain YAML")
        made = self.mapping(node) if isinstance(node, MappingNode) else [self.read(child) for child in node.value]
        self.open.discard(here)
        return made

    def scalar(self, node: ScalarNode) -> Any:
        text: str = node.value
        if node.tag == "plain":
            return plain(text)
        if node.tag not in ("quoted", _TAG + "str"):
            if node.tag in (_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"):
                return plain(text)
            self.spot(node, f"the tag {show(node.tag)} means nothing here; expected plain YAML")
        return text

    def mapping(self, node: MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.spot(key, "a mapping or a list cannot be a key; expected a field name")
                continue
            if _is_merge(key):
                merged = {**self.merge(value), **merged}
                continue
            if key.value in result:
                line = first[key.value].start_mark.line + 1
                self.spot(key, f"the key {show(key.value)} is here twice, first in line {line}")
                continue
            first[key.value] = key
            result[key.value] = self.read(value)
        return {**merged, **result} if merged else result

    def merge(self, node: Node) -> dict[str, Any]:
        value = self.read(node)
        parts = value if isinstance(value, list) else [value]
        if all(isinstance(part, dict) for part in parts):
            return {key: part[key] for part in reversed(parts) for key in part}
        self.spot(node, "<< merges mappings; expected an alias of a mapping, or a list of them")
        return {}


def plain(text: str) -> Any:
    """Return what an unquoted YAML scalar means: null, a bool, a number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return text
    bare = text.replace("_", "")
    number = _INT.fullmatch(bare)
    if number:
        sign, *groups = number.groups()
        digits, base = next((part, base) for part, base in zip(groups, (16, 2, 8, 10), strict=True) if part)
        return -int(digits, base) if sign == "-" else int(digits, base)
    return float(bare) if _FLOAT.fullmatch(bare) else text


def documents(text: str, source: str, *, most: int = MAX_NODES) -> tuple[list[Document], list[Spot]]:
    """Return the documents of `text`, and the mistakes that still let it be read (a key that is there twice...).

    `most`: how many values it may have, those that its aliases repeat counted each time.
    Raises `TopologyError` if the text is not YAML or passes a limit; `source` is its file's name.
    """
    control = forbidden(text)
    if control:
        line, column = place(text, control.start())
        text = f"the character {show(control.group())} is not allowed in YAML; expected text"
        raise TopologyError(f"{source}:{line}:{column}: {text}")
    reader = _Reader(most)
    try:
        found = [Document(reader.read(root), root) for root in _compose(text, most)]
    except _TooMuch as error:
        raise TopologyError(f"{source}: {error}", hint="split the topology, or leave out what is not needed") from None
    except MarkedYAMLError as error:
        raise TopologyError(f"{source}:{_explain(error, text)}") from None
    except YAMLError as error:
        raise TopologyError(f"{source}: this is not YAML: {show(str(error))}") from None
    return found, reader.spots


def forbidden(text: str) -> re.Match[str] | None:
    """Return the first character that YAML does not allow."""
    return _CONTROL.search(text)


def _compose(text: str, most: int) -> Iterator[Node]:
    composer = _Composer(text, most)
    while composer.check_node():
        node = composer.get_node()
        if node is not None:
            yield node


def _explain(error: MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    if "\t" in here[: column + 1]:
        return f"{line}:{column}: a tab in {show(here.strip())}; expected spaces: YAML does not indent with tabs"
    context = f" {error.context}" if error.context else ""
    if context and error.context_mark and error.context_mark.line + 1 < line:
        context += f" that begins at {error.context_mark.line + 1}:{error.context_mark.column + 1}"
    shown = f" near {show(here.strip())}" if here.strip() else ""
    return f"{line}:{column}: this is not YAML{shown}: {error.problem or 'syntax error'}{context}"


def place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column (from 1) of a character of `text`."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1
