"""Inputs of `nft -f` cut into several, each a transaction of its own.

A transaction has its limits: in a user namespace net.core.wmem_default, and everywhere the kernel's patience, for it
looks through all that a transaction has so far each time that a rule takes a set into use (nft_set_trans_bind). One
table of 5000 Services takes twice the time of its parts, one of 10,000 three times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_HEAD, _BODY, _ELEMENTS, _END = "\t", "\t\t", "\t\telements = {\n", "\t}\n"


@dataclass(frozen=True, slots=True)
class _Unit:
    """What must not be cut: a set without its elements, a chain, or one element; `block` is the set's text then."""

    text: str
    block: str = ""


def parts(text: str, *, size: int) -> Iterator[str]:
    """Split the text of one table into texts of about `size` letters, to be loaded in order where no such table is.

    First come the sets, then the chains in their order (each must stand behind those that its rules lead to), then the
    elements of the sets, and last the base chains, all in one: until then no packet meets any of it.
    The text is as Hairpin writes it: a block's lines begin with tabs for their depth, an element is a line.
    """
    lines = text.splitlines(keepends=True)
    opening = lines[0]
    sets, chains, elements, hooked = _units(lines)
    total = sum(len(unit.text) for unit in (*sets, *chains, *elements))
    enough = total / -(-total // size) if total else 0  # equal shares, and no crumbs
    batch: list[_Unit] = []
    used = 0
    for unit in (*sets, *chains, *elements):
        if used >= enough:
            yield _joined(opening, batch)
            batch, used = [], 0
        batch.append(unit)
        used += len(unit.text)
    if batch and hooked and used + sum(len(unit.text) for unit in hooked) > size:
        yield _joined(opening, batch)
        batch = []
    yield _joined(opening, [*batch, *hooked])


def is_commands(text: str) -> bool:
    """Return whether a text is a row of commands (`add rule ...`) rather than one table in braces."""
    return not text.startswith("table ")


def command_parts(text: str, *, size: int) -> Iterator[str]:
    """Split a text of commands, one a line, into texts of about `size` letters, to be loaded in order.

    What is said about one chain stays together, so that it is never empty in between, and so does an element's deletion
    with the addition behind it.
    """
    batch: list[str] = []
    used = 0
    for together in _runs(text.splitlines(keepends=True)):
        run = "".join(together)
        if batch and used + len(run) > size:
            yield "".join(batch)
            batch, used = [], 0
        batch.append(run)
        used += len(run)
    if batch:
        yield "".join(batch)


def _runs(lines: list[str]) -> Iterator[list[str]]:
    """Yield commands that must not be parted: those about one chain, and `delete element` with `add element`."""
    run: list[str] = []
    before = ("", "")
    for line in lines:
        verb, thing, _, _, name, *_ = (*line.split(), "", "", "", "")
        about = (name, "element" if thing == "element" else "chain")
        if run and (about != before or (about[1] == "element" and verb == "delete")):
            yield run
            run = []
        run.append(line)
        before = about
    if run:
        yield run


def _units(lines: list[str]) -> tuple[list[_Unit], list[_Unit], list[_Unit], list[_Unit]]:
    """Return sets (what else the table says with them), chains, elements and base chains."""
    sets, chains, elements, hooked = list[_Unit](), list[_Unit](), list[_Unit](), list[_Unit]()
    position = 1
    while position < len(lines) - 1:  # the last line closes the table
        end = position
        if lines[position].endswith("{\n"):
            end = lines.index(_END, position)
        block = lines[position : end + 1]
        position = end + 1
        if block[0].startswith("\tchain "):
            base = any(line.startswith("\t\ttype ") for line in block)
            (hooked if base else chains).append(_Unit("".join(block)))
            continue
        if _ELEMENTS in block:
            first = block.index(_ELEMENTS)
            inner, block = block[first + 1 : -2], [*block[:first], _END]
            head = "".join(block[:-1])
            elements += [_Unit(line.rstrip(",\n"), head) for line in inner]
        sets.append(_Unit("".join(block)))
    return sets, chains, elements, hooked


def _joined(opening: str, units: list[_Unit]) -> str:
    """Return one input; elements of one set are together under the set's text, which may be said again."""
    found: list[str] = [opening]
    under = ""
    for unit in units:
        if unit.block == under:
            found.append(",\n" if under else "")
        else:
            found.append(_closing(under) + unit.block + (_ELEMENTS if unit.block else ""))
        found.append(unit.text)
        under = unit.block
    return "".join([*found, _closing(under), "}\n"])


def _closing(block: str) -> str:
    return f"\n\t\t}}\n{_END}" if block else ""
