"""Failures that are not of devbox's own family, each as one sentence: loaded only when there is one."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import sys

from devbox.cli.context import Context
from devbox.errors import DevboxError, HostError, StoreError

INTERRUPTED = 130
_MAKE_ROOM = "make room: 'devbox system df' shows what is used, 'devbox system prune' removes what is unused"
_HINTS = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EROFS: "mount it writable, or set DEVBOX_ROOT to another directory",
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "raise the limit of open files: sysctl fs.file-max",
    errno.EIO: "the disk fails: look at 'dmesg'",
    errno.EACCES: "run devbox as root",
    errno.EPERM: "run devbox as root, with the powers it needs",
}


def explain(context: Context, error: BaseException) -> int:
    """Report a foreign exception and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else DevboxError.exit_code
    if isinstance(error, BrokenPipeError):
        return _reader_is_gone()
    return context.report(_translated(error))


def _translated(error: BaseException) -> DevboxError:
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, sqlite3.Error):
        return _database(error)
    if isinstance(error, MemoryError):
        return HostError("this machine has no memory left")
    return _defect(error)


def _reader_is_gone() -> int:
    # what is still buffered has no reader either; 141 is what a shell reports for SIGPIPE
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    return 128 + 13


def _system(error: OSError) -> DevboxError:
    what = os.strerror(error.errno).lower() if error.errno else str(error)
    if error.errno == errno.ENOSPC and not error.filename and _stdout_is_full():
        return HostError(f"cannot write to stdout: {what}", hint="the output goes to a full disk: make room there")
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return HostError(where + what, hint=_HINTS.get(error.errno or 0, ""))


def _stdout_is_full() -> bool:
    """Whether what is behind stdout has no room, which no write of ours to the store is to blame for."""
    if sys.platform != "win32":
        behind = os.fstat(1)
        if stat.S_ISREG(behind.st_mode):
            return os.fstatvfs(1).f_bavail == 0
        if os.path.exists("/dev/full"):
            return behind.st_rdev == os.stat("/dev/full").st_rdev
    return False


def _database(error: sqlite3.Error) -> DevboxError:
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_FULL"):
        return StoreError("the disk of the store is full", hint=_MAKE_ROOM)
    if name.startswith("SQLITE_READONLY"):
        return StoreError("the store is read-only", hint=_HINTS[errno.EROFS])
    if name.startswith("SQLITE_BUSY"):
        return StoreError("the store is busy: another devbox has held its lock for a minute")
    if name.startswith("SQLITE_IOERR"):
        return StoreError(f"the store cannot be read or written: {error}", hint=_HINTS[errno.EIO])
    return StoreError(f"the store's state file failed: {error}", hint="'devbox check --repair' may help")


def _defect(error: BaseException) -> DevboxError:
    import traceback

    if os.environ.get("DEVBOX_TRACEBACK"):
        traceback.print_exception(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    return DevboxError(
        f"this is a defect of devbox: {type(error).__name__} at {where}: {' '.join(str(error).split())}",
        hint="set DEVBOX_TRACEBACK=1 to see more, and please report it",
    )
