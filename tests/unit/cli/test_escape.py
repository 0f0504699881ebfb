"""Nothing that a stranger wrote moves a terminal's cursor."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.cli.escape import escape, escape_below, escape_cell, escape_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢", "plain é 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb", "a\\rb"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\nb\tc", "a\nb\tc"),
    ],
)
def test_controls_are_shown(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_cell_is_one_line() -> None:
    assert escape_cell("a\nb\tc") == "a\\nb\\tc"


def test_no_line_of_a_stranger_looks_like_one_of_ours() -> None:
    assert escape_below("no user a\ndevbox: all is well\n  b") == "no user a\n  devbox: all is well\n  b"


@given(st.text())
def test_no_control_is_left(text: str) -> None:
    assert not [letter for letter in escape_cell(text) if unicodedata.category(letter) == "Cc"]


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_reads_as_before(value: object) -> None:
    document = escape_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    assert "\x9b" not in document
