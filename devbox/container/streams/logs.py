"""What a container has written: docker logs.

A log line is conmon's `TIME STREAM TAG DATA`. Tag P says that the container's line goes on in the next record of
that stream, tag F that a newline followed. s6-log ends a line at a NUL byte as well, so a line without such a
beginning goes on where the one before it had a NUL.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import collections
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

from devbox.container import records
from devbox.container.running import is_running
from devbox.container.streams import logger
from devbox.container.streams.logfiles import LogFile, Reader, listed
from devbox.errors import NotFoundError
from devbox.model.container import Container
from devbox.store.database import Store

_TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d"
_HEADER = re.compile(rb"(" + _TIME + rb") (stdout|stderr) ([FP]) ")
_END_OF_LINE = re.compile(rb"^" + _TIME + rb" std(?:out|err) F ", re.MULTILINE)
_IDLE_SECONDS = 1.0
"""how long a follower waits at most before it looks whether the container still lives"""
_SOON_SECONDS = 0.1
_BOOKING_SECONDS = 10.0
_JOINING_SECONDS = 0.02
"""in which the rest of a line that has a NUL byte follows its beginning"""


class Record(NamedTuple):
    """A line, or a part of one, as the container wrote it."""

    time: bytes
    """RFC 3339 as conmon wrote it, in local time; see `nanoseconds`"""
    stream: str
    data: bytes
    starts: bool
    """whether a line begins with it"""


class Query(NamedTuple):
    """Which part of a log is wanted; times in nanoseconds since the epoch."""

    tail: int | None = None
    """the last so many lines of what there is now; None for all"""
    since: int = 0
    until: int = 0
    """0: no end"""
    follow: bool = False


def read(store: Store, container: Container, query: Query) -> Iterator[list[Record]]:
    """Records in batches, in the order in which they were written.

    With `follow` it goes on until the container has ended and will not be restarted, across restarts and
    rotations; an empty batch says that nothing more is there now.
    """
    directory = logger.directory(store.root, container.id)
    if not is_running(container):
        logger.settled(store.root, container.id, timeout=2.0)
    reader = Reader(directory, _first_file(directory, query.tail))
    parser = Parser()
    wanted = _Wanted(query)
    try:
        present = _present(reader, parser)
        yield from map(wanted.of, present if query.tail is None else last(present, query.tail))
        if query.follow:
            for batch in _followed(store, container, reader, parser):
                if wanted.over or (query.until and time.time_ns() > query.until):
                    return
                yield wanted.of(batch)
    finally:
        reader.close()


def _present(reader: Reader, parser: Parser) -> Iterator[list[Record]]:
    while lines := reader.read():
        yield parser.records(lines)
    yield parser.rest()


def _followed(store: Store, container: Container, reader: Reader, parser: Parser) -> Iterator[list[Record]]:
    from devbox.system.inotify import watching

    with watching(reader.directory) as watch:
        pause: float | None = 0.0
        while pause is not None:
            while lines := reader.read():
                yield parser.records(lines)
                if parser.holds:
                    watch.wait(_JOINING_SECONDS)
            yield parser.rest()
            pause = _pause(store, container.id)
            if pause is not None:
                watch.wait(pause)
    # written between the last look and the end
    yield from _present(reader, parser)


def _pause(store: Store, container_id: str) -> float | None:
    """How long to wait for more; None when no more will come."""
    if logger.is_reading(store.root, container_id):
        return _IDLE_SECONDS
    try:
        container = records.by_id(store, container_id)
    except NotFoundError:
        return None
    if container.status == "restarting":
        return _SOON_SECONDS
    if container.status not in ("running", "paused"):
        return None
    if is_running(container):
        logger.revive(store.root, container)
        return _IDLE_SECONDS
    # it has ended, and whoever books that decides whether it is started again
    return _SOON_SECONDS if time.time() - _last_change(store, container) < _BOOKING_SECONDS else None


def _last_change(store: Store, container: Container) -> float:
    import os

    try:
        return os.stat(logger.directory(store.root, container.id) + "/current").st_ctime
    except FileNotFoundError:
        return 0.0


class Parser:
    """Log lines to records; knows for each stream whether it is within a line.

    The last record is held back until the next line shows that it is complete, or `rest` asks for it.
    """

    def __init__(self) -> None:
        self._within = {b"stdout": False, b"stderr": False}
        self._held: Record | None = None
        self._end = b""

    @property
    def holds(self) -> bool:
        """Whether a record is held back."""
        return self._held is not None

    def records(self, lines: list[bytes]) -> list[Record]:
        """The records that are complete."""
        found: list[Record] = []
        for line in lines:
            header = _HEADER.match(line)
            if header is None:
                if self._held is not None:
                    self._held = self._held._replace(data=self._held.data + b"\0" + line)
                continue
            found += self.rest()
            when, stream, tag = header.groups()
            self._held = Record(when, stream.decode(), line[header.end() :], not self._within[stream])
            self._within[stream] = tag == b"P"
            self._end = b"" if tag == b"P" else b"\n"
        return found

    def rest(self) -> list[Record]:
        """The record held back, if there is one."""
        held, self._held = self._held, None
        return [] if held is None else [held._replace(data=held.data + self._end)]


def last(batches: Iterator[list[Record]], count: int) -> Iterator[list[Record]]:
    """The last `count` lines, each with all its parts."""
    kept: collections.deque[tuple[int, Record]] = collections.deque()
    number = 0
    current = {"stdout": 0, "stderr": 0}
    for batch in batches:
        for record in batch:
            if record.starts:
                number += 1
                current[record.stream] = number
            kept.append((current[record.stream], record))
            while kept and kept[0][0] <= number - count:
                kept.popleft()
    yield [record for line, record in kept if line > number - count]


def _first_file(directory: str, tail: int | None) -> int:
    """The inode of the newest file from which on there are more than `tail` lines; 0 for the oldest."""
    if tail is None:
        return 0
    lines = 0
    for file in reversed(listed(directory)):
        lines += _lines_in(directory, file)
        if lines > tail + 2:  # the first line of each stream may have begun in the file before
            return file.inode
    return 0


def _lines_in(directory: str, file: LogFile) -> int:
    try:
        with open(f"{directory}/{file.name}", "rb") as source:
            return len(_END_OF_LINE.findall(source.read()))
    except FileNotFoundError:
        return 0


class _Wanted:
    """Leaves out what is not in the time asked for; a line belongs to the time of its beginning."""

    def __init__(self, query: Query) -> None:
        self._since = query.since
        self._until = query.until
        self._shown = {"stdout": True, "stderr": True}
        self.over = False

    def of(self, batch: list[Record]) -> list[Record]:
        if not self._since and not self._until:
            return batch
        return [record for record in batch if self._is_in(record)]

    def _is_in(self, record: Record) -> bool:
        if record.starts:
            when = nanoseconds(record.time)
            late = bool(self._until) and when > self._until
            self.over = self.over or late
            self._shown[record.stream] = when >= self._since and not late
        return self._shown[record.stream]


def nanoseconds(text: bytes) -> int:
    """Nanoseconds since the epoch of conmon's "2026-11-24T08:30:00.123456789+01:00"."""
    fraction, sign, offset = text[20:29], text[29:30], text[30:]
    hours, _, minutes = offset.partition(b":")
    seconds = _seconds(text[:19])
    shift = (int(hours) * 60 + int(minutes)) * 60
    return (seconds + (shift if sign == b"-" else -shift)) * 10**9 + int(fraction)


_days: dict[bytes, int] = {}


def _seconds(text: bytes) -> int:
    """Seconds of a "2026-11-24T08:30:00" that is in UTC."""
    day = _days.get(text[:10])
    if day is None:
        import calendar

        year, month, number = map(int, text[:10].split(b"-"))
        day = _days[text[:10]] = calendar.timegm((year, month, number, 0, 0, 0))
    return day + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])


def rfc3339(moment: int) -> str:
    """docker's time stamp, in UTC with all nine digits."""
    seconds, fraction = divmod(moment, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09}Z"
