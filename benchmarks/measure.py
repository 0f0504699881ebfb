"""The clock and the scales."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.engines import Engine, FailedError

_LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
# ru_maxrss of a child begins with what its parent had at exec, so the parent is a small interpreter


def milliseconds(engine: Engine, *commands: Sequence[str]) -> float:
    """The wall time of commands one after the other."""
    begin = time.perf_counter()
    for words in commands:
        engine(*words)
    return (time.perf_counter() - begin) * 1000


def milliseconds_at_once(engine: Engine, commands: Sequence[Sequence[str]]) -> float:
    """The wall time until the last of several commands, started at the same moment, has ended."""
    begin = time.perf_counter()
    running = [engine.start(*words) for words in commands]
    for process in running:
        engine.finish(process)
    return (time.perf_counter() - begin) * 1000


def peak_megabytes(engine: Engine, *words: str) -> float:
    """The most memory that the command or the largest process it waited for had resident."""
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *engine.command, *words]
    done = subprocess.run(command, env=engine.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"{' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
    return int(done.stdout.split()[-1]) / 1024


def processes() -> set[int]:
    """Every process of these namespaces."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def program(pid: int) -> str:
    """The name of the program that a process runs, empty when it is gone."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def proportional_megabytes(pid: int) -> float:
    """A process's proportional set size: pages that n processes share count 1/n each."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            sizes = [int(line.split()[1]) for line in file if line.startswith("Pss:")]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(sizes) / 1024
