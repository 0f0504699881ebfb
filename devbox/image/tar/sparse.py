"""Sparse files in tar archives: the old GNU header and PAX formats 0.0, 0.1 and 1.0."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping

from devbox.errors import RefusedError
from devbox.image.tar.source import Source
from devbox.image.tar.tarfields import BLOCK, Entry, field_number, whole_number

PIECES_MAX = 65536


def with_holes(source: Source, entry: Entry, block: bytes, long: Mapping[bytes, bytes]) -> Entry:
    """The entry with its map, read from the header or from the start of its data; checked and charged."""
    if block[156:157] == b"S":
        pieces, real = _old_gnu(source, block), field_number(block[483:495])
    elif long.get(b"GNU.sparse.major") == b"1":
        pieces, used = _from_data(source, entry.size)
        real = whole_number(long.get(b"GNU.sparse.realsize", b"-1"))
        entry = entry._replace(size=entry.size - used)
    else:
        numbers = [whole_number(part) for part in long.get(b"GNU.sparse.map", b"").split(b",")]
        pieces = _pairs(numbers)
        real = whole_number(long.get(b"GNU.sparse.size", long.get(b"GNU.sparse.realsize", b"-1")))
    _check(entry, pieces, real)
    source.charge(real)
    return entry._replace(holes=tuple(pieces), real_size=real)


def _old_gnu(source: Source, block: bytes) -> list[tuple[int, int]]:
    pieces = _table(block[386:482])
    more = block[482]
    while more:
        block = source.read(BLOCK)
        pieces += _table(block[:504])
        more = block[504]
        if len(pieces) > PIECES_MAX:
            raise _malformed()
    return pieces


def _table(data: bytes) -> list[tuple[int, int]]:
    return [
        (field_number(data[at : at + 12]), field_number(data[at + 12 : at + 24]))
        for at in range(0, len(data), 24)
        if data[at] != 0
    ]


def _from_data(source: Source, size: int) -> tuple[list[tuple[int, int]], int]:
    data, lines = b"", [b""]
    wanted = 1
    while len(lines) <= wanted:
        if len(data) >= min(size, PIECES_MAX * 24):
            raise _malformed()
        data += source.read(BLOCK)
        lines = data.split(b"\n")
        if len(lines) > 1:
            wanted = 1 + 2 * whole_number(lines[0])
    return _pairs([whole_number(line) for line in lines[1:wanted]]), len(data)


def _pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2 or len(numbers) > 2 * PIECES_MAX:
        raise _malformed()
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _check(entry: Entry, pieces: list[tuple[int, int]], real: int) -> None:
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise _malformed()
        end = offset + length
    if end > real or real >= 1 << 62 or sum(length for _, length in pieces) != entry.size:
        raise _malformed()


def _malformed() -> RefusedError:
    return RefusedError("the map of a sparse file in the archive is malformed")
