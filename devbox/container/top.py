"""The processes of a container: docker top."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import re
from collections.abc import Sequence

from devbox.container.running import check_running
from devbox.errors import HostError, UsageError
from devbox.model.container import Container
from devbox.system import process

_DEFAULT = ("-ef",)
_PID_TITLES = ("PID",)


def processes(container: Container, options: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of the host's `ps` with these options, of this container's processes only.

    As with docker the numbers are the host's, and a selection of columns must have the PID among them. StateError
    for a container that does not run.
    """
    check_running(container)
    wanted = _pids(container)
    options = tuple(options) or _DEFAULT
    result = process.run(["ps", *options], env=process.minimal_environment({"COLUMNS": "32768"}), check=False)
    lines = result.output.decode(errors="replace").splitlines()
    if result.status != 0:
        reason = lines[0].removeprefix("error: ") if lines else "no reason given"
        raise UsageError(f"ps refused {' '.join(options)!r}: {reason}", hint="see ps(1) for its options")
    return _table(lines, wanted)


def _pids(container: Container) -> frozenset[int]:
    """Who is in the container's control group, or where that cannot be told, in its PID namespace."""
    directory = _cgroup(container.pid)
    if directory and f"/{container.id}" in directory:
        found: set[int] = set()
        for place, _, files in os.walk(directory):
            if "cgroup.procs" in files:
                with open(f"{place}/cgroup.procs") as file:
                    found.update(map(int, file.read().split()))
        return frozenset(found)
    return frozenset(_namespace_members(container.pid))


def _cgroup(pid: int) -> str:
    """The directory of a process's control group: the one hierarchy of v2, or the v1 one that counts pids."""
    with open(f"/proc/{pid}/cgroup") as file:
        entries = [line.rstrip("\n").split(":", 2) for line in file]
    for kind, base in (("pids", "/sys/fs/cgroup/pids"), ("", "/sys/fs/cgroup")):
        for _, controllers, path in entries:
            if kind in controllers.split(",") and os.path.isfile(f"{base}{path}/cgroup.procs"):
                return base + path
    return ""


def _namespace_members(pid: int) -> list[int]:
    members = []
    namespace = os.readlink(f"/proc/{pid}/ns/pid")
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/ns/pid") == namespace:
                members.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return members


def _table(lines: Sequence[str], wanted: frozenset[int]) -> tuple[list[str], list[list[str]]]:
    titles = lines[0].split() if lines else []
    index = next((at for at, title in enumerate(titles) if title in _PID_TITLES), None)
    if index is None:
        raise UsageError("the columns of ps have no PID", hint="add pid to -o")
    rows = []
    within = False
    for line in lines[1:]:
        # the last column, the command, may have blanks in it
        fields = re.split(r"\s+", line.strip(), maxsplit=len(titles) - 1)
        if len(fields) <= index:
            continue
        if fields[index] == "-":
            # a thread (ps -m) belongs to the process above it
            if not within:
                continue
        elif not fields[index].isdigit():
            raise HostError(f"cannot read what ps printed: {line.strip()!r}")
        else:
            within = int(fields[index]) in wanted
        if within:
            rows.append(fields + [""] * (len(titles) - len(fields)))
    return titles, rows
