"""A process of the agent's that runs one command on pipes or a terminal of its own."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import ctypes
import fcntl
import os
import pty
import signal
import struct
import termios
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from devbox.machine.frames import WINDOW
from devbox.machine.request import Request, Terminal
from devbox.model.invocation import Invocation

Perform = Callable[[Invocation], int]
"""runs a command in this process on 0, 1 and 2 and returns its exit code"""

_PR_SET_PDEATHSIG = 1
_OUTPUT_FLAGS = 1
_FAILED = 125


class Child(NamedTuple):
    """The agent's ends; -1 where the command has the terminal instead."""

    pid: int
    handle: int
    """pidfd"""
    terminal: int
    stdin: int
    stdout: int
    stderr: int


def spawn(request: Request, perform: Perform) -> Child:
    """Fork a leader of a session of its own that performs the request; nothing else is inherited."""
    theirs: list[int] = []
    ours: list[int] = []
    terminal = slave = -1
    wishes = request.terminal
    if wishes.wanted:
        terminal, slave = pty.openpty()
        _furnish(terminal, slave, wishes)
    for number, is_terminal in enumerate((wishes.stdin, wishes.stdout, wishes.stderr)):
        if is_terminal:
            theirs.append(slave)
            ours.append(-1)
            continue
        reader, writer = os.pipe()
        with contextlib.suppress(OSError):  # the kernel's bound for all pipes of a user
            fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, WINDOW)
        theirs.append(writer if number else reader)
        ours.append(reader if number else writer)
    agent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(request, perform, theirs, agent, has_terminal=slave >= 0)
    for fd in {*theirs} | ({slave} - {-1}):
        os.close(fd)
    for fd in (terminal, *ours):
        if fd >= 0:
            os.set_blocking(fd, False)
    return Child(pid, os.pidfd_open(pid), terminal, *ours)


def resize(terminal: int, rows: int, columns: int) -> None:
    """Give a terminal its size; the processes in front are told by SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _furnish(terminal: int, slave: int, wishes: Terminal) -> None:
    if wishes.rows and wishes.columns:
        resize(terminal, wishes.rows, wishes.columns)
    if not wishes.stdin:  # the caller's own terminal is not raw then, and does this itself
        modes = termios.tcgetattr(slave)
        modes[_OUTPUT_FLAGS] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, modes)


def _become(request: Request, perform: Perform, files: list[int], agent: int, *, has_terminal: bool) -> NoReturn:
    """The rest of the forked process's life."""
    code = _FAILED
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != agent:
            os._exit(_FAILED)
        for number, fd in enumerate(files):
            os.dup2(fd, number)  # the agent keeps 0, 1 and 2 open, so no pipe has their numbers
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if has_terminal:
            slave = next(number for number in range(3) if os.isatty(number))
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        _open_streams()
        _enter(request.cwd)
        os.environb.update({os.fsencode(k): os.fsencode(v) for k, v in request.environment.items()})
        code = perform(request.invocation)
    except BaseException:  # noqa: BLE001 - nothing may return into the agent's loop
        traceback.print_exc()
    finally:
        os._exit(code)


def _open_streams() -> None:
    """Python's own objects for 0, 1 and 2, buffered as a new interpreter would."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    for number, name in ((1, "stdout"), (2, "stderr")):
        line = number == 2 or os.isatty(number)
        stream = open(  # noqa: SIM115
            number, "w", 1 if line else -1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        setattr(sys, name, stream)


def _enter(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError:  # a directory of the caller's that this side does not have
        os.chdir("/")
