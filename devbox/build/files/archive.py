"""Archives in a context, and contexts that are archives."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container.files.copying import plain
from devbox.errors import RefusedError
from devbox.image.tar.limits import Limits
from devbox.image.tar.tarfields import BLOCK
from devbox.image.tar.tarread import is_header
from devbox.image.tar.unpack import Policy, extract
from devbox.system.walk import opened


def is_archive(fd: int) -> bool:
    """Whether a file is a tar archive with an entry at least, compressed or not; what it has may be hostile."""
    try:
        with plain(fd) as source:
            return is_header(source.read(BLOCK))
    except RefusedError:
        return False
    finally:
        os.lseek(fd, 0, os.SEEK_SET)


def unpack(fd: int, directory: int, *, owner: tuple[int, int] | None, devices: bool = True) -> None:
    """Unpack a file into a directory, for `owner` or for whom the archive says. Raises RefusedError."""
    limits = Limits().for_input(os.fstat(fd).st_size)
    policy = Policy(whiteouts=False, devices=devices, owner=owner)
    with plain(fd) as source, opened(os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)) as root:
        extract(source, root, limits=limits, policy=policy)
