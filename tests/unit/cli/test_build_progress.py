"""What a build shows of itself."""

from __future__ import annotations

import io
import json

import pytest

from devbox.build.events import Ended, Printed, Started
from devbox.cli.building.progress import Plain, Raw, Screen, choose

EVENTS = (
    Started(1, "[a 1/2] FROM busybox", 10.0),
    Ended(1, "cached", 10.0),
    Started(2, "[a 2/2] RUN <<EOF\necho\nEOF", 10.0),
    Printed(2, b"one\n\x1b[31mt", 10.5),
    Printed(2, b"wo\x1b[0m\r\n 10%\r100%\n\x1b]0;title\x07", 11.0),
    Ended(2, "done", 12.25),
    Started(3, "[2/2] RUN false", 13.0),
    Ended(3, "failed", 13.1),
)


def shown(kind: type[Plain] | type[Raw] | type[Screen]) -> str:
    stream = io.StringIO()
    progress = kind(stream)
    for event in EVENTS:
        progress(event)
    progress.close()
    return stream.getvalue()


def test_plain_progress_is_buildkits() -> None:
    assert shown(Plain).splitlines() == [
        "#1 [a 1/2] FROM busybox",
        "#1 CACHED",
        "",
        "#2 [a 2/2] RUN <<EOF",
        "#2 echo",
        "#2 EOF",
        "#2 0.500 one",
        "#2 1.000 two",
        "#2 1.000 100%",
        r"#2 2.250 \x1b]0;title\x07",
        "#2 DONE 2.2s",
        "",
        "#3 [2/2] RUN false",
        "#3 ERROR",
    ]


def test_raw_progress_is_json() -> None:
    lines = [json.loads(line) for line in shown(Raw).splitlines()]
    assert [line["event"] for line in lines] == [type(event).__name__.lower() for event in EVENTS]
    assert lines[3]["data"] == "one\n\x1b[31mt"


def test_a_screen_keeps_what_has_ended() -> None:
    ended = [line for line in shown(Screen).splitlines() if line.startswith(" => ") and line.endswith("s")]
    assert " => CACHED [a 1/2] FROM busybox 0.0s" in ended
    assert " => [a 2/2] RUN <<EOF 2.2s" in ended
    assert " => ERROR [2/2] RUN false 0.1s" in ended


@pytest.mark.parametrize(("form", "kind"), [("plain", Plain), ("auto", Plain), ("rawjson", Raw), ("tty", Screen)])
def test_a_stream_that_is_no_terminal_gets_lines(form: str, kind: type) -> None:
    assert isinstance(choose(form, io.StringIO()), kind)
