"""Whether a command line is for a machine. Every command asks this, so it imports nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from devbox.errors import UsageError

VARIABLE = "DEVBOX_MACHINE"
OPTION = "--machine"


def wanted(words: list[str], environ: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """The machine that is asked for, and the words without the option; None runs the command here.

    `--machine NAME` stands before the command. "" is the default machine: what macOS and Windows mean without it.
    """
    if words and words[0] == OPTION:
        if len(words) < 2:
            raise UsageError(f"option {OPTION} needs a value", hint="devbox machine list shows the names")
        return words[1], words[2:]
    if words and words[0].startswith(OPTION + "="):
        return words[0].removeprefix(OPTION + "="), words[1:]
    asked = environ.get(VARIABLE)
    if asked:
        return asked, words
    return (None if sys.platform == "linux" else ""), words
