"""How a transfer is shown: on a terminal, elsewhere, and with -q."""

from __future__ import annotations

import contextlib
import io
import os
import pty
from typing import TextIO

from devbox.cli.progress import Lines, Live, progress


def drawn(act: object) -> str:
    """What a Live display writes to a terminal of 24 x 60."""
    primary, secondary = pty.openpty()
    os.set_blocking(primary, False)
    with open(secondary, "w") as stream:
        act(stream)  # type: ignore[operator]
        stream.flush()
        text = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(primary, 65536):
                text += data
    os.close(primary)
    return text.decode()


def test_elsewhere_each_step_that_matters_is_a_line() -> None:
    stream = io.StringIO()
    shown = progress(stream)
    assert isinstance(shown, Lines)
    shown.note("1: Pulling from x\x1b[31m")
    shown.state("abc", "Pulling fs layer")
    shown.state("abc", "Downloading", 100)
    shown.advance("abc", 100)
    shown.state("abc", "Extracting")
    shown.state("abc", "Pull complete")
    assert stream.getvalue() == "1: Pulling from x\\x1b[31m\nabc: Pulling fs layer\nabc: Pull complete\n"


def test_quiet_is_quiet() -> None:
    stream = io.StringIO()
    progress(stream, quiet=True).note("x")
    assert stream.getvalue() == ""


def test_a_terminal_shows_bytes_and_rate_in_place() -> None:
    def act(stream: TextIO) -> None:
        shown = progress(stream)
        assert isinstance(shown, Live)
        shown.state("one", "Pulling fs layer")
        shown.state("two", "Downloading", 2_000_000)
        shown._drawn = 0
        shown.advance("two", 1_000_000)
        shown.note("done")

    text = drawn(act)
    assert "two: Downloading [============>            ]  1MB/2MB" in text
    assert "/s" in text
    assert "\x1b[2A" in text, "the two lines are written over"
    assert text.endswith("done\r\n")
