"""What devbox starts of itself; hidden, for nobody to type."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.cli.context import Context
from devbox.container import restarts
from devbox.errors import DevboxError
from devbox.model.invocation import Invocation
from devbox.store.database import Store
from devbox.store.root import Root


def exited(context: Context, invocation: Invocation) -> int:
    """A container has ended: book it, and bring it back if its policy says so."""
    restarts.exited(_store(context, invocation), invocation.text("container"))
    return 0


def restart(context: Context, invocation: Invocation) -> int:
    """Wait out a container's back-off and start it again."""
    restarts.bring_back(_store(context, invocation), invocation.text("container"))
    return 0


def health(context: Context, invocation: Invocation) -> int:
    """Run a container's health check on its interval until it ends."""
    from devbox.container import checking

    checking.watch(_store(context, invocation), invocation.text("container"))
    return 0


def boot(context: Context, _: Invocation) -> int:
    """Start what ran, or should always run, before the machine was switched off."""
    failures: list[tuple[str, DevboxError]] = restarts.restore(context.reconciled())
    for name, error in failures:
        context.err(f"devbox: cannot start {name}: {error.message}")
    return 125 if failures else 0


def agent(_: Context, __: Invocation) -> int:
    """Stay in a machine and run what its host asks for; hot commands are loaded before they are asked for."""
    from devbox.cli import main
    from devbox.cli.commands import life, listing, run, streams
    from devbox.machine.guest import agent as resident

    assert all((life, listing, run, streams))
    return resident.serve(main.perform)


def _store(context: Context, invocation: Invocation) -> Store:
    """The store of the devbox that started us: conmon hands no environment on."""
    context.use_root(Root(invocation.text("root"), invocation.text("run")))
    return context.store
