"""Reading log files: records, partial lines, NUL bytes, tails, rotation while one reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.streams.logfiles import Reader, listed
from devbox.container.streams.logs import Parser, Record, last, nanoseconds, rfc3339

STAMP = b"2026-11-24T08:30:00.123456789+00:00"


def conmon(stream: bytes, chunk: bytes) -> bytes:
    """What conmon writes for one read of a stream."""
    lines = b""
    while chunk:
        line, newline, chunk = chunk.partition(b"\n")
        lines += STAMP + b" " + stream + (b" F " if newline else b" P ") + line + b"\n"
    return lines


def s6_log(data: bytes) -> list[bytes]:
    return data.replace(b"\0", b"\n").split(b"\n")[:-1]


def parsed(lines: list[bytes]) -> list[Record]:
    parser = Parser()
    return parser.records(lines) + parser.rest()


CHUNK = st.binary(min_size=1, max_size=40) | st.lists(
    st.sampled_from([b"\n", b"\0", b"a", b" F ", b"\r"]), min_size=1, max_size=9
).map(b"".join)
WRITES = st.lists(st.tuples(st.sampled_from([b"stdout", b"stderr"]), CHUNK), max_size=12)


@given(WRITES)
def test_what_was_written_is_read_byte_for_byte(writes: list[tuple[bytes, bytes]]) -> None:
    records = parsed(s6_log(b"".join(conmon(*write) for write in writes)))
    for stream in (b"stdout", b"stderr"):
        written = b"".join(chunk for name, chunk in writes if name == stream)
        assert b"".join(record.data for record in records if record.stream == stream.decode()) == written


@given(WRITES, st.lists(st.integers(1, 30), max_size=5))
def test_it_does_not_matter_where_the_lines_are_cut_into_batches(
    writes: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    lines = s6_log(b"".join(conmon(*write) for write in writes))
    parser = Parser()
    found = []
    rest = list(lines)
    for cut in cuts:
        found += parser.records(rest[:cut])
        rest = rest[cut:]
    assert found + parser.records(rest) + parser.rest() == parsed(lines)


@given(WRITES, st.integers(0, 6))
def test_a_tail_has_the_last_lines_whole(writes: list[tuple[bytes, bytes]], count: int) -> None:
    records = parsed(s6_log(b"".join(conmon(*write) for write in writes)))
    kept = [record for batch in last(iter([records]), count) for record in batch]
    starts = sum(record.starts for record in records)
    assert sum(record.starts for record in kept) == min(starts, count)
    if count >= starts:
        assert kept == records


def test_a_part_of_a_line_that_comes_late_goes_with_its_line() -> None:
    lines = [STAMP + tail for tail in (b" stdout P one ", b" stderr F other", b" stdout F line", b" stderr F end")]
    kept = [record.data for batch in last(iter([parsed(lines)]), 2) for record in batch]
    assert kept == [b"other\n", b"end\n"]


@pytest.mark.parametrize(
    "line", [b"", b"nonsense", b"2026 stdout F x", STAMP + b" stdin F x", STAMP + b" stdout X y"]
)
def test_damaged_lines_before_any_record_are_left_out(line: bytes) -> None:
    assert parsed([line]) == []


def test_times_are_converted_to_utc_and_shown_as_docker_does() -> None:
    assert nanoseconds(b"1970-01-01T00:00:01.000000002+00:00") == 1_000_000_002
    assert nanoseconds(b"2026-11-24T09:30:00.123456789+01:00") == nanoseconds(STAMP)
    assert nanoseconds(b"2026-11-24T03:00:00.123456789-05:30") == nanoseconds(STAMP)
    assert rfc3339(nanoseconds(STAMP)) == "2026-11-24T08:30:00.123456789Z"


ARCHIVES = ("@400000006b054b851b494c9f.s", "@400000006b054b8520468bc6.u")


def test_files_are_listed_oldest_first_and_each_once(tmp_path: Path) -> None:
    for name in ("current", *reversed(ARCHIVES), "lock", "state", "@x.s"):
        (tmp_path / name).touch()
    assert [file.name for file in listed(str(tmp_path))] == [*ARCHIVES, "current"]
    (tmp_path / "previous").hardlink_to(tmp_path / ARCHIVES[1])
    assert [file.name for file in listed(str(tmp_path))] == [*ARCHIVES, "current"]
    (tmp_path / ARCHIVES[1]).unlink()
    assert [file.name for file in listed(str(tmp_path))] == [ARCHIVES[0], "previous", "current"]
    assert listed(str(tmp_path / "missing")) == []


def test_a_reader_follows_rotations_and_loses_nothing(tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.write_bytes(b"1\n2\n3")
    reader = Reader(str(tmp_path))
    assert reader.read() == [b"1", b"2"]
    assert reader.read() == []
    with current.open("ab") as file:
        file.write(b"3\n4\n")
    current.rename(tmp_path / ARCHIVES[0])
    current.write_bytes(b"5\n")
    assert reader.read() == [b"33", b"4"]
    assert reader.read() == [b"5"]
    current.rename(tmp_path / ARCHIVES[1])
    (tmp_path / ARCHIVES[0]).unlink()
    current.write_bytes(b"6\n")
    assert reader.read() == [b"6"]
    assert reader.read() == []
    reader.close()


def test_a_reader_goes_on_with_the_oldest_when_its_file_was_dropped(tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.write_bytes(b"1\n")
    reader = Reader(str(tmp_path))
    assert reader.read() == [b"1"]
    current.unlink()
    (tmp_path / ARCHIVES[0]).write_bytes(b"2\n")
    (tmp_path / ARCHIVES[1]).write_bytes(b"3\n")
    current.write_bytes(b"4\n")
    assert [reader.read(), reader.read(), reader.read(), reader.read()] == [[b"2"], [b"3"], [b"4"], []]
    reader.close()


def test_a_line_that_its_writer_could_not_end_is_read_with_the_next_file(tmp_path: Path) -> None:
    (tmp_path / ARCHIVES[0]).write_bytes(b"1\n2")
    (tmp_path / "current").write_bytes(b"3\n")
    reader = Reader(str(tmp_path))
    assert [reader.read(), reader.read(), reader.read()] == [[b"1"], [b"2"], [b"3"]]
    reader.close()


def test_a_reader_starts_where_it_is_told(tmp_path: Path) -> None:
    (tmp_path / ARCHIVES[0]).write_bytes(b"1\n")
    (tmp_path / "current").write_bytes(b"2\n")
    reader = Reader(str(tmp_path), os.stat(tmp_path / "current").st_ino)
    assert [reader.read(), reader.read()] == [[b"2"], []]
    reader.close()
