"""stats: what running containers use, once or as it goes."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from devbox.cli.context import Context
from devbox.cli.output import listing
from devbox.cli.units import binary_size, human_size
from devbox.container import overview, records
from devbox.container.metering import Usage, measure
from devbox.container.running import is_running
from devbox.errors import NotFoundError
from devbox.model.container import Container
from devbox.model.invocation import Invocation
from devbox.store.database import Store

_COLUMNS = (
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
)
_ONCE_SECONDS = 0.5
_REFRESH_SECONDS = 1.0
_CLEAR = "\033[2J\033[H"
_CLEAR_BELOW = "\033[J"


def stats(context: Context, invocation: Invocation) -> int:
    """Show the resource use of containers."""
    store = context.reconciled()
    typed = {records.resolve(store, name): name for name in invocation.many("containers")}
    every = invocation.flag("all")
    before = _measured(_containers(store, typed, every=every))
    if invocation.flag("no_stream"):
        time.sleep(_ONCE_SECONDS)
        _show(context, invocation, _containers(store, typed, every=every), before, typed)
        return 0
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        sys.stdout.write(_CLEAR)
    while True:
        time.sleep(_REFRESH_SECONDS)
        containers = _containers(store, typed, every=every)
        if on_terminal:
            sys.stdout.write(_CLEAR)
        before = _show(context, invocation, containers, before, typed)
        if on_terminal:
            sys.stdout.write(_CLEAR_BELOW)
        context.flush()


def _containers(store: Store, wanted: Collection[str], *, every: bool) -> list[Container]:
    if not wanted:
        return [each.container for each in overview.every(store, () if every else ("running", "paused"))]
    found = []
    for container_id in wanted:
        try:
            found.append(records.by_id(store, container_id))
        except NotFoundError:
            continue  # it was removed meanwhile
    return found


def _measured(containers: Sequence[Container]) -> dict[str, Usage]:
    return {each.id: measure(each) for each in containers if is_running(each)}


def _show(
    context: Context,
    invocation: Invocation,
    containers: Sequence[Container],
    before: Mapping[str, Usage],
    typed: Mapping[str, str],
) -> dict[str, Usage]:
    now = _measured(containers)
    truncated = not invocation.flag("no_trunc")
    rows = [
        {
            "Container": typed.get(each.id, each.id[:12]),
            "ID": each.id[:12] if truncated else each.id,
            **_row(each, before.get(each.id), now.get(each.id)),
        }
        for each in containers
    ]
    listing(context, invocation, rows, columns=_COLUMNS)
    return now


def _row(container: Container, before: Usage | None, now: Usage | None) -> Mapping[str, Any]:
    usage = now or Usage(0.0)
    share = usage.memory / usage.memory_limit if usage.memory_limit else 0.0
    return {
        "Name": container.name,
        "CPUPerc": f"{_cpu_share(before, now):.2%}",
        "MemUsage": f"{binary_size(usage.memory)} / {binary_size(usage.memory_limit)}",
        "MemPerc": f"{share:.2%}",
        "NetIO": f"{human_size(usage.received)} / {human_size(usage.sent)}",
        "BlockIO": f"{human_size(usage.read)} / {human_size(usage.written)}",
        "PIDs": str(usage.processes),
    }


def _cpu_share(before: Usage | None, now: Usage | None) -> float:
    if before is None or now is None or now.at <= before.at:
        return 0.0
    return max(0.0, now.cpu - before.cpu) / (now.at - before.at)
