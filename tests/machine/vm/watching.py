"""A watcher of a directory in a real container of the real machine, and when its lines arrive here."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.machine.vm.conftest import Vm

WATCHER = """
import ctypes, os, struct, sys
KINDS = {0x2: "MODIFY", 0x40: "MOVED_FROM", 0x80: "MOVED_TO", 0x100: "CREATE", 0x200: "DELETE"}
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, sys.argv[1].encode(), sum(KINDS))
print("ready", flush=True)
while data := os.read(fd, 65536):
    at = 0
    while at < len(data):
        _, mask, _, length = struct.unpack_from("iIII", data, at)
        name = data[at + 16 : at + 16 + length].rstrip(b"\\0").decode()
        at += 16 + length
        print(*(kind for bit, kind in KINDS.items() if mask & bit), name, flush=True)
"""


@contextlib.contextmanager
def watching(vm: Vm, directory: Path) -> Iterator[queue.SimpleQueue[str]]:
    """The lines of a Python program that watches the directory from inside a container, which has the machine's
    own /usr."""
    (vm.home / "src/watcher.py").write_text(WATCHER)
    mounts = [("/usr", "/usr:ro"), ("/usr/lib", "/lib:ro"), ("/usr/lib64", "/lib64:ro")]
    mounts += [(str(directory), "/watched"), (str(vm.home / "src"), "/src")]
    words = [word for source, target in mounts for word in ("-v", f"{source}:{target}")]
    line = ["machine", "ssh", "sudo", "devbox", "run", "--rm", "--name", "watching", "--network", "none", *words]
    process = subprocess.Popen(
        [sys.executable, "-m", "devbox", *line, "busybox", "/usr/bin/python3", "/src/watcher.py", "/watched"],
        cwd=vm.home,
        env=vm.environment,
        stdout=subprocess.PIPE,
        text=True,
        **vm.identity,
    )
    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdout is not None
    threading.Thread(target=_read, args=(process.stdout, told), daemon=True).start()
    try:
        assert told.get(timeout=60) == "ready"
        yield told
    finally:
        vm.remote("rm", "-f", "watching")
        process.wait(30)


def _read(stream: IO[str], told: queue.SimpleQueue[str]) -> None:
    with stream:
        for line in stream:
            told.put(line.strip())
