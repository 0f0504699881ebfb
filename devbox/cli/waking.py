"""A machine that a command needs and that does not run: started, asked about or left alone."""

from __future__ import annotations

import sys

from devbox.cli.context import Context
from devbox.errors import DevboxError


def wake(context: Context, name: str, error: DevboxError) -> None:
    """Start the machine, or raise the error with what to do about it."""
    from devbox.machine import registry, settings

    wanted = settings.machine(name, context.cwd)
    driver = registry.driver(name, context.cwd)
    if not driver.capabilities.power or wanted.start == "never":
        raise _with_hint(error, error.hint or f"devbox machine up {name}")
    if wanted.start == "ask" and not _asked(context, name):
        raise _with_hint(error, f'devbox machine up {name}; start = "always" in its settings does it by itself')
    from devbox.cli.phases import Phases

    phases = Phases(context, verbose=False, quiet=False)
    driver.up(phases)
    phases.end()


def _asked(context: Context, name: str) -> bool:
    """What a person at a terminal answers; a script is not asked."""
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        return False
    context.flush()
    sys.stderr.write(f"Machine {name} does not run. Start it? [Y/n] ")
    sys.stderr.flush()
    return sys.stdin.readline().lower() in ("\n", "y\n", "yes\n")


def _with_hint(error: DevboxError, hint: str) -> DevboxError:
    found = type(error)(error.message, hint=hint)
    found.__cause__ = error
    return found
