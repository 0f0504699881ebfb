"""WWW-Authenticate as registries write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.registry.challenge import Challenge, parse

BEARER = {
    "realm": "https://a.example/token",
    "service": "r.example",
    "scope": "repository:a/b:pull,push",
}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="here"', [Challenge("basic", {"realm": "here"})]),
        (
            'Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull,push"',
            [Challenge("bearer", BEARER)],
        ),
        (
            'bearer Realm=https://x , service = "y z"',
            [Challenge("bearer", {"realm": "https://x", "service": "y z"})],
        ),
        (
            'Bearer realm="a", Basic realm="b"',
            [Challenge("bearer", {"realm": "a"}), Challenge("basic", {"realm": "b"})],
        ),
        (r'Basic realm="a \"quoted\" word"', [Challenge("basic", {"realm": 'a "quoted" word'})]),
        ("Negotiate", [Challenge("negotiate", {})]),
        ("", []),
        ("=", []),
    ],
)
def test_challenges(header: str, expected: list[Challenge]) -> None:
    assert parse(header) == expected


@given(st.text(max_size=300))
def test_whatever_comes_ends(header: str) -> None:
    assert len(parse(header)) <= len(header)
