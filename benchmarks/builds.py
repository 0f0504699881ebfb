"""The rows of `build`: two stages, three RUN, a COPY of 2,000 files."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from benchmarks import measure
from benchmarks.engines import Engine
from benchmarks.rows import SETTLE_SECONDS, Row, times

KEYS = ("build-cold", "build-cached", "build-last")
_FILES = 2000
_DOCKERFILE = """\
FROM busybox AS build
WORKDIR /sources
COPY src src
RUN find src -type f | wc -l > count
RUN cat src/*/* > all
FROM busybox
COPY --from=build /sources/count /sources/all /out/
RUN cat /out/count
COPY last /last
CMD ["cat", "/out/count"]
"""
_PRUNE = {
    "devbox": ("builder", "prune", "--all", "--force"),
    "docker": ("builder", "prune", "--all", "--force"),
    "podman": ("image", "prune", "--force"),
}


class _Context:
    """A context for each engine: what one changes the other does not see."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._numbers = itertools.count()

    def make(self, engine: Engine) -> None:
        place = self._place(engine)
        shutil.rmtree(place, ignore_errors=True)
        for number in range(_FILES):
            file = place / f"src/{number // 50}/{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{number}\n" * (number % 700))
        (place / "Dockerfile").write_text(_DOCKERFILE)
        (place / "last").write_text("0\n")
        measure.settle(SETTLE_SECONDS)
        engine(*self.command(engine))

    def change_last(self, engine: Engine) -> None:
        (self._place(engine) / "last").write_text(f"{next(self._numbers)}\n")

    def command(self, engine: Engine, *options: str) -> tuple[str, ...]:
        return ("build", "--quiet", "--tag", "bench-build", *options, str(self._place(engine)))

    def remove(self, engine: Engine) -> None:
        engine("rmi", "--force", "bench-build")
        engine(*_PRUNE[engine.name])
        shutil.rmtree(self._place(engine))

    def _place(self, engine: Engine) -> Path:
        return self._disk / f"context-of-{engine.name}"


def rows(disk: Path) -> tuple[Row, ...]:
    """Cold, all cached, and with the last COPY changed."""
    context = _Context(disk)

    def cold(engine: Engine) -> float:
        engine("rmi", "--force", "bench-build")
        engine(*_PRUNE[engine.name])
        measure.settle(SETTLE_SECONDS)
        return measure.milliseconds(engine, context.command(engine, "--no-cache"))

    def last(engine: Engine) -> float:
        context.change_last(engine)
        measure.settle(SETTLE_SECONDS)
        return measure.milliseconds(engine, context.command(engine))

    return (
        Row(
            "build-cold",
            "`build`, cold (3 RUN, COPY of 2,000 files, 2 stages)",
            cold,
            times(0.8, peer="docker"),
            prepare=context.make,
            clean=context.remove,
            rounds_at_most=5,
        ),
        Row(
            "build-cached",
            "`build`, all cached",
            lambda engine: measure.milliseconds(engine, context.command(engine)),
            times(1.0, peer="docker"),
            prepare=context.make,
            clean=context.remove,
        ),
        Row(
            "build-last",
            "`build`, last COPY changed",
            last,
            times(1.2, peer="docker"),
            prepare=context.make,
            clean=context.remove,
        ),
    )
