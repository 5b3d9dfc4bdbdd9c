"""Inputs of `nft -f` cut into several, each a transaction of its own.

A transaction has its limits: in a user namespace net.core.wmem_default, and everywhere the kernel's patience, for it
looks through all that a transaction has so far each time that a rule takes a set into use (__nft_set_trans_bind). One
table of 5000 Services takes twice the time of its parts.

What no cutting helps: for each rule that has a set or map of its own (every Service's `numgen ... map { ... }`) the
kernel walks the list of all sets of the table five times: three times to find it a name (nf_tables_newset, which reads
the number out of each name that there is), and once each time that it is looked up by that name, to fill it and to use
it (nft_set_lookup_global). So the time grows with the square of the Services, whoever loads them: messages packed by
hand, in batches of 500 Services, took 0.06 s for 1000, 1.2 s for 5000 and 6.3 s for 10,000 (kernel 6.18).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_HEAD, _BODY, _ELEMENTS, _END = "\t", "\t\t", "\t\telements = {\n", "\t}\n"


@dataclass(frozen=True, slots=True)
class _Block:
    """What stands around the units of a set, or of a chain that is too long for one part, and between them."""

    before: str
    between: str
    after: str


@dataclass(frozen=True, slots=True)
class _Unit:
    """What must not be cut: a set without its elements, a chain, or one element or rule in its `block`."""

    text: str
    block: _Block | None = None


def parts(text: str, *, size: int) -> Iterator[str]:
    """Split the text of one table into texts of about `size` letters, to be loaded in order where no such table is.

    First come the sets, then the chains in their order (each must stand behind those that its rules lead to; one of
    more than `size` letters is cut between its rules), then the elements of the sets, and last the base chains, all in
    one: until then no packet meets any of it.
    The text is as Hairpin writes it: a block's lines begin with tabs for their depth, an element is a line.
    """
    lines = text.splitlines(keepends=True)
    opening = lines[0]
    sets, chains, elements, hooked = _units(lines)
    rows = [*sets, *(unit for chain in chains for unit in _rules(chain, size)), *elements]
    total = sum(len(unit.text) for unit in rows)
    enough = total / -(-total // size) if total else 0  # equal shares, and no crumbs
    batch: list[_Unit] = []
    used = 0
    for unit in rows:
        if used >= enough:
            yield _joined(opening, batch)
            batch, used = [], 0
        batch.append(unit)
        used += len(unit.text)
    if batch and hooked and used + sum(len(unit.text) for unit in hooked) > size:
        yield _joined(opening, batch)
        batch = []
    yield _joined(opening, [*batch, *hooked])


def _rules(chain: _Unit, size: int) -> Iterable[_Unit]:
    """Return a chain as it is, or its rules if it is too long."""
    if len(chain.text) <= size:
        return (chain,)
    first, *rules, _ = chain.text.splitlines(keepends=True)
    return [_Unit(rule, _Block(first, "", _END)) for rule in rules] or (chain,)


def is_commands(text: str) -> bool:
    """Return whether a text is a row of commands (`add rule ...`) rather than one table in braces."""
    return not text.startswith("table ")


def cut(text: str, *, size: int) -> Iterator[str]:
    """Split a text of either kind, or commands with a table behind them: the old one is deleted, and made anew."""
    if not is_commands(text):
        yield from parts(text, size=size)
        return
    end = text.find("\ntable ") + 1 or len(text)
    yield from command_parts(text[:end], size=size)
    if text[end:]:
        yield from parts(text[end:], size=size)


def command_parts(text: str, *, size: int) -> Iterator[str]:
    """Split a text of commands, one a line, into texts of about `size` letters, to be loaded in order.

    What is said about one chain stays together, so that it is never empty in between, and so does an element's deletion
    with the addition behind it, and a set's with the chains that use it.
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


def _runs(lines: list[str]) -> list[list[str]]:
    """Return commands that must not be parted.

    Those about one chain, up to what is inserted at its head; `delete element` with `add element`; the deletion of a
    set with what makes it anew, and the chains that use it: they are flushed before and filled behind.
    """
    runs: list[list[str]] = []
    before, remaking = ("", ""), False
    for line in lines:
        verb, thing, _, _, name, *_ = (*line.split(), "", "", "", "")
        if verb == "delete" and thing in ("set", "map"):
            flushed: list[str] = []
            while runs and all(one.startswith("flush chain ") for one in runs[-1]):
                flushed = [*runs.pop(), *flushed]
            runs.append([*flushed, line])
            before, remaking = ("", ""), True
        elif remaking and verb == "add" and thing in ("set", "map", "rule"):
            runs[-1].append(line)
        else:
            about = (name, "element" if thing == "element" else "chain")
            if not runs or about != before or (about[1] == "element" and verb == "delete") or verb == "insert":
                runs.append([])
            runs[-1].append(line)
            before, remaking = about, False
    return runs


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
            around = _Block("".join([*block[:-1], _ELEMENTS]), ",\n", f"\n\t\t}}\n{_END}")
            elements += [_Unit(line.rstrip(",\n"), around) for line in inner]
        sets.append(_Unit("".join(block)))
    return sets, chains, elements, hooked


def _joined(opening: str, units: list[_Unit]) -> str:
    """Return one input; units of one block are together in it, and a block may be said again in another input."""
    found: list[str] = [opening]
    within: _Block | None = None
    for unit in units:
        if unit.block and unit.block == within:
            found.append(within.between)
        else:
            found += [within.after if within else "", unit.block.before if unit.block else ""]
        found.append(unit.text)
        within = unit.block
    return "".join([*found, within.after if within else "", "}\n"])
