"""A further process in a running container, joined to us: docker exec.

It becomes our child, so nothing but itself is left when this command is killed. It gets pipes or a terminal of its
own, never our descriptors, which would hand the caller's terminal and files to a container.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from devbox.container import exec_process
from devbox.container.exec_process import Request
from devbox.container.streams import keyboard, keys
from devbox.container.streams.pump import Flow, Outlet, drain, pump, reader, writer
from devbox.container.telling import Execution
from devbox.model.container import Container
from devbox.store.database import Store
from devbox.system import process, procfs, terminal
from devbox.system.syscalls import become_subreaper
from devbox.system.walk import opened

_CHUNK = 256 << 10
"""bytes of output that are moved at once"""
_PTY_PATIENCE = 0.1
"""seconds in which the kernel brings the last bytes of a terminal over"""
KILLED = -1
"""the code of a captured process that took too long"""


class Options(NamedTuple):
    """How the process is joined to us."""

    stdin: bool = False
    detach: bool = False
    detach_keys: bytes = keys.DEFAULT


def execute(store: Store, container: Container, request: Request, options: Options) -> int | None:
    """Run a process in a container and return its exit code, 0 for a detached one, None when the user detaches.

    Raises what `exec_process.start` does, and BrokenPipeError when nobody reads our output.
    """
    events = Execution(store, container, request.command)
    if options.detach:
        _detached(store, container, request)
        events.started()
        return 0
    become_subreaper()
    join = _in_terminal if request.tty else _in_pipes
    code = join(store, container, request, options, events)
    if code is None:
        events.left()
    else:
        events.ended(code)
    return code


def capture(
    store: Store, container: Container, argv: Sequence[str], *, timeout: float, limit: int = 4096
) -> tuple[int, bytes]:
    """Run a process without input; its exit code and the first `limit` bytes of stdout and stderr together.

    After `timeout` seconds it is killed with its descendants and the code is KILLED.
    """
    become_subreaper()
    _reap_orphans()
    deadline = time.monotonic() + timeout
    source, sink = os.pipe()
    with opened(source):
        try:
            with opened(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)) as null:
                pid = exec_process.start(store, container, Request(tuple(argv)), (null, sink, sink)).pid
        finally:
            os.close(sink)
        with opened(os.pidfd_open(pid)) as handle:
            output = _first_bytes(source, handle, deadline, limit)
        if time.monotonic() < deadline:
            return _exit_code(pid), output
        for one in procfs.descendants(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, 9)
        _reap_orphans()
        return KILLED, output


def _reap_orphans() -> None:
    """Bury what came to us as the subreaper and has ended: children of those killed, or of a failed runtime."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _first_bytes(source: int, handle: int, deadline: float, limit: int) -> bytes:
    """What arrives until the process has ended or the time is up."""
    os.set_blocking(source, False)
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(handle, select.POLLIN)
    output = b""
    while True:
        ready = dict(poll.poll(min(max(0.0, deadline - time.monotonic()) * 1000, process.LONGEST_POLL)))
        if source in ready:
            data = os.read(source, 65536)
            output += data[: limit - len(output)]
            if not data:
                poll.unregister(source)
        elif handle in ready or not ready:
            return output


def _detached(store: Store, container: Container, request: Request) -> None:
    started = _without_streams(store, container, request)
    if request.tty:
        _hold(started.console)


def _without_streams(store: Store, container: Container, request: Request) -> exec_process.Started:
    with opened(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)) as null:
        return exec_process.start(store, container, request, (null, null, null))


def _in_pipes(
    store: Store, container: Container, request: Request, options: Options, events: Execution
) -> int | None:
    stdin, feed = os.pipe() if options.stdin else (os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1)
    out, stdout = os.pipe()
    err, stderr = os.pipe()
    with contextlib.suppress(OSError):  # the kernel's bound for all pipes of a user
        fcntl.fcntl(stdout, fcntl.F_SETPIPE_SZ, _CHUNK)
    try:
        pid = exec_process.start(store, container, request, (stdin, stdout, stderr)).pid
    finally:
        for fd in (stdin, stdout, stderr):
            os.close(fd)
    events.started()
    outputs = [_output(out, 1), _output(err, 2)]
    inputs = [_input(feed)] if options.stdin else []
    _pump_until_exit(pid, [*outputs, *inputs])
    drain(outputs, 0)
    return _exit_code(pid)


def _in_terminal(
    store: Store, container: Container, request: Request, options: Options, events: Execution
) -> int | None:
    """The exit code, None when the user detaches."""
    started = _without_streams(store, container, request)
    events.started()
    console = started.console
    os.set_blocking(console, False)
    output = _output(console, 1)
    flows = [output]
    filtered = keys.Filter(options.detach_keys)

    def resize(rows: int, columns: int) -> None:
        if rows and columns:
            terminal.resize(console, rows, columns)

    with contextlib.ExitStack() as stack:
        watched: Mapping[int, Callable[[], None]] = {}
        if options.stdin:
            outlet = Outlet(console, lambda data: _write_if_read(console, data))
            flows.append(Flow(0, (outlet,), reader(0, lambda data: outlet.put(filtered.feed(data)))))
            if os.isatty(0):
                watched = stack.enter_context(keyboard.joined(resize))
        resize(*terminal.size())
        _pump_until_exit(started.pid, flows, watched, lambda: filtered.detached)
        if not filtered.detached:
            drain([output], _PTY_PATIENCE)
            return _exit_code(started.pid)
    _hold(console)
    return None


def _pump_until_exit(
    pid: int,
    flows: Sequence[Flow],
    watched: Mapping[int, Callable[[], None]] | None = None,
    left: Callable[[], bool] = lambda: False,
) -> None:
    ended = False

    def end() -> None:
        nonlocal ended
        ended = True

    with opened(os.pidfd_open(pid)) as handle:
        pump(flows, lambda: ended or left(), {handle: end, **(watched or {})})


def _output(source: int, target: int) -> Flow:
    os.set_blocking(source, False)
    outlet = writer(target)
    return Flow(source, (outlet,), reader(source, outlet.put, size=_CHUNK))


def _input(feed: int) -> Flow:
    os.set_blocking(feed, False)
    outlet = Outlet(feed, lambda data: _write_if_read(feed, data))
    return Flow(0, (outlet,), reader(0, outlet.put), lambda: os.close(feed))


def _write_if_read(fd: int, data: bytes) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        raise
    except OSError:
        return len(data)  # the process has closed its input or ended: the rest is for nobody


def _exit_code(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


def _hold(console: int) -> None:
    """Leave a process behind that keeps a terminal open until nobody uses it: its processes would be hung up."""
    ready, gone = os.pipe()
    if os.fork():
        # until it has a session of its own, our end would hang it up, too
        os.close(gone)
        with opened(ready):
            os.read(ready, 1)
        return
    try:
        os.setsid()
        os.set_blocking(console, True)
        os.dup2(console, 0)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        with contextlib.suppress(OSError):
            while os.read(0, 65536):
                pass
    finally:
        os._exit(0)
