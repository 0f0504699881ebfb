"""Whatever goes wrong ends in one sentence, a hint and an exit code."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys

import pytest

from devbox.cli import main
from devbox.errors import CommandNotFoundError, DevboxError, NotExecutableError, NotFoundError
from devbox.store.root import Root
from tests.cli.conftest import Devbox


def sqlite_error(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NotFoundError("no such thing", hint="make one"), 125, "devbox: no such thing\n  make one\n"),
        (DevboxError("evil \x1b[2J"), 125, "devbox: evil \\x1b[2J\n"),
        (NotExecutableError("x"), 126, "devbox: x\n"),
        (CommandNotFoundError("x"), 127, "devbox: x\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(7), 7, ""),
        (
            OSError(errno.ENOSPC, "x", "/some/file"),
            125,
            "devbox: /some/file: no space left on device\n  make room",
        ),
        (OSError(errno.EROFS, "x"), 125, "devbox: read-only file system\n  mount it writable"),
        (OSError(errno.EMFILE, "x"), 125, "devbox: too many open files\n  raise the limit"),
        (
            PermissionError(errno.EPERM, "x", b"/x"),
            125,
            "devbox: /x: operation not permitted\n  run devbox as root",
        ),
        (sqlite_error("SQLITE_FULL"), 125, "devbox: the disk of the store is full\n  make room"),
        (sqlite_error("SQLITE_READONLY_DBMOVED"), 125, "devbox: the store is read-only\n"),
        (sqlite_error("SQLITE_BUSY"), 125, "devbox: the store is busy"),
        (sqlite_error("SQLITE_IOERR_WRITE"), 125, "devbox: the store cannot be read or written"),
        (sqlite_error("SQLITE_CORRUPT"), 125, "devbox: the store's state file failed: it failed\n  'devbox check"),
        (MemoryError(), 125, "devbox: this machine has no memory left\n"),
        (ValueError("a\nb"), 125, "devbox: this is a defect of devbox: ValueError at "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_a_sentence(
    devbox: Devbox, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, message: str
) -> None:
    def fails(*_: object) -> int:
        raise error

    monkeypatch.setattr("devbox.cli.commands.system.version", fails)
    printed = devbox("version")
    assert printed.code == code
    assert printed.err.startswith(message)
    assert "Traceback" not in printed.err
    assert len(printed.err.splitlines()) <= 2


PRUNE = "  did you mean " + " or ".join(
    f"'devbox {noun} prune'" for noun in ("builder", "container", "image", "network", "system", "volume")
)
PRUNE += "?"
IMAGES = "  did you mean 'devbox images'?"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["rnu"], ["devbox: 'rnu' is not a command of devbox", "  did you mean run?"]),
        (
            ["frobnicate"],
            ["devbox: 'frobnicate' is not a command of devbox", "  'devbox --help' lists the commands"],
        ),
        (["volume", "lss"], ["devbox: 'lss' is not a command of devbox volume", "  did you mean ls?"]),
        (["prune", "-f"], ["devbox: 'prune' is not a command of devbox", PRUNE]),
        (["container", "images"], ["devbox: 'images' is not a command of devbox container", IMAGES]),
        (["--debug"], ["devbox: unknown option --debug", "  'devbox --help' lists what there is"]),
        (["ps", "--al"], ["devbox: unknown option --al of 'devbox ps'", "  did you mean --all or --last?"]),
    ],
)
def test_a_slip_of_the_finger(words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 125
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["help"], ["volume"], ["volume", "--help"], ["help", "run"], ["run", "--help"]]
)
def test_help_is_no_failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("Usage: devbox ")
    assert printed.err == ""


def test_who_is_not_root_is_told_to_use_sudo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DEVBOX_ROOT", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main.run(["ps"]) == 125
    assert capsys.readouterr().err == "devbox: devbox needs root\n  run it with sudo\n"


def test_an_old_kernel_is_named(
    root: Root, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uname = os.uname()
    old = type(uname)((uname.sysname, uname.nodename, "4.19.0-27-amd64", uname.version, uname.machine))
    monkeypatch.setattr("os.uname", lambda: old)
    assert main.run(["ps"]) == 125
    assert capsys.readouterr().err == (
        "devbox: the kernel 4.19.0-27-amd64 is too old\n  devbox needs Linux 5.11 or newer\n"
    )


def test_a_working_directory_that_is_gone() -> None:
    from devbox.cli.context import Context
    from devbox.errors import HostError

    child = os.fork()
    if child == 0:
        os.mkdir(f"/tmp/gone.{os.getpid()}")
        os.chdir(f"/tmp/gone.{os.getpid()}")
        os.rmdir(f"/tmp/gone.{os.getpid()}")
        try:
            Context().cwd  # noqa: B018
        except HostError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


DEVBOX = [sys.executable, "-m", "devbox"]


def test_a_reader_that_leaves_is_no_error(root: Root) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*DEVBOX, "run", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["version"], ["run", "--help"]])
def test_a_full_disk_below_stdout_is_told(root: Root, words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*DEVBOX, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 125
    assert done.stderr.startswith("devbox: cannot write to stdout: no space left on device\n")
    assert "system df" not in done.stderr, "the store is not to blame"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_trap(root: Root, closed: str) -> None:
    line = f'exec "{sys.executable}" -m devbox ps {closed}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    with open(root.database, "rb") as file:
        assert file.read(6) == b"SQLite"
