"""ps and port."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from devbox.cli import container_row
from devbox.cli.context import Context
from devbox.cli.output import listing
from devbox.container import overview
from devbox.container.overview import Overview
from devbox.model.invocation import Invocation

if TYPE_CHECKING:
    from devbox.cli.filters import Filters


def ps(context: Context, invocation: Invocation) -> int:
    """List containers."""
    chosen = invocation.many("filter")
    filters = _filters(chosen) if chosen else {}
    last = 1 if invocation.flag("latest") else invocation.number("last") or -1
    store = context.reconciled()
    every = invocation.flag("all") or last > 0 or not filters.keys().isdisjoint(("status", "before", "since"))
    found: Iterable[Overview] = overview.every(store, () if every else overview.ALIVE)
    if filters:
        from devbox.cli.container_filters import Selection

        found = Selection(store, filters).of(found)
    shown = list(found)[: last if last > 0 else None]
    wanted = str(invocation.params["format"] or "")
    rows = container_row.Rows(
        store,
        now=time.time(),
        truncated=not invocation.flag("no_trunc"),
        sized=invocation.flag("size") or ".Size" in wanted,
        all_names=wanted in ("", "table"),
    )
    size = (("Size", "SIZE"),) if invocation.flag("size") else ()
    listing(context, invocation, map(rows.row, shown), columns=(*container_row.COLUMNS, *size))
    return 0


def _filters(values: tuple[str, ...]) -> Filters:
    from devbox.cli.container_filters import KEYS
    from devbox.cli.filters import parse_filters

    return parse_filters(values, KEYS)


def port(context: Context, invocation: Invocation) -> int:
    """List the published ports of a container, or where one of them is published."""
    from devbox.container import records
    from devbox.errors import NotFoundError
    from devbox.network import ports

    store = context.reconciled()
    container = records.get(store, invocation.text("container"))
    number, _, protocol = invocation.text("private_port").partition("/")
    bindings = ports.of(store, container.id)
    if not number:
        for each in bindings:
            context.out(f"{each.container_port}/{each.protocol} -> {each.host_address}:{each.host_port}")
        return 0
    asked = f"{number}/{protocol or 'tcp'}"
    found = [each for each in bindings if f"{each.container_port}/{each.protocol}" == asked]
    if not found:
        raise NotFoundError(
            f"no public port {asked!r} published for {container.name}",
            hint=f"'devbox port {container.name}' lists those it has",
        )
    for each in found:
        context.out(f"{each.host_address}:{each.host_port}")
    return 0
