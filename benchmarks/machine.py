"""Measure commands that go through a machine beside the same ones typed there; needs root and what tests need.

.venv/bin/python -m benchmarks.machine [--rounds N] [--markdown]

The machine is a real sshd in a network namespace, so the figures are of the transport and not of a slow guest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.engines import Engine
from benchmarks.measure import milliseconds
from benchmarks.report import Result
from benchmarks.rows import Goal, Row
from tests.machine.ssh.conftest import Host, serving

STREAM = 256
"""MiB"""


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("benchmarks: an sshd for root needs root", file=sys.stderr)
        return 1
    with serving() as host:
        host("bootstrap", "busybox")
        host("run", "-d", "--name", "base", "busybox", "sleep", "10000")
        engines = (_through(host), _typed(host), _plain(host))
        results = [_measured(row, engines, options.rounds) for row in _rows(host)]
    print(f"load average {os.getloadavg()[0]:.1f} at the end")
    print(report.table(results, [engine.name for engine in engines], markdown=options.markdown))
    return 0


def _through(host: Host) -> Engine:
    return Engine("devbox", "", tuple(host.line()), host.env)


def _typed(host: Host) -> Engine:
    assert host.guest.process is not None
    enter = ("/usr/bin/nsenter", "-t", str(host.guest.process.pid), "-n", "-m")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEVBOX_ROOT": str(host.guest.root)}
    return Engine("typed there", "", (*enter, str(host.guest.installed / "devbox")), environment)


def _plain(host: Host) -> Engine:
    options = ("-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    words = (*options, "-i", str(host.guest.key), f"root@{host.guest.address[0]}")
    return Engine("ssh", "", ("/usr/bin/ssh", *words), host.env)


def _rows(host: Host) -> list[Row]:
    near = Goal("<= typed there + 30 ms", lambda values: values["typed there"] + 30)
    fast = Goal(f"<= {STREAM} MiB at 150 MB/s", lambda values: (STREAM << 20) / 150e6 * 1000)
    zero = host.home / "zero"
    with zero.open("wb") as file:
        file.truncate(STREAM << 20)
    words = ("exec", "base", "head", "-c", f"{STREAM}m", "/dev/zero")
    return [
        Row("ps", "`ps`", _command("ps"), near),
        Row("exec", "`exec` true", _command("exec", "base", "true"), near),
        Row("run", "`run --rm busybox true`, host network", _command(*_RUN), near),
        Row("out", f"{STREAM} MiB from `exec`", _command(*words, plain=words[2:]), fast, rounds_at_most=3),
        Row("in", f"{STREAM} MiB into `exec -i`", _fed(zero), fast, rounds_at_most=3),
    ]


_RUN = ("run", "--rm", "--network", "host", "busybox", "true")


def _command(*words: str, plain: Sequence[str] = ("true",)) -> Callable[[Engine], float]:
    return lambda engine: milliseconds(engine, plain if engine.name == "ssh" else words)


def _fed(file: Path) -> Callable[[Engine], float]:
    def sample(engine: Engine) -> float:
        sink = ("cat >/dev/null",)
        words = sink if engine.name == "ssh" else ("exec", "-i", "base", "sh", "-c", *sink)
        began = time.perf_counter()
        with file.open("rb") as data:
            subprocess.run([*engine.command, *words], env=engine.environment, stdin=data, check=True)
        return (time.perf_counter() - began) * 1000

    return sample


def _measured(row: Row, engines: Sequence[Engine], rounds: int) -> Result:
    samples: dict[str, list[float]] = {engine.name: [] for engine in engines}
    for number in range(min(rounds, row.rounds_at_most) + 1):
        for engine in engines:
            taken = row.sample(engine)
            if number:
                samples[engine.name].append(taken)
    return Result(row, samples)


if __name__ == "__main__":
    sys.exit(main())
