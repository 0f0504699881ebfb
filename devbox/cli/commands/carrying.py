"""internal receive, give and drop: the machine's side of files that travel with a command."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import re
import shutil
import tarfile
import time

from devbox.cli.context import Context
from devbox.container.files import copying
from devbox.errors import RefusedError
from devbox.model.invocation import Invocation
from devbox.system.walk import open_root, opened

_PLACE = re.compile(r"/var/tmp/devbox-carried/[0-9a-f]{32}")
_LEFT_OVER = 86400


def receive(_: Context, invocation: Invocation) -> int:
    """Unpack an archive on stdin into a directory that is made for it."""
    directory = _directory(invocation)
    os.makedirs(os.path.dirname(directory), mode=0o700, exist_ok=True)
    _tidy(os.path.dirname(directory))
    os.mkdir(directory, 0o700)
    with (
        opened(open_root("/")) as root,
        copying.plain(0) as archive,
        copying.target(copying.Tree(root, "in the machine"), directory) as target,
    ):
        copying.read_archive(archive, target)
    return 0


def give(_: Context, invocation: Invocation) -> int:
    """Write the directory as an archive to stdout, and delete it."""
    directory = _directory(invocation)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        tar.add(directory, ".")
    shutil.rmtree(directory)
    return 0


def drop(_: Context, invocation: Invocation) -> int:
    """Delete the directory."""
    shutil.rmtree(_directory(invocation))
    return 0


def _directory(invocation: Invocation) -> str:
    directory = invocation.text("directory")
    if not _PLACE.fullmatch(directory):
        raise RefusedError(f"{directory} is no place for what is carried")
    return directory


def _tidy(directory: str) -> None:
    """Delete what hosts left whose connection was cut."""
    with os.scandir(directory) as entries:
        old = [entry.path for entry in entries if time.time() - entry.stat().st_mtime > _LEFT_OVER]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
