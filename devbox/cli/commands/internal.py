"""What devbox starts of itself; hidden, for nobody to type."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json

from devbox.cli.context import Context
from devbox.container import restarts
from devbox.errors import DevboxError
from devbox.model.invocation import Invocation
from devbox.network import ports
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.system import procfs
from devbox.system.files import write_atomic


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


def boot(context: Context, invocation: Invocation) -> int:
    """Start what ran, or should always run, before the machine was switched off."""
    _store(context, invocation)
    failures: list[tuple[str, DevboxError]] = restarts.restore(context.reconciled())
    for name, error in failures:
        context.err(f"devbox: cannot start {name}: {error.message}")
    return 125 if failures else 0


def shutdown(context: Context, invocation: Invocation) -> int:
    """End every container before the machine goes off; those that `boot` starts come back then."""
    from devbox.container import poweroff

    _store(context, invocation)
    poweroff.shut_down(context.reconciled())
    return 0


def agent(_: Context, __: Invocation) -> int:
    """Stay in a machine and run what its host asks for; hot commands are loaded before they are asked for."""
    from devbox.cli import main
    from devbox.cli.commands import life, listing, run, streams
    from devbox.machine.guest import agent as resident
    from devbox.machine.guest.ports import Places

    assert all((life, listing, run, streams))
    root = Root.from_environment()
    return resident.serve(main.perform, Places(root.hosts, f"{root.locks}/firewall.json"))


def published(context: Context, _: Invocation) -> int:
    """Print [protocol, address asked for, port, address here] of each published port, for a machine's host."""
    context.out(json.dumps(ports.published(context.reconciled())))
    return 0


def wake(context: Context, invocation: Invocation) -> int:
    """As `boot`, but once only since this machine was started, however often its host connects."""
    marker, now = f"{context.store.root.run}/woken", procfs.boot_id()
    try:
        with open(marker, encoding="ascii") as file:
            if file.read() == now:
                return 0
    except FileNotFoundError:
        pass
    code = boot(context, invocation)
    write_atomic(marker, now.encode(), durable=False)  # not before: a connection that is lost cuts this short
    return code


def _store(context: Context, invocation: Invocation) -> Store:
    """The store of the devbox that started us, as it says: neither conmon nor systemd hands its environment on."""
    if invocation.text("root"):
        context.use_root(Root(invocation.text("root"), invocation.text("run")))
    return context.store
