"""Mermaid's flowcharts, as GitHub and GitLab draw them in Markdown. Source: https://mermaid.js.org/syntax/flowchart.html.

What something is called never becomes part of the syntax: identifiers are made here, and names stand in quotes, with
entity codes for what would end them or be read as Markdown or HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_CODES = {ord(letter): f"#{ord(letter)};" for letter in '"#&<>`\\%;*_[]{}|~'}


def quoted(*lines: str) -> str:
    """Return a text of several lines in quotes."""
    return f'"{"<br/>".join(_escaped(line) for line in lines if line)}"'


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split())).translate(_CODES)


def box(key: str, *lines: str, kind: str = "") -> str:
    """Return a box; `key` is letters, digits and `-`, `kind` a class of `CLASSES`."""
    return f"{name(key)}[{quoted(*lines)}]{f':::{kind}' if kind else ''}"


def arrow(start: str, end: str, words: str = "", *, style: str = "-->") -> str:
    """Return an arrow, `-->`, `-.->` or `---`, with words on it."""
    return f"{name(start)} {style}{f'|{quoted(words)}|' if words else ''} {name(end)}"


def inside(key: str, title: Sequence[str], lines: Iterable[str]) -> list[str]:
    """Return lines as a box of their own with a title."""
    return [f"subgraph {name(key)}[{quoted(*title)}]", "  direction LR", *(f"  {line}" for line in lines), "end"]


def name(key: str) -> str:
    """Return a key as an identifier, which is never one of mermaid's own words, such as `end`."""
    return f"x_{key.replace('-', '_')}"


CLASSES = (
    "classDef service stroke:#1d5fd1,stroke-width:2px",
    "classDef late stroke:#b26a00,stroke-dasharray:5 4",
    "classDef never stroke:#c22a30,stroke-dasharray:2 3",
    "classDef folded stroke-dasharray:5 4",
    "classDef hit stroke:#18794e,stroke-width:2px",
)
"""Only borders are coloured, so that the text stands on the reader's own ground, light or dark."""


def flowchart(lines: Iterable[str]) -> str:
    """Return a whole flowchart from left to right, without the fence of Markdown, with the classes that it uses."""
    body = [f"  {line}" for line in lines]
    used = [one for one in CLASSES if any(line.endswith(f":::{one.split()[1]}") for line in body)]
    return "\n".join(["flowchart LR", *body, *(f"  {one}" for one in used)]) + "\n"
