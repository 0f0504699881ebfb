"""`devbox info` for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devbox.cli.units import binary_size


def lines(shown: Mapping[str, Any]) -> Iterator[str]:
    """The lines that docker prints, as far as they mean something here."""
    yield "Client:"
    yield f" Version:    {shown['ServerVersion']}"
    yield ""
    yield "Server:"
    yield f" Containers: {shown['Containers']}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {shown['Containers' + state]}"
    yield f" Images: {shown['Images']}"
    yield f" Server Version: {shown['ServerVersion']}"
    yield f" Storage Driver: {shown['Driver']}"
    for name, value in shown["DriverStatus"]:
        yield f"  {name}: {value}"
    yield f" Logging Driver: {shown['LoggingDriver']}"
    yield f" Cgroup Driver: {shown['CgroupDriver']}"
    yield f" Cgroup Version: {shown['CgroupVersion']}"
    yield " Plugins:"
    for kind in ("Volume", "Network", "Log"):
        yield f"  {kind}: {' '.join(shown['Plugins'][kind])}"
    yield f" Runtimes: {' '.join(shown['Runtimes'])}"
    yield f" Default Runtime: {shown['DefaultRuntime']}"
    yield " Security Options:"
    yield "  seccomp"
    yield "   Profile: builtin"
    yield f" Kernel Version: {shown['KernelVersion']}"
    yield f" Operating System: {shown['OperatingSystem']}"
    yield f" OSType: {shown['OSType']}"
    yield f" Architecture: {shown['Architecture']}"
    yield f" CPUs: {shown['NCPU']}"
    yield f" Total Memory: {binary_size(shown['MemTotal'])}"
    yield f" Name: {shown['Name']}"
    yield f" Devbox Root Dir: {shown['DockerRootDir']}"
