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

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 30.0
_IDLE_SHARE = 0.9


def settle(seconds: float) -> None:
    """Let an engine clean up after its last command, and wait for a moment in which the machine is idle."""
    time.sleep(seconds)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while seconds and time.monotonic() < deadline:
        idle, total = _processor_time()
        time.sleep(_LOOK_SECONDS)
        idle_now, total_now = _processor_time()
        if idle_now - idle >= _IDLE_SHARE * (total_now - total):
            return


def _processor_time() -> tuple[int, int]:
    """What all processors have idled, waiting for disks included, and all of their time."""
    with open("/proc/stat") as file:
        times = [int(word) for word in file.readline().split()[1:9]]
    return times[3] + times[4], sum(times)


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
