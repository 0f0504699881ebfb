"""Sizes and times as docker prints and reads them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.cli.units import ago, binary_size, human_duration, human_size, parse_time, rfc3339
from devbox.errors import UsageError


@pytest.mark.parametrize(
    ("size", "short", "long", "binary"),
    [
        (0, "0B", "0B", "0B"),
        (999, "999B", "999B", "999B"),
        (1000, "1kB", "1kB", "1000B"),
        (1024, "1.02kB", "1.024kB", "1KiB"),
        (1234567, "1.23MB", "1.235MB", "1.177MiB"),
        (536870912, "537MB", "536.9MB", "512MiB"),
        (25000000000, "25GB", "25GB", "23.28GiB"),
    ],
)
def test_sizes(size: int, short: str, long: str, binary: str) -> None:
    assert human_size(size) == short
    assert human_size(size, digits=4) == long
    assert binary_size(size) == binary


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "Less than a second"),
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (13 * 86400, "13 days"),
        (14 * 86400, "2 weeks"),
        (59 * 86400, "8 weeks"),
        (60 * 86400, "2 months"),
        (729 * 86400, "24 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words
    assert ago(1000.0, 1000.0 + seconds) == words + " ago"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0.0, "0001-01-01T00:00:00Z"),
        (1.0, "1970-01-01T00:00:01Z"),
        (1764000000.5, "2025-11-24T16:00:00.5Z"),
        (1764000000.123456, "2025-11-24T16:00:00.123456Z"),
    ],
)
def test_moments(moment: float, text: str) -> None:
    assert rfc3339(moment) == text


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1764000000", 1764000000.0),
        ("1764000000.25", 1764000000.25),
        ("2025-11-24T16:00:00Z", 1764000000.0),
        ("2025-11-24T16:00:00.5Z", 1764000000.5),
        ("2025-11-24T17:30:00+01:30", 1764000000.0),
        ("2025-11-24T15:00:00-01:00", 1764000000.0),
        ("2025-11-24T16:00Z", 1764000000.0),
        ("2025-11-24Z", 1763942400.0),
        ("42m", 100000.0 - 42 * 60),
        ("1h30m", 100000.0 - 5400),
        ("0", 0.0),
        ("-10s", 100010.0),
    ],
)
def test_times_are_read(text: str, moment: float) -> None:
    assert parse_time(text, "--since", now=100000.0) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2025-13-01", "2025-02-30T00:00:00Z", "10x", "2025-11-24T25:00:00Z"),
        *("9" * 400, "9" * 400 + "h"),
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid time"):
        parse_time(text, "--since")


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_time(text, "--since"), float)


@given(st.integers(1, 4_000_000_000))
def test_a_moment_reads_back(moment: int) -> None:
    assert parse_time(rfc3339(moment), "--since") == moment
