"""Starting a further process in a running container with `crun exec` (or runc)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from devbox.container import runtime
from devbox.container.running import check_not_paused, check_running, is_running
from devbox.container.spec import configjson, rootfs, surroundings
from devbox.errors import (
    CommandNotFoundError,
    ContainerRuntimeError,
    DevboxError,
    NotExecutableError,
    StateError,
)
from devbox.model.container import Container
from devbox.model.values_parse import merge_env
from devbox.network import links
from devbox.store.database import Store
from devbox.system import migration, process, terminal
from devbox.system.files import write_all
from devbox.system.namespaces import mounts_of
from devbox.system.walk import opened

_NOT_EXECUTABLE = ("permission denied", "not permitted", "exec format", "chdir", "is a directory")
"""parts of what the runtimes say about a command that exists"""


class Request(NamedTuple):
    """What to run; what is empty is as in the container's own process."""

    command: tuple[str, ...]
    env: tuple[str, ...] = ()
    """"NAME=value", over the container's own"""
    user: str = ""
    working_dir: str = ""
    privileged: bool = False
    tty: bool = False


class Started(NamedTuple):
    """A process that runs: its pid here, and our side of its terminal (-1 without one)."""

    pid: int
    console: int = -1


def start(store: Store, container: Container, request: Request, streams: tuple[int, int, int]) -> Started:
    """Start a process whose stdin, stdout and stderr are `streams`, or a terminal where one was asked for.

    The runtime has left when this returns, so the process is a child of the nearest subreaper. Raises StateError
    for a container that does not run or is paused, the 126/127 errors for a command that cannot be executed.
    """
    check_not_paused(container)
    check_running(container)
    document = _document(store, container, request)
    bundle = store.root.bundle(container.id)
    with _files(bundle) as base, _console(bundle, base, wanted=request.tty) as listener:
        _write(f"{bundle}/{base}.json", document)
        argv = [
            runtime.program(container), "--root", runtime.state_directory(store.root), "--log", f"{base}.log",
            "exec", "--detach", "--pid-file", f"{base}.pid", "--process", f"{base}.json",
        ]  # fmt: skip
        if listener is not None:
            argv += ["--console-socket", f"{base}.sock"]
        with _place_of(container), surroundings.scored(container.config):
            # short names: the path of a socket may have 107 bytes only
            os.chdir(bundle)
            pid = process.spawn([*argv, container.id], files=tuple(enumerate(streams)), new_session=True)
        status = process.wait(pid)
        migration.over()
        if status != 0:
            raise _failure(container, request, _read(f"{bundle}/{base}.log"))
        started = int(_read(f"{bundle}/{base}.pid"))
        return Started(started, -1 if listener is None else _accept(listener))


def _document(store: Store, container: Container, request: Request) -> dict[str, Any]:
    """The OCI process: the container's own with other words, and with the links of now."""
    config = container.config._replace(
        entrypoint=(),
        command=request.command,
        tty=request.tty,
        user=request.user or container.config.user,
        working_dir=request.working_dir or container.config.working_dir,
        privileged=request.privileged or container.config.privileged,
    )
    linked = links.environment(store, container.id)

    def environment(home: str) -> tuple[str, ...]:
        own = configjson.environment(
            config, configjson.hostname(container), tty=request.tty, links=linked, home=home
        )
        return merge_env(own, request.env)

    prepared = rootfs.enter(f"/proc/{container.pid}/root", config, request.command[0], environment(""))
    document = surroundings.exec_process(config, prepared, environment(prepared.user.home))
    rows, columns = terminal.size() if request.tty else (0, 0)
    if rows and columns:
        document["consoleSize"] = {"height": rows, "width": columns}
    return document


def _place_of(container: Container) -> contextlib.AbstractContextManager[None]:
    """The mount namespace in which the runtime can work on this kind of host."""
    try:
        os.stat(f"/proc/{container.monitor_pid}/ns/mnt")
    except FileNotFoundError:
        return contextlib.nullcontext()
    return mounts_of(container.monitor_pid)


@contextlib.contextmanager
def _files(bundle: str) -> Iterator[str]:
    """A beginning of file names in the bundle that is ours; such files are gone at the end."""
    base = f"exec.{os.getpid()}"
    try:
        yield base
    finally:
        for suffix in ("json", "log", "pid", "sock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{bundle}/{base}.{suffix}")


def _write(path: str, document: dict[str, Any]) -> None:
    # it holds secrets: -e values
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with opened(fd):
        write_all(fd, json.dumps(document).encode())


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _console(bundle: str, base: str, *, wanted: bool) -> Iterator[Any]:
    """A socket on which the runtime hands over the terminal that it makes; None when none is wanted."""
    if not wanted:
        yield None
        return
    import socket

    place = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with opened(place), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"/proc/self/fd/{place}/{base}.sock")
        listener.listen(1)
        yield listener


def _accept(listener: Any) -> int:
    import socket

    listener.settimeout(5)
    connection, _ = listener.accept()
    with connection:
        _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1, socket.MSG_CMSG_CLOEXEC)
    return int(descriptors[0])


def _failure(container: Container, request: Request, log: str) -> DevboxError:
    reason = runtime.sentence(log) or "no reason given"
    words = reason.lower()
    message = f"cannot run {request.command[0]!r} in container {container.name}: {reason}"
    if not is_running(container):
        return StateError(f"container {container.name} has just ended")
    if "executable file" in words or ("no such file" in words and "chdir" not in words):
        return CommandNotFoundError(message)
    if any(part in words for part in _NOT_EXECUTABLE):
        return NotExecutableError(message)
    return ContainerRuntimeError(message)
