"""Entries of a tar archive: ustar, GNU and PAX headers, read strictly and without trust."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Iterator, Mapping

from devbox.errors import RefusedError
from devbox.image.tar.limits import PATH_MAX, RECORD_MAX, Limits
from devbox.image.tar.source import Source
from devbox.image.tar.sparse import with_holes
from devbox.image.tar.tarfields import BLOCK, NO_XATTRS, Entry, field_number, padding, show, whole_number

ID_MAX = 2147483647
_ZEROS = bytes(BLOCK)
_DECIMAL = re.compile(rb"(-?)(\d{1,18})(?:\.(\d*))?")
_KINDS = {b"7": b"0", b"\0": b"0", b"S": b"0"}
_KNOWN = b"0123456"
_XATTR = b"SCHILY.xattr."


def entries(source: Source, limits: Limits) -> Iterator[Entry]:
    """Members in order; before it asks for the next, the caller takes exactly `size` bytes and their padding.

    Raises RefusedError for what is malformed, hostile or over a limit.
    """
    count = 0
    long: dict[bytes, bytes] = {}
    spent = 0
    while (block := _next_block(source)) is not None:
        count += 1
        if count > limits.entries:
            raise RefusedError(f"the archive has more than {limits.entries} entries")
        kind = block[156:157]
        if kind in b"LKxXg":
            size = _size(block[124:136])
            spent += size
            if spent > RECORD_MAX:
                raise RefusedError(f"an entry of the archive has more than {RECORD_MAX} bytes of extended header")
            _extended(kind, _padded(source, size), long)
        elif kind == b"V":
            _padded_skip(source, _size(block[124:136]))
        else:
            yield _entry(source, block, long)
            long, spent = {}, 0


def is_header(block: bytes) -> bool:
    """Whether a block has the checksum of a tar header."""
    claimed = block[148:156].partition(b"\0")[0].strip().lstrip(b"0")
    actual = sum(block) - sum(block[148:156]) + 256
    return claimed == b"%o" % actual


def _next_block(source: Source) -> bytes | None:
    if source.at_end():
        return None
    block = source.read(BLOCK)
    if block == _ZEROS:
        source.drain()
        return None
    if not is_header(block):
        raise RefusedError("the archive is not a tar archive, or is damaged: a header has a wrong checksum")
    return block


def _extended(kind: bytes, data: bytes, long: dict[bytes, bytes]) -> None:
    if kind == b"L":
        long[b"path"] = data.rstrip(b"\0")
    elif kind == b"K":
        long[b"linkpath"] = data.rstrip(b"\0")
    elif kind != b"g":  # a global header speaks of the whole archive; git writes its commit there
        _pax(data, long)


def _pax(data: bytes, long: dict[bytes, bytes]) -> None:
    position = 0
    maps: list[bytes] = []
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        digits = data[position:space] if space > 0 else b""
        end = position + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(data) or data[end - 1] != 0x0A or not equals or not key:
            raise RefusedError("a PAX record of the archive is malformed")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            maps.append(value)
        long[key] = value
        position = end
    if maps:
        long[b"GNU.sparse.map"] = b",".join(maps)


def _entry(source: Source, block: bytes, long: dict[bytes, bytes]) -> Entry:
    kind = block[156:157]
    name = long.get(b"GNU.sparse.name") or long.get(b"path") or _short_name(block)
    if kind in b"0\0" and name.endswith(b"/"):
        kind = b"5"
    kind = _KINDS.get(kind, kind)
    if kind not in _KNOWN:
        raise RefusedError(f"the archive has an entry of unknown type {show(kind)}")
    size = _number_of(long, b"size", block[124:136])
    entry = Entry(
        name=clean(name),
        kind=kind,
        mode=field_number(block[100:108]) & 0o7777,
        uid=_id(_number_of(long, b"uid", block[108:116])),
        gid=_id(_number_of(long, b"gid", block[116:124])),
        # links, devices and directories have no data, whatever their size field says
        size=_checked(size) if kind == b"0" else 0,
        mtime=_time(long[b"mtime"]) if b"mtime" in long else field_number(block[136:148]) * 1_000_000_000,
        link=long.get(b"linkpath") or _text(block[157:257]) if kind in b"12" else b"",
        major=field_number(block[329:337]) if kind in b"34" else 0,
        minor=field_number(block[337:345]) if kind in b"34" else 0,
    )
    if long:
        entry = entry._replace(xattrs=_xattrs(long))
    if block[156:157] == b"S" or b"GNU.sparse.major" in long or b"GNU.sparse.map" in long:
        return with_holes(source, entry, block, long)
    return entry


def _xattrs(long: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    found = {key[len(_XATTR) :]: value for key, value in long.items() if key.startswith(_XATTR)}
    for name in found:
        if not name or b"\0" in name or len(name) > 255:
            raise RefusedError("an extended attribute of the archive has a malformed name")
    return found or NO_XATTRS


def _short_name(block: bytes) -> bytes:
    name = _text(block[:100])
    if block[257:263] == b"ustar\0":
        prefix = _text(block[345:500])
        return prefix + b"/" + name if prefix else name
    return name


def clean(name: bytes) -> bytes:
    """A member's path without leading slashes and "." parts; RefusedError when it has ".." or is too long."""
    if b"\0" in name:
        raise RefusedError("a name in the archive has a NUL byte")
    if len(name) > PATH_MAX:
        raise RefusedError(f"a name in the archive has more than {PATH_MAX} bytes")
    if b"//" not in name and b"/." not in name and name[:1] not in (b"/", b"."):
        return name.rstrip(b"/")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise RefusedError(f"a name in the archive leads out of it: {show(name)}")
    return b"/".join(parts)


def _padded(source: Source, size: int) -> bytes:
    return source.read(size + padding(size))[:size]


def _padded_skip(source: Source, size: int) -> None:
    source.skip(size + padding(size))


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _size(field: bytes) -> int:
    return _checked(field_number(field))


def _checked(size: int) -> int:
    if not 0 <= size < 1 << 62:
        raise RefusedError(f"an entry of the archive has the impossible size {size}")
    return size


def _id(number: int) -> int:
    if not 0 <= number <= ID_MAX:
        raise RefusedError(f"an entry of the archive has the impossible owner {number}")
    return number


def _number_of(long: Mapping[bytes, bytes], key: bytes, field: bytes) -> int:
    value = long.get(key)
    return field_number(field) if value is None else whole_number(value)


def _time(value: bytes) -> int:
    match = _DECIMAL.fullmatch(value)
    if match is None:
        raise RefusedError(f"a time in the archive is malformed: {show(value)}")
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * 1_000_000_000 + int(((fraction or b"") + b"000000000")[:9])
    return -nanoseconds if sign else nanoseconds
