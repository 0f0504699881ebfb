"""Header blocks of the canonical tar stream."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import struct
from collections.abc import Mapping

from devbox.image.tar.tarfields import BLOCK, padding

END = bytes(2 * BLOCK)
_USTAR = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12s")
_SIZE_MAX = 8**11 - 1
_ID_MAX = 8**7 - 1
_NAME_MAX = 100


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """The blocks before an entry's data; `mtime` in nanoseconds, PAX records only for what ustar cannot say."""
    records: dict[bytes, bytes] = {}
    if len(name) > _NAME_MAX:
        records[b"path"] = name
    if len(link) > _NAME_MAX:
        records[b"linkpath"] = link
    for key, number, most in ((b"uid", uid, _ID_MAX), (b"gid", gid, _ID_MAX), (b"size", size, _SIZE_MAX)):
        if number > most:
            records[key] = b"%d" % number
    seconds, fraction = divmod(mtime, 1_000_000_000)
    if fraction or not 0 <= seconds <= _SIZE_MAX:
        records[b"mtime"] = _decimal(mtime)
    for key, value in sorted((xattrs or {}).items()):
        records[b"SCHILY.xattr." + key] = value
    block = _block(
        name,
        kind,
        (mode, _fit(uid, _ID_MAX), _fit(gid, _ID_MAX), _fit(size, _SIZE_MAX), _fit(seconds, _SIZE_MAX)),
        link,
        device,
    )
    return _extended(name, records) + block if records else block


def _fit(number: int, most: int) -> int:
    return number if 0 <= number <= most else 0


def _decimal(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    sign = b"-" if nanoseconds < 0 else b""
    return sign + (b"%d.%09d" % (seconds, fraction)).rstrip(b"0").rstrip(b".")


def _extended(name: bytes, records: Mapping[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, value) for key, value in records.items())
    base = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2][:80]
    return _block(base, b"x", (0o644, 0, 0, len(data), 0), b"", (0, 0)) + data + bytes(padding(len(data)))


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def _block(
    name: bytes, kind: bytes, numbers: tuple[int, int, int, int, int], link: bytes, device: tuple[int, int]
) -> bytes:
    mode, uid, gid, size, seconds = numbers
    devices = (b"%07o\0" % device[0], b"%07o\0" % device[1]) if kind in b"34" else (b"", b"")
    fields = (
        name[:_NAME_MAX],
        b"%07o\0" % mode,
        b"%07o\0" % uid,
        b"%07o\0" % gid,
        b"%011o\0" % size,
        b"%011o\0" % seconds,
        b"        ",
        kind,
        link[:_NAME_MAX],
        b"ustar\00000",
        b"",
        b"",
        *devices,
        b"",
        b"",
    )
    block = bytearray(_USTAR.pack(*fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
