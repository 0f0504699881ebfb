"""Detach keys: what they are called, and finding them in what is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.streams.keys import DEFAULT, Filter, parse
from devbox.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", DEFAULT),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("CTRL-P", b"\x10"),
        ("a", b"a"),
        ("ctrl-a,a", b"\x01a"),
        ("ctrl-@", b"\0"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f"),
        ("DEL", b"\x7f"),
    ],
)
def test_names_are_docker_s(text: str, expected: bytes) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "a,,b", ",", "ctrl-pp", "é", "ctrl-ctrl-a"])
def test_what_is_no_key_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(UsageError, match="invalid detach keys"):
        parse(text)


KEYS = st.binary(min_size=1, max_size=4)


@given(KEYS, st.lists(st.binary(max_size=12), max_size=8))
def test_without_the_keys_everything_arrives_but_their_beginning(keys: bytes, pieces: list[bytes]) -> None:
    typed = b"".join(pieces)
    filtered = Filter(keys)
    arrived = b"".join(filtered.feed(piece) for piece in pieces if not filtered.detached)
    if keys in typed:
        assert filtered.detached
        assert arrived == typed[: typed.index(keys)]
    else:
        assert not filtered.detached
        assert typed.startswith(arrived)
        assert len(typed) - len(arrived) < len(keys)
        assert keys.startswith(typed[len(arrived) :])


def test_a_beginning_that_goes_on_otherwise_is_delivered() -> None:
    filtered = Filter(b"\x10\x11")
    assert filtered.feed(b"a\x10") == b"a"
    assert filtered.feed(b"b") == b"\x10b"
    assert filtered.feed(b"\x10") == b""
    assert filtered.feed(b"\x10\x11") == b"\x10"
    assert filtered.detached
