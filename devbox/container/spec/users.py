"""Users of a container: names and numbers of --user and --group-add, looked up in the image's own files."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from devbox.errors import NotFoundError, RefusedError, UsageError
from devbox.system.walk import FAULTS, open_in_root, opened

ID_MAX = (1 << 31) - 1
FILE_SIZE_MAX = 4 * 1024 * 1024


class User(NamedTuple):
    """Who a process is."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """supplementary groups, the first one included"""
    home: str = "/"


class _Account(NamedTuple):
    name: str
    uid: int
    gid: int
    home: str


class _Group(NamedTuple):
    name: str
    gid: int
    members: tuple[str, ...]


def check_user(text: str) -> None:
    """Raise UsageError for a --user whose numbers no kernel id can be."""
    for part in text.split(":", 1):
        _check_id(part, f"--user {text}")
    if text.startswith(":") or "\0" in text:
        raise UsageError(f"invalid --user {text!r}", hint="write it as USER[:GROUP], names or numbers")


def check_group(text: str) -> None:
    """Raise UsageError for a --group-add whose number no kernel id can be."""
    _check_id(text, f"--group-add {text}")
    if not text or set(text) & set(":\0\n"):
        raise UsageError(f"invalid --group-add {text!r}", hint="write a group's name or number")


def _check_id(text: str, option: str) -> None:
    if _is_number(text.lstrip("+-")) and not (_is_number(text) and int(text) <= ID_MAX):
        raise UsageError(f"invalid id in '{option}'", hint=f"ids are 0 to {ID_MAX}")


def lookup(root: int, user: str, group_add: Sequence[str] = ()) -> User:
    """Who "", "name", "7", "name:group" or "7:8" is in the tree below the descriptor `root`.

    A number needs no entry. Raises NotFoundError for a name without one, RefusedError for files in its place that
    cannot be read safely.
    """
    name, _, group = user.partition(":")
    account = _account(root, name or "0")
    groups = list(_groups(root))
    gid = account.gid
    extra: list[int] = []
    if group:
        gid = _gid(groups, group)
    else:
        extra = [entry.gid for entry in groups if account.name and account.name in entry.members]
    extra += [_gid(groups, text) for text in group_add]
    return User(account.uid, gid, tuple(dict.fromkeys((gid, *extra))), account.home)


def _account(root: int, name: str) -> _Account:
    number = _number(name)
    for account in _accounts(root):
        if account.name == name or account.uid == number:
            return account
    if number is None:
        raise NotFoundError(
            f"unable to find user {name}: no matching entries in passwd file", hint="numbers need no entry"
        )
    return _Account("", number, 0, "/")


def _gid(groups: Sequence[_Group], name: str) -> int:
    number = _number(name)
    for entry in groups:
        if entry.name == name or entry.gid == number:
            return entry.gid
    if number is None:
        raise NotFoundError(
            f"unable to find group {name}: no matching entries in group file", hint="numbers need no entry"
        )
    return number


def _number(text: str) -> int | None:
    if not _is_number(text):
        return None
    number = int(text)
    if number > ID_MAX:
        raise UsageError(f"the id {text} is too large", hint=f"ids are 0 to {ID_MAX}")
    return number


def _accounts(root: int) -> Iterator[_Account]:
    for fields in _entries(root, "/etc/passwd", 7):
        uid, gid = _own_number(fields[2]), _own_number(fields[3])
        if uid is not None and gid is not None:
            home = fields[5] if fields[5].startswith("/") else "/"
            yield _Account(fields[0], uid, gid, home)


def _groups(root: int) -> Iterator[_Group]:
    for fields in _entries(root, "/etc/group", 4):
        gid = _own_number(fields[2])
        if gid is not None:
            yield _Group(fields[0], gid, tuple(filter(None, fields[3].split(","))))


def _own_number(text: str) -> int | None:
    """A number of the image's files; an entry that has none, or one no id can be, is no entry."""
    return int(text) if _is_number(text) and int(text) <= ID_MAX else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 4000  # int() refuses longer ones


def _entries(root: int, path: str, fields: int) -> Iterator[list[str]]:
    for line in read_file(root, path).decode(errors="surrogateescape").splitlines():
        parts = line.strip().split(":")
        if len(parts) >= fields and parts[0]:
            yield parts


def read_file(root: int, path: str) -> bytes:
    """A file of the image as its processes would see it; b"" when there is none.

    Raises RefusedError for anything but a regular file of bearable size; never waits for a FIFO or device.
    """
    try:
        place = open_in_root(root, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        if error.errno in FAULTS:
            raise
        raise RefusedError(f"cannot read {path} of the image: {os.strerror(error.errno or 0).lower()}") from error
    with opened(place):
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"{path} of the image is not a regular file")
        if status.st_size > FILE_SIZE_MAX:
            raise RefusedError(f"{path} of the image is larger than {FILE_SIZE_MAX >> 20} MiB")
        with open(f"/proc/self/fd/{place}", "rb") as file:
            return file.read(FILE_SIZE_MAX)
