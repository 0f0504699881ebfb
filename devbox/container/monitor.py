"""conmon: the small program that stays with a container, keeps its terminal and streams, and sees it end."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import signal
from collections.abc import Sequence
from typing import Any, NamedTuple

from devbox.container import again, cgroups, runtime
from devbox.errors import CommandNotFoundError, ContainerRuntimeError, DevboxError, NotExecutableError
from devbox.model.container import Container
from devbox.store.root import Root
from devbox.system import migration, process

_REPORT_MAX = 65536


class Monitor(NamedTuple):
    """A conmon that is about to create a container; `created` waits until it has."""

    report: int
    """pipe on which conmon tells the container's pid, or why there is none"""
    pid: int
    """of the process that forks conmon proper"""


class Created(NamedTuple):
    """A container whose first process waits to be let go by the runtime's `start`."""

    pid: int
    monitor_pid: int


def launch(root: Root, container: Container, *, held: Sequence[int]) -> Monitor:
    """Start conmon in the current mount namespace; it begins at once to create the container from its bundle.

    It inherits the sockets in `held` and so keeps the published ports bound as long as the container lives.
    """
    report, sink = os.pipe()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    # conmon leaves a file "oom" where it works, too, and mounting has left us among the layers
    os.chdir(root.bundle(container.id))
    try:
        kept = ((fd, fd) for fd in (sink, *held))
        environment = process.minimal_environment({"_OCI_SYNCPIPE": str(sink)})
        pid = process.spawn(
            _command(root, container), env=environment, files=((0, null), (1, null), (2, null), *kept)
        )
    except BaseException:
        os.close(report)
        raise
    finally:
        os.close(sink)
        os.close(null)
    return Monitor(report, pid)


def created(root: Root, container: Container, monitor: Monitor) -> Created:
    """Wait for the container; raises what the runtime said, as 126 or 127 where it is about the command."""
    try:
        report = b""
        while not report.endswith(b"\n") and (part := os.read(monitor.report, _REPORT_MAX)):
            report += part
    finally:
        os.close(monitor.report)
        process.wait(monitor.pid)
        migration.over()
    answer: dict[str, Any] = json.loads(report) if report else {"data": -1, "message": "conmon ended early"}
    if answer["data"] <= 0:
        raise _failure(container, answer.get("message", ""))
    with open(root.bundle(container.id) + "/conmon.pid") as file:
        place = Created(answer["data"], int(file.read()))
    cgroups.leave_session(place.monitor_pid)
    return place


def is_alive(container: Container) -> bool:
    """Whether the container's conmon lives; told by its command line, since pids are used again."""
    return _is_monitor(container.monitor_pid, container.id)


def end(container: Container) -> None:
    """Kill a conmon whose container is not to be, with the runtime that it may be running right now.

    Found by its command line, since one that has just been started has not written down its pid.
    """
    for name in filter(str.isdigit, os.listdir("/proc")):
        pid = int(name)
        if not _is_monitor(pid, container.id):
            continue
        with contextlib.suppress(ProcessLookupError):
            # it leads a session of its own but for the moment before it has made one
            (os.killpg if os.getpgid(pid) == pid else os.kill)(pid, signal.SIGKILL)


def _is_monitor(pid: int, container_id: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return os.path.basename(words[0]) == b"conmon" and container_id.encode() in words


def read_exit(bundle: str) -> int | None:
    """The exit code that conmon wrote down, None while there is none."""
    try:
        with open(bundle + "/exit") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    return int(text) if text else None


def was_oom_killed(bundle: str) -> bool:
    """Whether the kernel killed a process of the container for its memory limit."""
    return os.path.exists(bundle + "/oom")


def _command(root: Root, container: Container) -> list[str]:
    bundle = root.bundle(container.id)
    log = f"k8s-file:{bundle}/log" if container.config.log.driver != "none" else "none"
    command = [
        "conmon", "--api-version", "1", "--cid", container.id, "--cuuid", container.id,
        "--runtime", runtime.program(container), "--runtime-arg", "--root=" + runtime.state_directory(root),
        "--bundle", bundle, "--persist-dir", bundle, "--exit-dir", bundle + "/exits",
        "--container-pidfile", bundle + "/pidfile", "--conmon-pidfile", bundle + "/conmon.pid",
        "--log-path", log, "--no-sync-log", "--log-level", "error", "--full-attach", "--socket-dir-path", bundle,
    ]  # fmt: skip
    if container.config.tty:
        command.append("--terminal")
    if container.config.open_stdin:
        command.append("--stdin")
    if container.config.tty or (container.config.open_stdin and not container.config.stdin_once):
        # else the first client that leaves ends the input, a terminal's too, for all that follow
        command.append("--leave-stdin-open")
    first, *rest = again.exit_command(root, container.id)
    command += ["--exit-command", first]
    for argument in rest:
        command += ["--exit-command-arg", argument]
    return command


def _failure(container: Container, message: str) -> DevboxError:
    sentence = runtime.sentence(message) or "no reason given"
    if "executable file" in sentence and "not found" in sentence:
        return CommandNotFoundError(f"cannot start container {container.name}: {sentence}")
    if "exec format error" in sentence.lower() or "permission denied" in sentence.lower():
        return NotExecutableError(f"cannot start container {container.name}: {sentence}")
    return ContainerRuntimeError(f"the runtime cannot create container {container.name}: {sentence}")
