from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import TopologyError
from lab.parse.yaml import documents, plain


def one(text: str) -> Any:
    (document,), spots = documents(text, "x.yaml")
    assert spots == []
    return document.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("Off", False), ("true", True), ("~", None), ("", None), ("null", None),
        ("0", 0), ("-12", -12), ("+3", 3), ("1_000", 1000), ("0x1F", 31), ("0b11", 3), ("0755", 493), ("0o755", 493),
        ("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), ("1.", 1.0),
        ("12:30", "12:30"), ("2026-01-01", "2026-01-01"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("10.0.0.1", "10.0.0.1"), ("fd00::1", "fd00::1"), ("1.2.3", "1.2.3"), ("0x", "0x"), ("089", 89.0), ("1_", 1),
        ("0x_", "0x_"), ("--1", "--1"),
        ("y", "y"), ("Nullx", "Nullx"), ("9" * 5000, "9" * 5000), ("-", "-"), ("e3", "e3"),
    ],
)  # fmt: skip
def test_an_unquoted_scalar_means_what_kubernetes_makes_of_it(text: str, value: object) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


@given(st.text() | st.text("0189_xobeE.+-fF"))
def test_every_scalar_means_something(text: str) -> None:
    assert isinstance(plain(text), (str, int, float, type(None)))


def test_quotes_and_block_styles_and_tags_make_texts() -> None:
    assert one('["80", \'yes\', !!str 80, !!int "80"]\n') == ["80", "yes", "80", 80]
    assert one("a: |\n  80\nb: >-\n  yes\n") == {"a": "80\n", "b": "yes"}


def test_keys_are_texts() -> None:
    assert one("{80: a, yes: b, ~: c}") == {"80": "a", "yes": "b", "~": "c"}


SIMPLE = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abcé\n'\":#-{}[] \t", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc:- ", max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(SIMPLE)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    assert one(yaml.safe_dump(value, allow_unicode=True)) == value


def test_a_value_knows_its_line_and_column_and_so_does_its_key() -> None:
    (document,), _ = documents("a:\n  b:\n  - {c: 1}\n  - d: x\n", "x")
    assert document.position(("a", "b", 1, "d")) == (4, 8)
    assert document.position(("a", "b", 1, "d"), key=True) == (4, 5)
    assert document.position(("a", "b", 0, "nothing")) == (3, 5)
    assert document.position(()) == (1, 1)


def test_the_position_in_a_later_document_is_that_in_the_file() -> None:
    found, _ = documents("a: 1\n---\nb: 2\n", "x")
    assert found[1].position(("b",)) == (3, 4)


def test_merges_take_what_is_not_said_and_the_first_of_several_wins() -> None:
    text = "x: &x {a: 1, b: 1}\ny: &y {a: 2, c: 2}\nz: {<<: [*x, *y], b: 3}\n"
    assert one(text)["z"] == {"a": 1, "b": 3, "c": 2}
    assert one('{"<<": 1}') == {"<<": 1}


def test_a_repeated_anchor_makes_fresh_values() -> None:
    value = one("a: &a [1]\nb: *a\n")
    assert value["a"] == value["b"]
    assert value["a"] is not value["b"]


@pytest.mark.parametrize(
    ("text", "spot"),
    [
        ("{a: 1, a: 2}", (1, 8, "the key 'a' is here twice, first in line 1")),
        ("a: 1\n'a': 2", (2, 1, "the key 'a' is here twice, first in line 1")),
        ("? [a]\n: b", (1, 3, "a mapping or a list cannot be a key; expected a field name")),
        ("a: !x 1", (1, 4, "the tag '!x' means nothing here; expected plain YAML")),
        ("!!python/object:os.system {}", (1, 1, "the tag 'tag:yaml.org,2002:python/object:os.system' means nothing")),
        ("&a [*a]", (1, 1, "an alias inside of this value refers to the value itself")),
        ("<<: 1", (1, 5, "<< merges mappings; expected an alias of a mapping, or a list of them")),
    ],
)
def test_what_yaml_allows_and_a_topology_does_not_is_a_mistake_at_its_place(
    text: str, spot: tuple[int, int, str]
) -> None:
    _, (found,) = documents(text, "x")
    assert (found.line, found.column) == spot[:2]
    assert found.text.startswith(spot[2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\t- b", "^x:2:1: a tab in '- b'; expected spaces: YAML does not indent with tabs$"),
        ("a: *b", "^x:1:4: this is not YAML near 'a: [*]b': found undefined alias"),
        ("a: 'x\n\nb", "unexpected end of stream while scanning a quoted scalar that begins at 1:4$"),
        ("%YAML 3.0\n---\na", "incompatible YAML document"),
        ("a: b: c", "mapping values are not allowed"),
    ],
)
def test_what_is_not_yaml_is_said_with_line_and_column(text: str, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        documents(text, "x")
