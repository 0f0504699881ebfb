"""--filter as docker has it."""

from __future__ import annotations

import pytest

from devbox.cli.filters import boolean, equals, labels_match, matches, parse_filters
from devbox.errors import UsageError


def test_values_of_one_key_are_gathered() -> None:
    assert parse_filters(["name=a", "label=x=y", "NAME=b"], ["name", "label"]) == {
        "name": ("a", "b"),
        "label": ("x=y",),
    }


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [("name", "invalid filter 'name'", "KEY=VALUE"), ("nam=x", "invalid filter 'nam'", "there are label, name")],
)
def test_what_is_no_filter_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filters([text], ["name", "label"])
    assert caught.value.message == message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("values", "found"),
    [((), True), (("we",), True), (("^eb",), False), (("x", "b$"), True), (("web",), True), (("[",), False)],
)
def test_names_are_regular_expressions(values: tuple[str, ...], found: bool) -> None:
    assert matches({"name": values}, "name", "web") == found


def test_some_keys_are_exact() -> None:
    assert equals({"status": ("exited", "dead")}, "status", "dead")
    assert not equals({"status": ("exit",)}, "status", "exited")
    assert equals({}, "status", "exited")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (("a",), True),
        (("a=1",), True),
        (("a=2",), False),
        (("a", "b"), False),
        (("a", "c="), True),
        (("c=x",), False),
    ],
)
def test_all_labels_are_wanted(values: tuple[str, ...], found: bool) -> None:
    assert labels_match({"label": values}, {"a": "1", "c": ""}) == found


def test_truth() -> None:
    assert boolean({"dangling": ("true",)}, "dangling") is True
    assert boolean({"dangling": ("0",)}, "dangling") is False
    assert boolean({}, "dangling") is None
    with pytest.raises(UsageError):
        boolean({"dangling": ("maybe",)}, "dangling")
    with pytest.raises(UsageError):
        boolean({"dangling": ("true", "false")}, "dangling")
