"""Compiled seccomp filters, so that crun need not compile the default profile for every container (20 ms).

crun leaves what it compiled in its state directory; the first start of a kind keeps a copy in the run directory
and later ones hand it to crun as an annotation. Only the default profile is kept, never one of the user's.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import zlib
from collections.abc import Iterable

from devbox.container.spec import seccomp, seccomp_calls
from devbox.container.spec.seccomp_calls import ALLOWED_WITH
from devbox.store.root import Root
from devbox.system import procfs
from devbox.system.files import write_atomic

ANNOTATION = "run.oci.seccomp_bpf_data"
_KEY_FILE = "seccomp.key"
_INSTRUCTION_SIZE = 8


def find(root: Root, granted: Iterable[str], crun: str) -> bytes | None:
    """The filter for a process with these capabilities, None when it has not been kept yet."""
    try:
        with open(_path(root, _key(granted, crun)), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    checksum, program = data[:4], data[4:]
    intact = program and len(program) % _INSTRUCTION_SIZE == 0 and checksum == _checksum(program)
    return program if intact else None


def promise(root: Root, container_id: str, granted: Iterable[str], crun: str) -> None:
    """Note in the bundle that the filter that crun is about to compile is worth keeping."""
    with open(f"{root.bundle(container_id)}/{_KEY_FILE}", "w") as file:
        file.write(_key(granted, crun))


def keep(root: Root, container_id: str) -> None:
    """Keep what crun has compiled for a container that is now created, if that was promised."""
    try:
        with open(f"{root.bundle(container_id)}/{_KEY_FILE}") as file:
            key = file.read()
        with open(f"{root.crun}/{container_id}/seccomp.bpf", "rb") as file:
            program = file.read()
    except FileNotFoundError:
        return
    if program:
        os.makedirs(root.run + "/seccomp", mode=0o700, exist_ok=True)
        write_atomic(_path(root, key), _checksum(program) + program, durable=False)


def _path(root: Root, key: str) -> str:
    return f"{root.run}/seccomp/{key}"


def _key(granted: Iterable[str], crun: str) -> str:
    """Changes with whatever a filter depends on: this boot's kernel, crun, our lists, the capabilities."""
    capabilities = sorted(set(granted) & ALLOWED_WITH.keys())
    stamps = [os.stat(path).st_mtime_ns for path in (crun, seccomp.__file__, seccomp_calls.__file__)]
    facts = "\n".join([procfs.boot_id(), *capabilities, *map(str, stamps)])
    return f"{zlib.crc32(facts.encode()):08x}-{len(capabilities)}-{stamps[1]:x}"


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")
