from __future__ import annotations

import contextlib
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import UsageError
from devbox.model import values_parse as parse
from devbox.model.container import RestartPolicy


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("100", 100), ("1b", 1), ("1k", 1024), ("1K", 1024), ("512m", 512 << 20), ("1.5g", 3 << 29),
     ("64KiB", 65536), ("2 GB", 2 << 30), ("1t", 1 << 40)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse.parse_size(text, "--shm-size") == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1x", "1..5g", "1e9", "0x10", "\u0663m", "1m ", "9" * 30, "9" * 400]
)
def test_malformed_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="--shm-size"):
        parse.parse_size(text, "--shm-size")


def test_memory_has_a_minimum_and_zero_means_no_limit() -> None:
    assert parse.parse_memory("6m") == 6 << 20
    assert parse.parse_memory("0") is None
    with pytest.raises(UsageError, match="too small"):
        parse.parse_memory("5m")


def test_cpus() -> None:
    assert (parse.parse_cpus("1.5"), parse.parse_cpus(".5"), parse.parse_cpus("0")) == (1.5, 0.5, None)
    for text in ("", "-1", "nan", "inf", "1e3", "0.001", "two"):
        with pytest.raises(UsageError):
            parse.parse_cpus(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("30s", 30), ("1h2m3.5s", 3723.5), ("300ms", 0.3), ("1m", 60), (".5s", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse.parse_duration(text, "--health-interval") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1s 2s", "-1s", "1sm", "9" * 400 + "h", "2562048h"])
def test_malformed_durations(text: str) -> None:
    with pytest.raises(UsageError, match="--health-interval"):
        parse.parse_duration(text, "--health-interval")


def test_signals_agree_with_this_kernel() -> None:
    for member in signal.Signals:
        if member.name.startswith("SIG") and not member.name.startswith("SIGRT"):
            assert parse.parse_signal(member.name) == member.value
            assert parse.parse_signal(member.name[3:].lower()) == member.value
    assert parse.parse_signal("9") == 9
    assert parse.parse_signal("RTMIN+3") == 37
    assert parse.parse_signal("SIGRTMAX-1") == 63


@pytest.mark.parametrize("text", ["", "0", "65", "-9", "SIGNOSUCH", "RTMIN+40", "RTMAX+1", "999"])
def test_malformed_signals(text: str) -> None:
    with pytest.raises(UsageError, match="invalid signal"):
        parse.parse_signal(text)


def test_variables_are_given_or_taken_over() -> None:
    environ = {"HERE": "x=y"}
    assert parse.parse_env(("A=1", "HERE", "GONE", "E="), environ) == ("A=1", "HERE=x=y", "E=")
    for bad in ("", "=1", "A=\0"):
        with pytest.raises(UsageError):
            parse.parse_env((bad,), environ)


def test_a_file_of_variables() -> None:
    text = "\ufeff# comment\n\n  A=1 # kept\nHERE\nQ='quoted'\n"
    assert parse.parse_env_file(text, "env", {"HERE": "h"}) == ("A=1 # kept", "HERE=h", "Q='quoted'")
    with pytest.raises(UsageError, match="env, line 2"):
        parse.parse_env_file("A=1\nB C=2\n", "env", {})


def test_only_a_line_feed_ends_a_line() -> None:
    text = "A=1\u2028B=2\r\nC=1\x0cD\nE=a\rb\n"
    assert parse.parse_env_file(text, "env", {}) == ("A=1\u2028B=2", "C=1\x0cD", "E=a\rb")


def test_later_variables_win() -> None:
    assert parse.merge_env(("A=1", "B=2"), ("A=3",), ("C=4",)) == ("A=3", "B=2", "C=4")


def test_restart_policies() -> None:
    assert parse.parse_restart("on-failure:3") == RestartPolicy("on-failure", 3)
    assert parse.parse_restart("on-failure") == RestartPolicy("on-failure")
    assert parse.parse_restart("unless-stopped") == RestartPolicy("unless-stopped")
    assert parse.parse_restart("no") == RestartPolicy()
    for text in ("sometimes", "always:3", "on-failure:", "on-failure:-1", "no:1"):
        with pytest.raises(UsageError, match="restart policy"):
            parse.parse_restart(text)


@given(st.text(max_size=12))
def test_every_value_is_read_or_refused(text: str) -> None:
    for read in (parse.parse_cpus, parse.parse_signal, parse.parse_restart, parse.parse_memory):
        with contextlib.suppress(UsageError):
            read(text)
