"""The value of --chown, looked up in the files of the image that is built."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re

from devbox.container.spec.users import ID_MAX, lookup
from devbox.errors import UsageError


def read(root: int, text: str) -> tuple[int, int]:
    """uid and gid of "name", "7", "name:group" or "7:8" in the tree below a descriptor.

    A number without a group is its own group. Raises NotFoundError for a name that the tree does not know.
    """
    user, colon, group = text.partition(":")
    if not user or (colon and not group) or "\0" in text:
        raise UsageError(f"invalid chown parameter: {text!r}", hint="write USER or USER:GROUP, names or numbers")
    if _number(user) is not None:
        uid = gid = _number(user) or 0
    else:
        found = lookup(root, user)
        uid, gid = found.uid, found.gid
    if group:
        number = _number(group)
        gid = lookup(root, f"0:{group}").gid if number is None else number
    return uid, gid


def _number(text: str) -> int | None:
    if not re.fullmatch("[0-9]+", text):
        return None
    if len(text) > 10 or int(text) > ID_MAX:
        raise UsageError(f"the id {text} is too large", hint=f"ids are 0 to {ID_MAX}")
    return int(text)
