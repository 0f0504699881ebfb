"""The OCI runtime: crun by default, runc where asked for or where there is no crun."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import re
from collections.abc import Iterator

from devbox.container import cgroups
from devbox.errors import ContainerRuntimeError, HostError, UsageError
from devbox.model.container import Container
from devbox.store.root import Root
from devbox.system import process
from devbox.system.files import remove_tree
from devbox.system.namespaces import mounts_of
from devbox.system.walk import opened

RUNTIMES = ("crun", "runc")


def program(container: Container) -> str:
    """The path of the runtime a container asked for: crun by default, runc where there is no crun."""
    wanted = container.config.runtime
    if wanted:
        return process.find(wanted)
    try:
        return process.find("crun")
    except HostError:
        return process.find("runc")


def check_name(name: str) -> str:
    """The value of --runtime; UsageError for one that devbox does not drive."""
    if name not in RUNTIMES:
        raise UsageError(f"unknown runtime {name!r}", hint=f"use one of {', '.join(RUNTIMES)}")
    return name


def state_directory(root: Root) -> str:
    """The runtime's --root."""
    return root.crun


def let_go(root: Root, container: Container) -> None:
    """Let the first process of a created container run: `start` of the runtime spec.

    Beyond its checks `crun start` writes one byte into the FIFO on which the process waits. Done here that saves
    the 4 ms of a program; where there is no such FIFO, or no process waits, the runtime says what is wrong.
    """
    fifo = f"{state_directory(root)}/{container.id}/exec.fifo"
    try:
        if os.path.basename(program(container)) != "crun":
            raise FileNotFoundError
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        call(root, container, "start")
        return
    with opened(fd):
        os.unlink(fifo)
        os.write(fd, b"\0")


def call(root: Root, container: Container, *arguments: str) -> None:
    """Run `crun <arguments> <id>` where its monitor lives; ContainerRuntimeError with its own sentence."""
    _finish(_begin(root, container, *arguments), container)


def _begin(root: Root, container: Container, *arguments: str) -> process.Running:
    argv = [program(container), "--root", state_directory(root), *arguments, container.id]
    if container.monitor_pid and os.path.exists(f"/proc/{container.monitor_pid}/ns/mnt"):
        with mounts_of(container.monitor_pid):
            return process.start(argv)
    return process.start(argv)


def _finish(running: process.Running, container: Container) -> None:
    result = process.finish(running)
    if result.status != 0:
        name, verb = os.path.basename(running.argv[0]), running.argv[3]
        reason = sentence(result.output.decode(errors="replace"))
        raise ContainerRuntimeError(f"{name} cannot {verb} container {container.name}: {reason}")


def sentence(output: str) -> str:
    """The last line of what a runtime or conmon said, without time stamps, names and levels."""
    lines = [line for line in output.splitlines() if line.strip()]
    text = lines[-1].strip() if lines else ""
    if match := re.search(r'msg="((?:[^"\\]|\\.)*)"', text):  # runc
        text = match[1].replace('\\"', '"')
    return re.sub(r"^(?:\S*T\S+Z:? |\[conmon:\w\]: |(?:crun|runc): )+", "", text)


def delete_from_runtime(root: Root, container: Container) -> None:
    """Kill what is left of a container and take down its cgroups and runtime state; gone already is fine."""
    with deleting(root, container):
        pass


@contextlib.contextmanager
def deleting(root: Root, *containers: Container) -> Iterator[None]:
    """As `delete_from_runtime`, at the same time as the block.

    Of a container that has ended crun keeps nothing but its control groups and one directory: to delete them here
    saves the 5 ms of a program. Where a process is left, the runtime kills it.
    """
    with contextlib.ExitStack() as begun:
        for container in containers:
            state = f"{state_directory(root)}/{container.id}"
            if not os.path.isdir(state):
                continue
            if os.path.basename(program(container)) == "crun" and cgroups.vacated(container.id):
                remove_tree(state)
            else:
                begun.callback(_finish, _begin(root, container, "delete", "--force"), container)
        yield
