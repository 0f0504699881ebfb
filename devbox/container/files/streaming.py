"""A tar stream from one tree into another, both walked by descriptor, with flat memory."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import fcntl
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from devbox.image.tar.limits import Limits
from devbox.image.tar.pack import Choice, Sink, pack
from devbox.image.tar.source import Source
from devbox.image.tar.unpack import Policy, extract
from devbox.system.files import write_all
from devbox.system.syscalls import CLONE_FS, unshare

PIPE_BYTES = 1 << 20
UNBOUNDED = Limits(size=1 << 62, entries=1 << 62)
"""for streams that we make ourselves of a tree that is there"""

T = TypeVar("T")


def stream(produce: Callable[[Sink], object], consume: Callable[[int], T]) -> T:
    """Let `consume` read from a descriptor what `produce` writes; its result.

    An error of the producer is raised rather than the one that its short stream caused.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    failures: list[BaseException] = []
    thread = threading.Thread(target=_produce, args=(produce, writer, failures), daemon=True)
    thread.start()
    try:
        result = consume(reader)
    except BaseException as error:
        os.close(reader)
        thread.join()
        if failures and not isinstance(failures[0], BrokenPipeError):
            raise failures[0] from error
        raise
    os.close(reader)
    thread.join()
    if failures and not isinstance(failures[0], BrokenPipeError):
        raise failures[0]
    return result


def _produce(produce: Callable[[Sink], object], writer: int, failures: list[BaseException]) -> None:
    try:
        # as long as two threads share a working directory, setns(2) takes neither to another mount namespace
        unshare(CLONE_FS)
        produce(lambda data: write_all(writer, data))
    except BaseException as error:  # noqa: BLE001 - it is raised in the thread that reads
        failures.append(error)
    finally:
        os.close(writer)


def copy_below(source: int, destination: int) -> None:
    """Copy all below one directory, and how that directory itself is, to another, exactly."""
    choice = Choice(whiteouts=False)
    policy = Policy(whiteouts=False)
    stream(
        lambda write: pack(source, write, choice=choice),
        lambda reader: extract(Source(reader, limit=UNBOUNDED.size), destination, limits=UNBOUNDED, policy=policy),
    )
    there = os.fstat(source)
    os.fchown(destination, there.st_uid, there.st_gid)
    os.fchmod(destination, there.st_mode & 0o7777)
    os.utime(destination, ns=(there.st_atime_ns, there.st_mtime_ns))
