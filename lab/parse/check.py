"""Walk a document along the types of lab.model and collect every mistake; the Structs are the only source of truth.

A checker judges one plain value in place and takes what is wrong out of it, so that what is left converts and the
other checks can go on; it returns whether the value is of use at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from lab.model.ignored import IGNORED
from lab.parse.mistake import Mistakes, Path, did_you_mean, listed, nearest, show
from lab.parse.names import label_key
from lab.parse.values import CUSTOM, LABEL_VALUE, REASONS, RULES, SLOPPY, decode, decode_sloppily

if TYPE_CHECKING:
    from collections.abc import Mapping

# value, the object's number, the path to the value, the collector -> whether the value is of use
Checker = Callable[[Any, int, Path, Mistakes], bool]
Where = tuple[type, str] | None

LONGEST_TEXT = 4096


def convert(kind: type, value: dict[str, Any], at: int, out: Mistakes) -> Any:
    """Return `value` as a `kind` (a Struct of lab.model), or None if too much of it is wrong; mistakes go to `out`."""
    if not checker(kind)(value, at, (), out):
        return None
    try:
        return msgspec.convert(value, kind, dec_hook=decode_sloppily if out.lenient else decode)
    except msgspec.ValidationError as error:  # a rule that the walker does not know
        out.add(at, (), str(error))
        return None


@cache
def checker(kind: type) -> Checker:
    """Return the checker of a Struct of lab.model."""
    return _checker(inspect.type_info(kind), None)


def _checker(info: inspect.Type, where: Where) -> Checker:  # noqa: PLR0911 - one for each type
    match info:
        case inspect.StructType():
            return _struct(info)
        case inspect.UnionType(types=types):
            return _union([one for one in types if not isinstance(one, inspect.NoneType)], where)
        case inspect.VarTupleType(item_type=item):
            return _items(_checker(item, where))
        case inspect.DictType(value_type=value):
            return _map(_checker(value, where), _key_rule(where), describe(value))
        case inspect.IntType():
            return _whole_number(info)
        case inspect.LiteralType(values=values):
            return _word([str(value) for value in values], where)
        case inspect.BoolType():
            return _of_type(bool, "true or false")
        case inspect.StrType(max_length=length):
            longest = length or LONGEST_TEXT
            return _either(_text(RULES.get(where) if where else None, longest), _text(None, longest))
        case inspect.CustomType(cls=cls):
            rule, expected = CUSTOM[cls]
            return _either(_text(rule, LONGEST_TEXT, expected), _text(SLOPPY[cls], LONGEST_TEXT, expected))
    msg = f"no checker for {info}"
    raise TypeError(msg)


def _either(strict: Checker, lenient: Checker) -> Checker:
    """Return the checker that an object's origin asks for: what is in a cluster is judged by lab.parse.api_rules."""
    return lambda value, at, path, out: (lenient if out.lenient else strict)(value, at, path, out)


def describe(info: inspect.Type) -> str:  # noqa: PLR0911 - one for each type
    """Return in words what values a type takes."""
    match info:
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
        case inspect.VarTupleType():
            return "a list"
        case inspect.IntType():
            return "a whole number"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return listed(str(value) or '""' for value in values)
        case inspect.UnionType(types=types):
            return " or ".join(describe(one) for one in types if not isinstance(one, inspect.NoneType))
    return "a text"


def _struct(info: inspect.StructType) -> Checker:
    fields = {one.encode_name: _checker(one.type, (info.cls, one.encode_name)) for one in info.fields}
    kinds = {one.encode_name: describe(one.type) for one in info.fields}
    required = tuple(one.encode_name for one in info.fields if one.required)
    ignored = IGNORED.get(info.cls, frozenset())

    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if not isinstance(value, dict):
            out.add(at, path, f"{show(value)} is not a mapping; expected the fields {listed(fields)}")
            return False
        wrong = set()
        for name, part in list(value.items()):
            judge = fields.get(name)
            if judge is None:
                if name not in ignored:
                    _stray(name, fields, at, path, out)
                del value[name]
            elif part is None:  # kubectl prints null where nothing is
                del value[name]
            elif not judge(part, at, (*path, name), out):
                del value[name]
                wrong.add(name)
        for name in required:
            if name not in value and name not in wrong:
                out.add(at, path, f"the field {name} is missing; expected {kinds[name]}")
        return all(name in value for name in required)

    return check


