"""--share: directories of -v that a machine does not see yet become shares of it."""

from __future__ import annotations

from collections.abc import Callable

from devbox.cli.context import Context
from devbox.errors import RefusedError
from devbox.machine.translation.mountmap import MountMap
from devbox.machine.translation.wish import NotSharedError
from devbox.model.invocation import Invocation


def share(
    context: Context,
    invocation: Invocation,
    name: str,
    error: NotSharedError,
    translate: Callable[[MountMap], object],
) -> None:
    """Write what the command needs to the settings and start the machine anew; without --share raise the error.

    `translate` translates the command with other shares, or raises the next error.
    """
    from devbox.cli.phases import Phases
    from devbox.machine import places, registry, settings, settings_write, shared
    from devbox.machine.translation.translate_mounts import written

    if settings.machine(name, context.cwd).address:
        hint = "a host behind ssh:// sees only `mirrors` of this one: write the directory there, or use devbox cp"
        raise RefusedError(error.message, hint=hint) from error
    if not invocation.params.get("share"):
        raise error
    mapping = shared.mounted(places.machine(name))._replace(shares=error.shares)
    while True:
        try:
            translate(mapping)
        except NotSharedError as another:
            mapping = mapping._replace(shares=another.shares)
        else:
            break
    texts = [written(each, mapping.platform) for each in mapping.shares]
    settings_write.change(places.settings_file(), name, {"shares": list(texts)})
    context.err(f"sharing {', '.join(texts)} with machine {name}, which is restarted")
    phases = Phases(context, verbose=False, quiet=False)
    registry.driver(name, context.cwd).halt(phases)
    registry.driver(name, context.cwd).up(phases)
    phases.end()
