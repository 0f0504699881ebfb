"""Version lockstep: the machine runs the very files that this devbox consists of, known by their content."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import devbox
from devbox.errors import HostError

COMMAND = "/usr/bin/python3 -IS -c 'import sys;exec(eval(sys.stdin.buffer.raw.readline()))'"
"""what is typed into the login shell, whichever that is; everything else travels as data"""
MARK = b"\x01devbox "
_NOISE = 1 << 20
"""how much a login shell may print before our own program speaks"""


class Package(NamedTuple):
    """What is shipped."""

    version: str
    """of the content; 32 hexadecimal digits"""
    files: dict[str, str]


class Stream(Protocol):
    """A channel to the machine's Python."""

    def send(self, data: bytes) -> None:
        """All of it."""

    def read(self) -> bytes:
        """What has arrived, b"" at the end; it waits."""


def package() -> Package:
    """devbox and click, as they are here."""
    import hashlib

    files = dict(sorted(_files()))
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return Package(digest[:32], files)


def stamp() -> str:
    """Changes when the files of this devbox do; 1 ms where `package` takes 30."""
    newest = count = size = 0
    for directory in _directories(os.path.dirname(devbox.__file__)):
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    newest, count, size = max(newest, status.st_mtime_ns), count + 1, size + status.st_size
    return f"{count}-{size}-{newest}"


def install(stream: Stream, shipped: Package) -> bytes:
    """Have the Python at the other end become our agent; what it has said as such already.

    HostError when that machine cannot run devbox.
    """
    with open(os.path.join(os.path.dirname(__file__), "guest", "bootstrap.py"), "rb") as file:
        source = file.read()
    stream.send(repr(source).encode() + b"\n" + json.dumps({"version": shipped.version}).encode() + b"\n")
    answer, rest = _answer(stream, b"")
    if not answer["have"]:
        import zlib

        content = zlib.compress(json.dumps(shipped.files).encode(), 6)
        stream.send(b"%d\n" % len(content) + content)
        _, rest = _answer(stream, rest)
    return rest


def _answer(stream: Stream, data: bytes) -> tuple[dict[str, object], bytes]:
    """Our program's next line, past whatever a login shell prints."""
    while True:
        before, mark, after = data.partition(MARK)
        line, newline, rest = after.partition(b"\n")
        if mark and newline:
            answer: dict[str, object] = json.loads(line)
            if answer["problem"]:
                raise HostError(f"the machine cannot run devbox: {answer['problem']}")
            return answer, rest
        part = stream.read()
        if not part or len(before) > _NOISE:
            raise HostError(f"the machine did not start devbox: {_shown(data) or 'it said nothing'}")
        data += part


def _shown(data: bytes) -> str:
    return " ".join(data[-400:].decode(errors="replace").split())


def _files() -> Iterator[tuple[str, str]]:
    import importlib.util

    click = importlib.util.find_spec("click")
    assert click is not None, "it is a dependency"
    assert click.origin is not None
    for top in (os.path.dirname(devbox.__file__), os.path.dirname(click.origin)):
        for directory in _directories(top):
            for name in os.listdir(directory):
                if name.endswith(".py"):
                    path = os.path.join(directory, name)
                    inside = os.path.relpath(path, os.path.dirname(top)).replace(os.sep, "/")
                    with open(path, encoding="utf-8", newline="") as file:
                        yield inside, file.read()


def _directories(top: str) -> Iterator[str]:
    yield top
    with os.scandir(top) as entries:
        below = [entry.path for entry in entries if entry.is_dir() and entry.name != "__pycache__"]
    for path in below:
        yield from _directories(path)