def _stray(name: str, fields: Mapping[str, object], at: int, path: Path, out: Mistakes) -> None:
    if out.lenient:
        out.strays.append(((*path, name), tuple(fields)))
    else:
        out.add(at, (*path, name), "" if out.full else _unknown(name, fields), key=True)


def _unknown(name: str, fields: Mapping[str, object]) -> str:
    near = nearest(name, fields)
    return f"unknown field {show(name)}; " + (f"did you mean {near}?" if near else f"expected {listed(fields)}")


def _union(types: list[inspect.Type], where: Where) -> Checker:
    if len(types) == 1:
        return _checker(types[0], where)
    expected = " or ".join(describe(one) for one in types)
    by_type: dict[type, Checker] = {}
    for one in types:
        by_type[_plain_type(one)] = _checker(one, where)

    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        judge = by_type.get(type(value))
        if judge is None:
            out.add(at, path, f"{show(value)} is not what belongs here; expected {expected}")
            return False
        return judge(value, at, path, out)

    return check


def _plain_type(info: inspect.Type) -> type:
    match info:
        case inspect.StructType() | inspect.DictType():
            return dict
        case inspect.VarTupleType():
            return list
        case inspect.IntType():
            return int
        case inspect.BoolType():
            return bool
    return str


def _items(judge: Checker) -> Checker:
    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if not isinstance(value, list):
            out.add(at, path, f"{show(value)} is not a list; expected a list")
            return False
        good = [judge(item, at, (*path, index), out) for index, item in enumerate(value)]
        if not all(good):
            value[:] = [item for item, usable in zip(value, good, strict=True) if usable]
            out.indices.setdefault(at, {})[path] = [index for index, usable in enumerate(good) if usable]
        return True

    return check


def _key_rule(where: Where) -> Callable[[str], str | None] | None:
    return label_key if where and RULES.get(where) is LABEL_VALUE else None


def _map(judge: Checker, key_rule: Callable[[str], str | None] | None, expected: str) -> Checker:
    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if not isinstance(value, dict):
            out.add(at, path, f"{show(value)} is not a mapping; expected keys with {expected} each")
            return False
        for key, item in list(value.items()):
            wrong = key_rule(key) if key_rule and not out.lenient else None
            if wrong:
                out.add(at, (*path, key), f"{show(key)} cannot be a label's key; expected {wrong}", key=True)
            if wrong or not judge(item, at, (*path, key), out):
                del value[key]
        return True

    return check


def _of_type(kind: type, expected: str) -> Checker:
    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if type(value) is kind:
            return True
        out.add(at, path, f"{show(value)} is not {expected}; expected {expected}")
        return False

    return check


def _whole_number(info: inspect.IntType) -> Checker:
    low, high = info.ge, info.le
    expected = "a whole number" + (f" from {low} to {high}" if low is not None and high is not None else "")

    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if type(value) is not int:
            quotes = " without quotes" if isinstance(value, str) and value.isdecimal() else ""
            out.add(at, path, f"{show(value)} is not a whole number; expected {expected}{quotes}")
            return False
        if (low is not None and value < low) or (high is not None and value > high):
            out.add(at, path, f"{show(value)} is out of range; expected {expected}")
            return False
        return True

    return check


def _word(words: list[str], where: Where) -> Checker:
    known = frozenset(words)
    expected = listed(sorted(word for word in words if word))

    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if isinstance(value, str) and value in known:
            return True
        reason = REASONS.get((*where, value)) if where and isinstance(value, str) else None
        near = "" if reason or not isinstance(value, str) or out.full else did_you_mean(value, known)
        what = f"{show(value)} is not supported: {reason}" if reason else f"{show(value)} is not known"
        out.add(at, path, f"{what}; expected {expected}{near}")
        return False

    return check


def _text(rule: Callable[[str], str | None] | None, longest: int, expected: str = "a text") -> Checker:
    def check(value: Any, at: int, path: Path, out: Mistakes) -> bool:
        if not isinstance(value, str):
            quotes = ": put it in quotes" if isinstance(value, (int, float)) and expected == "a text" else ""
            out.add(at, path, f"{show(value)} is not a text; expected {expected}{quotes}")
            return False
        wrong = f"{show(value)} is too long; expected at most {longest} characters" if len(value) > longest else None
        wrong = wrong or (rule(value) if rule else None)
        if wrong:
            out.add(at, path, wrong)
        return wrong is None

    return check
