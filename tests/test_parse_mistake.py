from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.parse.mistake import SHORT, SHOWN, Mistakes, did_you_mean, listed, nearest, show, show_path


@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.text()))
def test_any_value_is_shown_in_one_short_printable_line(value: object) -> None:
    assert show(value).isprintable()
    assert len(show(value)) <= 10 * SHORT  # an escape takes up to ten characters


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"), ("a\n\x1b", r"'a\n\x1b'"), (None, "null"), (True, "true"), (1.5, "1.5"),
        ({}, "an empty mapping"), ([1], "a list"),
        ("x" * 300, f"'{'x' * 40}'... (300 characters)"),
        (10**100, f"1{'0' * 39}... (101 characters)"),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_a_user_wrote_it(value: object, text: str) -> None:
    assert show(value) == text


def test_a_path_reads_as_in_kubectl_explain() -> None:
    assert show_path(("spec", "ports", 0, "targetPort")) == "spec.ports[0].targetPort"
    assert show_path(("items", 3, "metadata", "labels", "a/b")) == "items[3].metadata.labels['a/b']"


def test_the_nearest_word_is_found_whatever_its_case_and_far_ones_are_not() -> None:
    assert nearest("clusterip", ["type", "clusterIP", "clusterIPs"]) == "clusterIP"
    assert nearest("zzz", ["type"]) == ""
    assert did_you_mean("tpye", ["type"]) == "; did you mean type?"


def test_words_are_listed_and_many_are_cut() -> None:
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["none", "a", "a or b", "a, b or c"]
    assert listed([str(number) for number in range(20)], most=2) == "0, 1 ... (18 more)"


def test_the_first_mistakes_are_kept_and_the_others_counted() -> None:
    out = Mistakes()
    for number in range(SHOWN + 5):
        out.add(number, (), "x")
    assert (len(out.kept), out.more, out.full) == (SHOWN, 5, True)
