"""The part that runs in the namespaces of `place`: starts the engines, gives them one image, measures, reports."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import time
from pathlib import Path

from benchmarks import builds, engines, peers, place, report, rows, transfers
from benchmarks.engines import Engine
from benchmarks.rows import Row

IMAGE_KEYS = ("load", "save", "push", "pull")
KEYS = (*(row.key for row in rows.containers()), *builds.KEYS, *IMAGE_KEYS)


def parser(description: str) -> argparse.ArgumentParser:
    """The options; `run` adds the hidden ones."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", action="append", choices=KEYS, metavar="ROW", help="measure this row")
    options.add_argument("--peer", action="append", choices=("docker", "podman", "none"), help="default: both")
    options.add_argument("--rounds", type=int, default=11, help="samples for each row (default: %(default)s)")
    options.add_argument("--markdown", action="store_true", help="print the table as the documentation has it")
    options.add_argument("--base", metavar="TAR", help="archive of the image 'base' for load and save")
    options.add_argument("--list", action="store_true", help="print the names of all rows")
    options.add_argument("--install", action="store_true", help="install docker and podman with apt-get first")
    options.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    return options


def needs_base(options: argparse.Namespace) -> bool:
    """Whether a row that needs a base image was asked for without giving one."""
    return not options.base and (not options.only or bool(set(options.only) & set(IMAGE_KEYS)))


def main() -> int:
    """Measure what the options ask for."""
    options = parser("").parse_args()
    disk = place.furnish(options.directory)
    with contextlib.ExitStack() as stack:
        found = _engines(options, disk, stack)
        _share_image(found, disk)
        results = []
        for row in _wanted(options, disk):
            print(f"benchmarks: {row.key}", file=sys.stderr, flush=True)
            results.append(report.Result(row, rows.samples(row, found, options.rounds)))
        print(_heading(found, options.rounds))
        print(report.table(results, [engine.name for engine in found], markdown=options.markdown))
        for engine in found:
            if engine.daemons:
                print(f"\nmemory of the daemons of {engine.name}: {rows.daemons(engine):.0f} MB")
    return 0


def _engines(options: argparse.Namespace, disk: Path, stack: contextlib.ExitStack) -> list[Engine]:
    """devbox first, then the peers that are wanted and installed."""
    wanted = options.peer or ("docker", "podman")
    found: list[Engine | None] = [engines.devbox(options.directory / "venv", disk)]
    if "docker" in wanted:
        found.append(stack.enter_context(peers.docker(disk)))
    if "podman" in wanted:
        found.append(peers.podman(disk))
    return [engine for engine in found if engine is not None]


def _share_image(found: list[Engine], disk: Path) -> None:
    """Give all engines the busybox of devbox's making."""
    archive = disk / "busybox.tar"
    devbox, *others = found
    devbox("bootstrap", "busybox")
    devbox("save", "-o", str(archive), "busybox")
    for engine in others:
        engine("load", "-i", str(archive))


def _wanted(options: argparse.Namespace, disk: Path) -> list[Row]:
    every = [*rows.containers(), *builds.rows(disk)]
    if options.base:
        every += rows.images(Path(options.base), disk)
        every += transfers.rows(Path(options.base), disk)
    return [row for row in every if not options.only or row.key in options.only]


def _heading(found: list[Engine], rounds: int) -> str:
    versions = ", ".join(f"{engine.name} {engine.version}" for engine in found)
    date = time.strftime("%Y-%m-%d")
    return f"{date}, Linux {platform.release()}, {os.cpu_count()} processors, median of {rounds}: {versions}\n"


if __name__ == "__main__":
    sys.exit(main())
