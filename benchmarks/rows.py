"""What is measured: one row of the table each."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks import measure
from benchmarks.engines import Engine, FailedError

SETTLE_SECONDS = 0.3
"""podman and docker clean up after a command has ended; that is not for the next one to pay"""

Action = Callable[[Engine], object]
Values = Mapping[str, float]


class Goal(NamedTuple):
    """What devbox must reach, from the values of the same run; no limit where the peer is not installed."""

    text: str
    limit: Callable[[Values], float | None]


class Row(NamedTuple):
    """One kind of work, measured in turn for each engine."""

    key: str
    title: str
    sample: Callable[[Engine], float]
    goal: Goal | None = None
    unit: str = "ms"
    prepare: Action = lambda engine: None
    """once, before the first sample of any engine"""
    clean: Action = lambda engine: None
    """once, after the last sample"""
    rounds_at_most: int = 1000


def at_most(limit: float, unit: str = "ms") -> Goal:
    """An absolute figure."""
    return Goal(f"<= {limit:g} {unit}", lambda values: limit)


def times(factor: float, *, peer: str = "") -> Goal:
    """A share of what one peer takes, or the faster of them."""

    def limit(values: Values) -> float | None:
        peers = [value for name, value in values.items() if name != "devbox" and peer in ("", name)]
        return factor * min(peers) if peers else None

    return Goal(f"<= {factor:g} x {peer or 'the faster peer'}", limit)


def _run(*options: str) -> Callable[[Engine], float]:
    return lambda engine: measure.milliseconds(engine, ("run", "--rm", *options, "busybox", "true"))


def _detached(name: str) -> tuple[str, ...]:
    return ("run", "-d", "--name", name, "busybox", "sleep", "1000")


_TWENTY = tuple(f"bench{number}" for number in range(20))
_THOUSAND = tuple(f"stopped{number}" for number in range(1000))


def _twenty_runs(engine: Engine) -> float:
    taken = measure.milliseconds_at_once(engine, [_detached(name) for name in _TWENTY])
    engine(*engine.removal, *_TWENTY)
    return taken


def _twenty_removals(engine: Engine) -> float:
    for name in _TWENTY:
        engine(*_detached(name))
    measure.settle(SETTLE_SECONDS)
    return measure.milliseconds(engine, (*engine.removal, *_TWENTY))


def _create_many(engine: Engine) -> None:
    for one, other in zip(_THOUSAND[::2], _THOUSAND[1::2], strict=True):
        pair = [engine.start("create", "--name", name, "busybox", "true") for name in (one, other)]
        for running in pair:
            engine.finish(running)


def _remove_many(engine: Engine) -> None:
    for begin in range(0, len(_THOUSAND), 100):
        engine("rm", *_THOUSAND[begin : begin + 100])


def _idle(engine: Engine) -> float:
    """Memory of what serves one idle container: its monitor and logger, not the daemons, not its own process."""
    before = measure.processes()
    engine(*_detached("bench"))
    time.sleep(1)
    new = (pid for pid in measure.processes() - before if measure.program(pid) != "sleep")
    size = sum(measure.proportional_megabytes(pid) for pid in new)
    engine(*engine.removal, "bench")
    return size


def daemons(engine: Engine) -> float:
    """Memory of the daemons of an engine."""
    pids = (pid for pid in measure.processes() if measure.program(pid) in engine.daemons)
    return sum(measure.proportional_megabytes(pid) for pid in pids)


def _load(archive: Path) -> Callable[[Engine], float]:
    def sample(engine: Engine) -> float:
        taken = measure.milliseconds(engine, ("load", "-i", str(archive)))
        engine("rmi", "base")
        return taken

    return sample


def _save(disk: Path) -> Callable[[Engine], float]:
    def sample(engine: Engine) -> float:
        target = disk / f"saved-by-{engine.name}.tar"
        taken = measure.milliseconds(engine, ("save", "-o", str(target), "base"))
        target.unlink()
        return taken

    return sample


def containers() -> tuple[Row, ...]:
    """The rows that need no more than busybox."""
    return (
        Row("run", "`run --rm busybox true`, bridge network", _run(), times(0.3)),
        Row("run-none", "the same, `--network none`", _run("--network", "none"), times(0.45)),
        Row("run-host", "the same, host network", _run("--network", "host"), times(0.4)),
        Row("run-port", "the same, `-p 8080:80`", _run("-p", "8080:80"), times(0.3)),
        Row(
            "exec",
            "`exec` true",
            lambda engine: measure.milliseconds(engine, ("exec", "bench", "true")),
            times(0.7, peer="docker"),
            prepare=lambda engine: engine(*_detached("bench")),
            clean=lambda engine: engine(*engine.removal, "bench"),
        ),
        Row(
            "run-rm",
            "`run -d` + `rm -f`",
            lambda engine: measure.milliseconds(engine, _detached("bench"), (*engine.removal, "bench")),
            times(0.5),
        ),
        Row(
            "ps",
            "`ps`, one container",
            lambda engine: measure.milliseconds(engine, ("ps",)),
            at_most(55),
            prepare=lambda engine: engine(*_detached("bench")),
            clean=lambda engine: engine(*engine.removal, "bench"),
        ),
        Row(
            "ps-1000",
            "`ps -a`, 1,000 containers that do not run",
            lambda engine: measure.milliseconds(engine, ("ps", "-a")),
            at_most(200),
            prepare=_create_many,
            clean=_remove_many,
        ),
        Row("run-20", "20 x `run -d` in parallel", _twenty_runs, at_most(1000), rounds_at_most=5),
        Row("rm-20", "`rm -f` of 20 at once", _twenty_removals, at_most(500), rounds_at_most=5),
        Row("idle", "memory of one idle detached container", _idle, at_most(3, "MB"), "MB", rounds_at_most=3),
        Row(
            "peak",
            "peak memory of `run`, largest process",
            lambda engine: measure.peak_megabytes(engine, "run", "--rm", "busybox", "true"),
            at_most(30, "MB"),
            "MB",
            rounds_at_most=3,
        ),
    )


def images(archive: Path, disk: Path) -> tuple[Row, ...]:
    """The rows that need a base image of some size, in an archive that names it "base"."""
    megabytes = archive.stat().st_size / 1e6
    return (
        Row("load", f"`load` of a base image, {megabytes:.0f} MB unpacked", _load(archive), rounds_at_most=5),
        Row(
            "save",
            "`save` of the same",
            _save(disk),
            prepare=lambda engine: engine("load", "-i", str(archive)),
            clean=lambda engine: engine("rmi", "base"),
            rounds_at_most=5,
        ),
    )


def samples(row: Row, engines: list[Engine], rounds: int) -> dict[str, list[float]]:
    """Measure a row for every engine in turn; the first round warms up and does not count.

    An engine that fails has no samples, and the others go on.
    """
    found: dict[str, list[float]] = {engine.name: [] for engine in engines}
    failed: set[str] = set()
    for engine in engines:
        with _noted(row, engine, failed):
            row.prepare(engine)
    for number in range(min(rounds, row.rounds_at_most) + 1):
        for engine in engines:
            if engine.name in failed:
                continue
            measure.settle(SETTLE_SECONDS)
            with _noted(row, engine, failed):
                value = row.sample(engine)
                found[engine.name] += [value] if number else []
    for engine in engines:
        with _noted(row, engine, failed):
            row.clean(engine)
    return {name: [] if name in failed else values for name, values in found.items()}


@contextlib.contextmanager
def _noted(row: Row, engine: Engine, failed: set[str]) -> Iterator[None]:
    try:
        yield
    except FailedError as error:
        print(f"benchmarks: {row.key}: {engine.name}: {error}", file=sys.stderr, flush=True)
        failed.add(engine.name)
