"""The machine's half of a mirror: Unison as a server, with our monitor to watch its side."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import shutil
from collections.abc import Sequence
from typing import NoReturn

from devbox.errors import HostError
from devbox.machine.mirroring import unison


def serve(directory: str, memory: str, words: Sequence[str]) -> NoReturn:
    """Become Unison on our streams, for a directory of this machine; it remembers what it has seen in `memory`."""
    program = shutil.which("unison")
    if program is None:
        raise HostError("unison is not installed in the machine", hint="sudo apt-get install unison there")
    for path in (memory, directory):
        os.makedirs(path, exist_ok=True)
    watcher = os.path.join(memory, unison.WATCHER)
    with open(f"{watcher}.{os.getpid()}", "w", encoding="ascii") as file:
        file.write(unison.script(unison.WATCHER))
    os.chmod(file.name, 0o700)
    os.rename(file.name, watcher)
    own = unison.environment(memory, memory, host="machine", mode="-I")
    os.execve(program, [program, *words], {**os.environ, **own})
