"""info, version, system df, check, completion."""

from __future__ import annotations

from devbox import __version__
from devbox.cli.context import Context
from devbox.model.invocation import Invocation


def version(context: Context, _invocation: Invocation) -> int:
    """`devbox version`."""
    context.out(f"Version: {__version__}")
    return 0
