"""The words of a rule as iptables-save prints it, and its options in blocks: the matches, and the target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r'\s*+((?:"(?:[^"\\]|\\.)*+"|[^\s"])++)')
_PIECE = re.compile(r'"((?:[^"\\]|\\.)*+)"|([^"]++)')
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:,+\[\]-]+")

ALL_BITS = 0xFFFF_FFFF
GENERIC = ("-s", "-d", "-i", "-o", "-p")
"""What belongs to no match: kept in a block of its own, called ""."""
_TAKES_ANY = {"--comment", "--name", "--nfacct-name"}  # their value may look like an option


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a match or target: its name, its values, and whether a `!` stands before it."""

    name: str
    values: tuple[str, ...]
    negated: bool = False

    @property
    def text(self) -> str:
        """The option as it is written."""
        return " ".join((*(["!"] if self.negated else []), self.name, *map(quoted, self.values)))

    @property
    def value(self) -> str:
        """The only value; `ValueError` if there are none or several."""
        if len(self.values) != 1:
            raise ValueError(f"{self.name} has {len(self.values)} values; expected one")
        return self.values[0]


def words(text: str) -> list[str]:
    """Return the words of a line, quotes and the backslashes inside them taken off; `ValueError` if one is open."""
    if '"' not in text:
        return text.split()
    parts = f" {text} ".split('"')
    outside = parts[::2]
    if len(parts) % 2 and "\\" not in text and all(part[:1] == " " == part[-1:] for part in outside):
        # nearly always: each quote is a word of its own
        return [word for at, part in enumerate(parts) for word in ([part] if at % 2 else part.split())]
    found, end = [], 0
    for match in _WORD.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        found.append("".join(_ESCAPED.sub(r"\1", inner) if inner else plain for inner, plain in _pieces(match[1])))
    if text[end:].strip():
        raise ValueError("a quote is opened and not closed")
    return found


def _pieces(word: str) -> list[tuple[str, str]]:
    return _PIECE.findall(word)


def quoted(word: str) -> str:
    """Return a word as iptables-save writes it."""
    return word if _PLAIN.fullmatch(word) else '"' + re.sub(r'(["\\])', r"\\\1", word) + '"'


Block = tuple[str, list[Option]]


def split(rule: Sequence[str]) -> tuple[list[Block], tuple[str, str, list[Option]] | None]:
    """Return the blocks of matches ("" is the generic one) and (`-j` or `-g`, name, options) of the target."""
    matches: list[Block] = [("", [])]
    options = matches[0][1]
    target: tuple[str, str, list[Option]] | None = None
    at = 0
    while at < len(rule):
        word = rule[at]
        at += 1
        if word in ("-m", "-j", "-g") and target is None:
            if at == len(rule):
                raise ValueError(f"nothing stands after {word}")
            options = []
            if word == "-m":
                matches.append((rule[at], options))
            else:
                target = (word, rule[at], options)
            at += 1
            continue
        negated = word == "!"
        if negated:
            if at == len(rule):
                raise ValueError("nothing stands after !")
            word, at = rule[at], at + 1
        end = _end_of_values(rule, at, word)
        option = Option(word, tuple(rule[at:end]), negated)
        at = end
        (matches[0][1] if word in GENERIC and target is None else options).append(option)
    return matches, target


def _end_of_values(rule: Sequence[str], at: int, option: str) -> int:
    if option in _TAKES_ANY or option in GENERIC:
        if at == len(rule):
            raise ValueError(f"nothing stands after {option}")
        return at + 1
    while at < len(rule) and rule[at] != "!" and not (rule[at].startswith("-") and len(rule[at]) > 1):
        at += 1
    return at


def number(text: str) -> int:
    """Return a decimal number, or a hexadecimal one behind 0x."""
    return int(text, 16) if text.lower().startswith("0x") else int(text)


def mark_pair(text: str) -> tuple[int, int]:
    """Return the value and the mask of `0x4000/0x4000`; without a mask all bits count."""
    value, slash, mask = text.partition("/")
    return number(value), number(mask) if slash else ALL_BITS
