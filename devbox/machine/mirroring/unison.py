"""How Unison is called for a mirror, and what its words mean.

When both sides have changed a file, both versions are kept: this host's has the name, the machine's lies beside it
as `NAME (conflict_on_DATE)`. A side that was emptied as a whole is not followed.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple

MONITOR_VARIABLE, TARGET_VARIABLE = "DEVBOX_MONITOR", "DEVBOX_MIRROR"
STATUS = "status.json"
"""how a mirror is, beside what is remembered of it"""
LAUNCHER, WATCHER = "launcher", "unison-fsmonitor"
_SCRIPT = '#!/bin/sh\nexec "$DEVBOX_PYTHON" "$DEVBOX_PYTHON_MODE" -m devbox internal {} "$@"\n'
_ENDED = re.compile(r"Synchronization (complete|incomplete) at|Nothing to do: ")
_CONFLICT = re.compile(r"[a-z]+(?: [a-z]+)* +(?:====>|<====|<-\?->) +[a-z]+(?: [a-z]+)* {2,}(.+?) *")
_FAILED = re.compile(r"(?:Fatal error|Error|Failed)\b(?: \[(?P<path>.*?)\])?:? *(?P<said>.*)")
_REBUILD = ("-ignorearchives", "archives are not identical", "archive files are inconsistent")
_OURS = "devbox: "
"""what the programs say that it starts for us"""
_EMPTIED = "has been completely emptied"


class Said(NamedTuple):
    """What a line tells."""

    ended: bool = False
    """a round of synchronisation is over"""
    conflict: str = ""
    """the path that both sides have changed"""
    failure: str = ""
    rebuild: bool = False
    """what was remembered of the two sides does not fit together"""


def argv(host: str, guest: str, directory: str, ignored: Iterable[str], *, once: bool) -> list[str]:
    """Keep two directories the same until it is ended, or compare them once without what is remembered of them."""
    mode = ["-ignorearchives"] if once else ["-repeat", "watch"]
    return [
        *("unison", host, f"ssh://machine/{guest}", "-sshcmd", os.path.join(directory, LAUNCHER)),
        *("-batch", "-dumbtty", "-contactquietly", "-copyonconflict", "-prefer", host),
        *("-ignorelocks", "-log=false", *mode, *ignored),
    ]


def script(name: str) -> str:
    """A program that Unison starts: our own, by variables, so that no path is pasted into a shell."""
    return _SCRIPT.format({LAUNCHER: "mirror-link", WATCHER: "monitor"}[name])


def environment(directory: str, programs: str, *, host: str, mode: str) -> dict[str, str]:
    """Its variables: where it remembers what both sides had, and where our programs are."""
    return {
        "UNISON": directory,
        "UNISONLOCALHOSTNAME": host,
        "PATH": programs + os.pathsep + os.environ.get("PATH", os.defpath),
        "DEVBOX_PYTHON": sys.executable,
        "DEVBOX_PYTHON_MODE": mode,
    }


def read(line: str) -> Said:
    """What one line of its output tells."""
    if _ENDED.match(line):
        return Said(ended=True)
    if found := _CONFLICT.fullmatch(line):
        return Said(conflict=found[1])
    if any(sign in line for sign in _REBUILD):
        return Said(rebuild=True)
    if _EMPTIED in line:
        return Said(failure="one side was emptied as a whole, which is not done to the other: put a file there")
    if line.startswith(_OURS):
        return Said(failure=line.removeprefix(_OURS))
    if found := _FAILED.match(line):
        return Said(failure=": ".join(part for part in (found["path"], found["said"]) if part))
    return Said()
