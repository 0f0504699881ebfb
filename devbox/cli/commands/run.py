"""run, create and start."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.cli.container_options import warnings, wish
from devbox.cli.context import Context
from devbox.container import attach, exits, keys, life, locks, records
from devbox.container.create import create as create_container
from devbox.container.start import start as start_container
from devbox.errors import ConflictError, DevboxError, NotFoundError, UsageError
from devbox.model.container import Container
from devbox.model.invocation import Invocation
from devbox.store.database import Store
from devbox.system import procfs, terminal


def run(context: Context, invocation: Invocation) -> int:
    """Create a container and start it, in the foreground unless --detach."""
    detach_keys = keys.parse(invocation.text("detach_keys"))
    if invocation.flag("detach"):
        return _run_detached(context, invocation)
    attach.check_terminal(stdin=invocation.flag("interactive"), tty=invocation.flag("tty"))
    container = _created(context, invocation, durable=False)
    only = invocation.many("attach")
    options = attach.Options(
        tty=container.config.tty,
        stdin="stdin" in only if only else container.config.open_stdin,
        stdout=not only or "stdout" in only,
        stderr=not only or "stderr" in only,
        detach_keys=detach_keys,
    )
    return _foreground(context.store, container, options, sig_proxy=invocation.flag("sig_proxy"), new=True)


def _run_detached(context: Context, invocation: Invocation) -> int:
    container = _created(context, invocation, durable=False)
    try:
        start_container(context.store, container.id)
    except BaseException:
        _discard(context.store, container)
        raise
    context.out(container.id)
    return 0


def create(context: Context, invocation: Invocation) -> int:
    """Create a container without starting it, and print its id."""
    context.out(_created(context, invocation, durable=True).id)
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
    if exits.is_running(container):
        raise ConflictError(
            f"container {container.name} runs already", hint=f"use 'devbox attach {container.name}'"
        )
    options = attach.Options(
        tty=container.config.tty,
        stdin=invocation.flag("interactive") and container.config.open_stdin,
        detach_keys=keys.parse(invocation.text("detach_keys")),
    )
    return _foreground(store, container, options, sig_proxy=True, new=False)


def _start_one(store: Store, name: str) -> None:
    start_container(store, records.resolve(store, name))


def _created(context: Context, invocation: Invocation, *, durable: bool) -> Container:
    """A new container; `run` makes it durable when it has started it."""
    store = context.reconciled()
    cidfile = invocation.text("cidfile")
    path = os.path.join(context.cwd, cidfile) if cidfile else ""
    if path and os.path.lexists(path):
        raise ConflictError(
            f"the container id file {path} exists", hint="remove it, or give --cidfile another name"
        )
    request = wish(store, invocation, context.environ, context.cwd)
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


def _foreground(store: Store, container: Container, options: attach.Options, *, sig_proxy: bool, new: bool) -> int:
    """Start a container, `new` or not, joined to our streams; its exit code, or 0 when the user detaches."""
    # without a restart policy its end is booked here, which saves the start of another process
    promise = locks.try_exit(store.root, container.id) if container.config.restart.name == "no" else None
    sessions: list[attach.Session] = []

    def join(bundle: str) -> None:
        sessions.append(attach.connect(bundle))
        if options.tty:
            sessions[0].resize(*terminal.size(0))

    try:
        started = start_container(store, container.id, attach=join)
    except BaseException:
        if new:
            _discard(store, container)
        raise

    def forward(number: int) -> None:
        procfs.send_signal(started.pid, started.pid_start, number)

    if sessions[0].run(options, forward if sig_proxy else None) == "detached":
        return 0
    return life.wait(store, started.id) if promise is None else life.finish(store, started)


def _discard(store: Store, container: Container) -> None:
    """A container that `run` could not start goes at once; docker leaves it behind."""
    try:
        life.remove(store, container.id, force=True, volumes_too=True)
    except NotFoundError:
        return
    except DevboxError:
        # what kept it from starting matters more; the next command finds it stopped
        return
