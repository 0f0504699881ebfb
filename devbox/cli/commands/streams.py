"""attach, exec, logs and top."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import TYPE_CHECKING

from devbox.cli.context import Context
from devbox.errors import StateError, UsageError
from devbox.model.invocation import Invocation

if TYPE_CHECKING:
    from devbox.container.streams.logs import Query, Record
    from devbox.model.container import Container


def logs(context: Context, invocation: Invocation) -> int:
    """Print what a container has written, stdout to stdout and stderr to stderr."""
    from devbox.container import records
    from devbox.container.streams import logs as container_logs
    from devbox.system.files import write_all

    query = _log_query(invocation)
    store = context.reconciled()
    container = records.get(store, invocation.text("container"))
    if container.config.log.driver == "none":
        raise StateError(
            f"container {container.name} has the log driver none, which keeps nothing",
            hint="create it with another --log-driver",
        )
    stamps, details = invocation.flag("timestamps"), invocation.flag("details")
    for batch in container_logs.read(store, container, query):
        for fd, data in _runs(batch, stamps=stamps, details=details):
            write_all(fd, data)
    return 0


def _log_query(invocation: Invocation) -> Query:
    from devbox.container.streams.logs import Query

    since, until = _microseconds(invocation, "since"), _microseconds(invocation, "until")
    return Query(
        _tail(invocation.text("tail")),
        0 if since is None else since * 1000,
        0 if until is None else (until + 2) * 1000,
        invocation.flag("follow"),
    )


def _microseconds(invocation: Invocation, option: str) -> int | None:
    """A time option, rounded down: a floating-point number holds a moment of now to a quarter of a microsecond."""
    from devbox.cli.units import parse_time

    text = invocation.text(option)
    return int(parse_time(text, f"--{option}") * 1e6 - 0.25) if text else None


def _tail(text: str) -> int | None:
    """docker takes anything that is no number, or a negative one, for "all"; a slip of the hand is better told."""
    if text in ("", "all"):
        return None
    try:
        count = int(text)
    except ValueError:
        raise UsageError(f"--tail wants a number or all, not {text!r}") from None
    return None if count < 0 else count


def _runs(batch: list[Record], *, stamps: bool, details: bool) -> list[tuple[int, bytes]]:
    """The bytes to print, neighbours of one stream together."""
    from devbox.container.streams.logs import nanoseconds, rfc3339

    runs: list[tuple[int, list[bytes]]] = []
    for record in batch:
        fd = 1 if record.stream == "stdout" else 2
        if not runs or runs[-1][0] != fd:
            runs.append((fd, []))
        if record.starts and stamps:
            runs[-1][1].append(f"{rfc3339(nanoseconds(record.time))} ".encode())
        if record.starts and details:
            runs[-1][1].append(b" ")
        runs[-1][1].append(record.data)
    return [(fd, b"".join(parts)) for fd, parts in runs]


def attach(context: Context, invocation: Invocation) -> int:
    """Join our streams to a running container's; its exit code, or 0 when the user detaches."""
    from devbox.container import records
    from devbox.container.streams import keys

    container = records.get(context.reconciled(), invocation.text("container"))
    return join(
        context,
        container,
        stdin=not invocation.flag("no_stdin"),
        detach_keys=keys.parse(invocation.text("detach_keys")),
        sig_proxy=invocation.flag("sig_proxy"),
    )


def join(context: Context, container: Container, *, stdin: bool, detach_keys: bytes, sig_proxy: bool) -> int:
    """Stay with a container that runs; its exit code, or 0 when the user detaches."""
    from devbox.cli.options.process import check_terminal
    from devbox.container import life
    from devbox.container.running import check_not_paused, check_running
    from devbox.container.streams import attach as joining
    from devbox.container.telling import tell
    from devbox.system import procfs

    check_not_paused(container)
    check_running(container)
    store, config = context.store, container.config
    stdin = stdin and config.open_stdin
    check_terminal(stdin=stdin, tty=config.tty)
    options = joining.Options(
        tty=config.tty,
        stdin=stdin,
        detach_keys=detach_keys,
        detach_at_end=not config.tty and not config.stdin_once,
    )

    def forward(number: int) -> None:
        procfs.send_signal(container.pid, container.pid_start, number)

    session = joining.connect(store.root.bundle(container.id))
    tell(store, container, "attach")
    ended = session.run(options, forward if sig_proxy and not config.tty else None)
    if ended == "detached":
        tell(store, container, "detach")
        return context.left() if config.tty else 0
    return life.wait(store, container.id)


def execute(context: Context, invocation: Invocation) -> int:
    """Run a command in a running container; its exit code."""
    from devbox.cli.options import process as process_options
    from devbox.container import execute as running
    from devbox.container import records
    from devbox.container.exec_process import Request
    from devbox.container.streams import keys

    process_options.check_text(invocation)
    tty, stdin = invocation.flag("tty"), invocation.flag("interactive")
    request = Request(
        command=invocation.many("command"),
        env=process_options.environment(invocation, context.environ, context.cwd),
        user=process_options.user(invocation),
        working_dir=process_options.working_dir(invocation),
        privileged=invocation.flag("privileged"),
        tty=tty,
    )
    options = running.Options(stdin, invocation.flag("detach"), keys.parse(invocation.text("detach_keys")))
    if not options.detach:
        process_options.check_terminal(stdin=stdin, tty=tty)
    container = records.get(context.store, invocation.text("container"))
    code = running.execute(context.store, container, request, options)
    return context.left() if code is None else code


def top(context: Context, invocation: Invocation) -> int:
    """Print the processes of a container as ps shows them."""
    from devbox.cli.escape import escape
    from devbox.container import records
    from devbox.container.top import processes

    store = context.store
    container = records.get(store, invocation.text("container"))
    titles, rows = processes(container, invocation.many("ps_options"))
    lines = [titles, *(list(map(escape, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        context.out("   ".join(padded).rstrip())
    return 0
