"""stop, restart, kill, rm, wait, pause, unpause, rename, update and container prune."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.cli.context import Context
from devbox.cli.options import container as container_options
from devbox.container import life, records
from devbox.errors import DevboxError, UsageError
from devbox.model.invocation import Invocation
from devbox.model.values_parse import parse_signal


def stop(context: Context, invocation: Invocation) -> int:
    """Stop containers; each is asked to end and killed after its time."""
    store = context.reconciled()
    timeout = invocation.number("timeout")
    signal = _signal(invocation)
    return context.each(
        invocation.many("containers"),
        lambda name: life.stop(store, records.resolve(store, name), timeout=timeout, number=signal),
    )


def restart(context: Context, invocation: Invocation) -> int:
    """Stop containers if they run, and start them."""
    store = context.reconciled()
    timeout = invocation.number("timeout")
    signal = _signal(invocation)
    return context.each(
        invocation.many("containers"),
        lambda name: _nothing(life.restart(store, records.resolve(store, name), timeout=timeout, number=signal)),
    )


def kill(context: Context, invocation: Invocation) -> int:
    """Send a signal to the first process of running containers."""
    store = context.reconciled()
    signal = parse_signal(invocation.text("signal") or "KILL")
    return context.each(
        invocation.many("containers"), lambda name: life.kill(store, records.resolve(store, name), signal)
    )


def rm(context: Context, invocation: Invocation) -> int:
    """Delete containers, or links; all of those to be killed are killed before the first is waited for."""
    store = context.reconciled()
    names = invocation.many("containers")
    force = invocation.flag("force")
    if invocation.flag("link"):
        from devbox.cli.commands.links import remove

        return context.each(names, lambda name: remove(store, name))
    with life.killed(store, _known(context, names) if force and len(names) > 1 else []):
        return context.each(
            names,
            lambda name: life.remove(
                store, records.resolve(store, name), force=force, volumes_too=invocation.flag("volumes")
            ),
            may_be_gone=force,
        )


def _known(context: Context, names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        try:
            found.append(records.resolve(context.store, name))
        except DevboxError:
            continue  # told of when its turn comes
    return found


def wait(context: Context, invocation: Invocation) -> int:
    """Wait until containers do not run and print their exit codes."""
    store = context.reconciled()
    return context.each(
        invocation.many("containers"), lambda name: str(life.wait(store, records.resolve(store, name)))
    )


def pause(context: Context, invocation: Invocation) -> int:
    """Freeze every process of running containers."""
    store = context.reconciled()
    return context.each(
        invocation.many("containers"), lambda name: life.pause(store, records.resolve(store, name))
    )


def unpause(context: Context, invocation: Invocation) -> int:
    """Let paused containers go on."""
    store = context.reconciled()
    return context.each(
        invocation.many("containers"), lambda name: life.unpause(store, records.resolve(store, name))
    )


def rename(context: Context, invocation: Invocation) -> int:
    """Give a container another name."""
    store = context.reconciled()
    life.rename(store, records.resolve(store, invocation.text("container")), invocation.text("new_name"))
    return 0


def update(context: Context, invocation: Invocation) -> int:
    """Change the limits or the restart policy of containers."""
    if not any(value for name, value in invocation.params.items() if name != "containers"):
        raise UsageError("nothing to change", hint="give a limit or --restart: 'devbox update --help' lists them")
    store = context.reconciled()
    return context.each(
        invocation.many("containers"),
        lambda name: life.update(
            store, records.resolve(store, name), lambda config: container_options.update(invocation, config)
        ),
    )


def _signal(invocation: Invocation) -> int | None:
    text = invocation.optional("signal")
    return None if text is None else parse_signal(text)


def _nothing(_: object) -> None:
    """The name is printed, not what the action returned."""
