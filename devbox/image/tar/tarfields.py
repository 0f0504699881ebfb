"""What every reader and writer of tar archives speaks of: an entry, and the numbers of its header."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping
from typing import NamedTuple

from devbox.errors import RefusedError

BLOCK = 512
NO_XATTRS: Mapping[bytes, bytes] = {}


class Entry(NamedTuple):
    """One member: `name` without leading slashes or "." components, empty for the top directory itself."""

    name: bytes
    kind: bytes
    """"0" file, "1" hard link, "2" symbolic link, "3" and "4" devices, "5" directory, "6" FIFO"""
    mode: int
    uid: int
    gid: int
    size: int
    """bytes of data that follow in the archive"""
    mtime: int
    """nanoseconds since the epoch"""
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[bytes, bytes] = NO_XATTRS
    holes: tuple[tuple[int, int], ...] | None = None
    """of a sparse file: (offset, length) of each piece of its data"""
    real_size: int = 0
    """of a sparse file: its length with its holes"""


def show(name: bytes) -> str:
    """A name from an archive, quoted and shortened for a message."""
    text = name[:120].decode("utf-8", "backslashreplace")
    return ascii(text) + ("..." if len(name) > 120 else "")


def padding(size: int) -> int:
    """Bytes that fill the last block of `size` bytes of data."""
    return -size % BLOCK


def whole_number(value: bytes) -> int:
    """A decimal number of a PAX record; RefusedError when it is none."""
    digits = value.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 19:
        raise RefusedError(f"a number in the archive is malformed: {show(value)}")
    return int(value)


def field_number(field: bytes) -> int:
    """A number of a header block: octal digits or GNU's base-256."""
    if field[0] & 0x80:  # GNU's base-256, two's complement
        number = int.from_bytes(field, "big", signed=field[0] == 0xFF)
        return number if field[0] == 0xFF else number & ~(0x80 << 8 * (len(field) - 1))
    return _octal(field)


def _octal(field: bytes) -> int:
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise RefusedError("a number in a header of the archive is malformed")
    try:
        return int(digits, 8)
    except ValueError:
        raise RefusedError("a number in a header of the archive is malformed") from None
