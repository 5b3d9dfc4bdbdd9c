"""Reading much at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yaml._yaml import CParser
from yaml.error import YAMLError
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, MappingStartEvent, ScalarEvent

from lab.parse.yaml import MAX_DEPTH, forbidden, plain


@contextmanager
def uncollected() -> Iterator[None]:
    """Let Python's collector rest: thousands of objects come and stay, and half the time went into counting them."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def values(text: str) -> list[Any] | None:
    """Return the values of a text's YAML documents without their positions: in half the time and a quarter the memory.

    None if it takes `lab.parse.yaml.documents` to say what they are, or what is wrong with them: anchors, tags, merges,
    keys that are there twice or are no texts, too deep a nesting, no YAML at all.
    """
    if forbidden(text):
        return None
    try:
        return _values(CParser(text))
    except (YAMLError, _Unusual):
        return None


class _Unusual(Exception):  # noqa: N818 - never leaves this module
    """There is something in the text that takes the careful reader."""


def _values(parser: CParser) -> list[Any]:
    """Build each document from libyaml's events; in here every look-up counts, hence one long loop."""
    found: list[Any] = []
    meanings: dict[str, Any] = {}  # the same words come again and again
    above: list[tuple[Any, str | None]] = []
    here: Any = found
    key: str | None = None
    while (event := parser.get_event()) is not None:
        wants_key = key is None and type(here) is dict
        if isinstance(event, ScalarEvent):
            text = event.value
            if event.anchor is not None or event.tag is not None or (wants_key and _odd_key(event, here)):
                raise _Unusual
            if wants_key:
                key = text
                continue
            value = meanings[text] if text in meanings else meanings.setdefault(text, plain(text))
            value = value if event.implicit[0] else text
        elif isinstance(event, CollectionStartEvent):
            if event.anchor is not None or event.tag is not None or wants_key or len(above) == MAX_DEPTH:
                raise _Unusual
            above.append((here, key))
            here, key = {} if isinstance(event, MappingStartEvent) else [], None
            continue
        elif isinstance(event, CollectionEndEvent):
            value = here
            here, key = above.pop()
        elif isinstance(event, AliasEvent):
            raise _Unusual
        else:  # the stream and its documents begin and end
            continue
        if key is None:
            here.append(value)
        else:
            here[key], key = value, None
    return found


def _odd_key(event: Any, here: dict[str, Any]) -> bool:
    return event.value in here or (event.value == "<<" and event.implicit[0])
