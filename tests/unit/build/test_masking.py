"""Secrets in the output of a build."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devbox.build.executing.masking import Masker

SECRET = b"s3cr3t-token"


def masked(pieces: list[bytes], *secrets: bytes) -> bytes:
    masker = Masker(secrets)
    return b"".join(map(masker.feed, pieces)) + masker.rest()


def test_every_line_of_a_secret_is_masked_and_short_ones_are_not() -> None:
    assert masked([b"x line one y\nab line two"], b"line one\nline two\nab") == b"x *** y\nab ***"


@given(st.lists(st.binary(max_size=6), max_size=6), st.lists(st.integers(1, 20), max_size=30))
def test_no_way_of_cutting_the_stream_lets_a_secret_through(noise: list[bytes], cuts: list[int]) -> None:
    stream = SECRET.join([b"", *noise, b""])
    pieces, rest = [], stream
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    out = masked([*pieces, rest], SECRET)
    assert SECRET not in out
    assert masked([stream], SECRET) == out


@given(st.lists(st.binary(max_size=9)))
def test_without_secrets_nothing_changes_and_nothing_is_held_back(pieces: list[bytes]) -> None:
    masker = Masker([])
    assert [masker.feed(piece) for piece in pieces] == pieces
