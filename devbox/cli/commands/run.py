"""run, create and start."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from devbox.cli.context import Context
from devbox.cli.options.container import warnings, wish
from devbox.cli.options.process import check_terminal
from devbox.container import life, locks, making, records
from devbox.container.create import create as create_container
from devbox.container.running import is_running
from devbox.container.start import start as start_container
from devbox.container.streams import keys
from devbox.errors import ConflictError, UsageError
from devbox.model.container import Container
from devbox.model.invocation import Invocation
from devbox.store.database import Store
from devbox.system import procfs, signals

if TYPE_CHECKING:
    from devbox.container.streams import attach  # loaded while the runtime creates the container


def run(context: Context, invocation: Invocation) -> int:
    """Create a container and start it, in the foreground unless --detach."""
    detach_keys = keys.parse(invocation.text("detach_keys"))
    if invocation.flag("detach"):
        with _all_or_nothing(context, invocation) as container:
            start_container(context.store, container.id)
        context.out(container.id)
        return 0
    check_terminal(stdin=invocation.flag("interactive"), tty=invocation.flag("tty"))
    with _all_or_nothing(context, invocation) as container:
        joined = _Joined.start(context.store, container)
    from devbox.container.streams.attach import Options

    only = invocation.many("attach")
    options = Options(
        tty=container.config.tty,
        stdin="stdin" in only if only else container.config.open_stdin,
        stdout=not only or "stdout" in only,
        stderr=not only or "stderr" in only,
        detach_keys=detach_keys,
    )
    return joined.stay(context, options, sig_proxy=invocation.flag("sig_proxy"))


@contextlib.contextmanager
def _all_or_nothing(context: Context, invocation: Invocation, *, durable: bool = False) -> Iterator[Container]:
    """A new container; whatever ends the block before its end takes it away again.

    `durable` when it is not to be started in the block: what `run` has started becomes durable with that.
    """
    identity = os.urandom(32).hex()
    with signals.taking_back(), making.whole(context.store, identity, durable=durable):
        try:
            yield _created(context, invocation, identity, durable=durable)
        except BaseException:
            _remove_cidfile(_cidfile(context, invocation), identity)
            raise


def create(context: Context, invocation: Invocation) -> int:
    """Create a container without starting it, and print its id."""
    with _all_or_nothing(context, invocation, durable=True) as container:
        pass
    context.out(container.id)
    return 0


def start(context: Context, invocation: Invocation) -> int:
    """Start containers that do not run; with --attach or --interactive stay with the only one."""
    store = context.reconciled()
    names = invocation.many("containers")
    if not (invocation.flag("attach") or invocation.flag("interactive")):
        return context.each(names, lambda name: _start_one(store, name))
    if len(names) != 1:
        raise UsageError("only one container can be started and attached to at once")
    container = records.get(store, names[0])
    detach_keys = keys.parse(invocation.text("detach_keys"))
    if is_running(container):
        from devbox.cli.commands.streams import join

        return join(
            context, container, stdin=invocation.flag("interactive"), detach_keys=detach_keys, sig_proxy=True
        )
    joined = _Joined.start(store, container)
    from devbox.container.streams.attach import Options

    stdin = invocation.flag("interactive") and container.config.open_stdin
    options = Options(tty=container.config.tty, stdin=stdin, detach_keys=detach_keys)
    return joined.stay(context, options, sig_proxy=True)


def _start_one(store: Store, name: str) -> None:
    start_container(store, records.resolve(store, name))


def _created(context: Context, invocation: Invocation, identity: str, *, durable: bool) -> Container:
    store = context.reconciled()
    path = _cidfile(context, invocation)
    if path and os.path.lexists(path):
        raise ConflictError(
            f"the container id file {path} exists", hint="remove it, or give --cidfile another name"
        )
    request = wish(store, invocation, context.environ, context.cwd)._replace(id=identity)
    for warning in warnings(invocation):
        context.err(f"devbox: {warning}")
    container = create_container(store, request, durable=durable)
    if path:
        try:
            with open(path, "x") as file:
                file.write(container.id)
        except OSError:
            life.remove(store, container.id, force=True, volumes_too=True)
            raise
    return container


def _cidfile(context: Context, invocation: Invocation) -> str:
    name = invocation.text("cidfile")
    return os.path.join(context.cwd, name) if name else ""


class _Joined(NamedTuple):
    """A container that has been started joined to our streams."""

    store: Store
    container: Container
    session: attach.Session
    promise: int | None
    """the lock by which its end is booked here, which saves the start of another process; none with a policy"""

    @classmethod
    def start(cls, store: Store, container: Container) -> _Joined:
        """Start a container that does not run."""
        promise = locks.try_exit(store.root, container.id) if container.config.restart.name == "no" else None
        sessions: list[attach.Session] = []

        def join(bundle: str) -> None:
            from devbox.container.streams.attach import connect

            sessions.append(connect(bundle))

        size = _terminal_size() if container.config.tty else (0, 0)
        started = start_container(store, container.id, join=join, console_size=size)
        return cls(store, started, sessions[0], promise)

    def stay(self, context: Context, options: attach.Options, *, sig_proxy: bool) -> int:
        """Copy the streams; the container's exit code, or 0 when the user detaches."""

        def forward(number: int) -> None:
            procfs.send_signal(self.container.pid, self.container.pid_start, number)

        if self.session.run(options, forward if sig_proxy else None) == "detached":
            return context.left()
        if self.promise is None:
            return life.wait(self.store, self.container.id)
        return life.finish(self.store, self.container)


def _terminal_size() -> tuple[int, int]:
    from devbox.system import terminal

    return terminal.size(0)


def _remove_cidfile(path: str, container_id: str) -> None:
    """The file of a container that is not to be; another's stays."""
    if path and os.path.isfile(path):
        with open(path, errors="replace") as file:
            ours = file.read(len(container_id) + 1) == container_id
        if ours:
            os.unlink(path)
