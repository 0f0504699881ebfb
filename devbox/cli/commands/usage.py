"""system df."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time
from collections.abc import Mapping, Sequence
from typing import Any

from devbox.build.caching import pruning
from devbox.build.caching.pruning import Entry
from devbox.cli import container_row
from devbox.cli.context import Context
from devbox.cli.output import listing, table
from devbox.cli.templates.values import go_json
from devbox.cli.units import ago, human_size
from devbox.container import accounting
from devbox.container.accounting import Accounts, ContainerUse, ImageUse, VolumeUse
from devbox.errors import UsageError
from devbox.model.invocation import Invocation
from devbox.model.reference import familiar

_COLUMNS = (
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
)
_IMAGES = (
    *("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"),
    *("SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"),
)
_CONTAINERS = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")
_VOLUMES = ("VOLUME NAME", "LINKS", "SIZE")


def df(context: Context, invocation: Invocation) -> int:
    """Show the disk use."""
    accounts = accounting.of(context.reconciled())
    if not invocation.flag("verbose"):
        listing(context, invocation, _summary(accounts, pruning.every(context.store)), columns=_COLUMNS)
        return 0
    wanted = invocation.text("format")
    details = _details(accounts)
    if wanted in ("json", "{{json .}}"):
        titles = {"Images": _IMAGES, "Containers": _CONTAINERS, "Volumes": _VOLUMES}
        named = {title: [_named(head, row) for row in details[title]] for title, head in titles.items()}
        context.out(go_json({**named, "BuildCache": list(map(_cache_entry, pruning.every(context.store)))}))
        return 0
    if wanted:
        raise UsageError("--verbose has no template", hint="use --format json, or leave out --verbose")
    context.out("Images space usage:\n")
    table(context, _IMAGES, details["Images"])
    context.out("\nContainers space usage:\n")
    table(context, _CONTAINERS, details["Containers"])
    context.out("\nLocal Volumes space usage:\n")
    table(context, _VOLUMES, details["Volumes"])
    return 0


def _summary(accounts: Accounts, cache: Sequence[Entry]) -> list[Mapping[str, Any]]:
    used = [use for use in accounts.images if use.containers]
    active = [use for use in accounts.containers if use.seen.alive]
    held = [use for use in accounts.volumes if use.containers]
    return [
        _row("Images", len(accounts.images), len(used), accounts.layers, accounts.layers_in_use),
        _row("Containers", len(accounts.containers), len(active), *_sums(accounts.containers, active)),
        _row("Local Volumes", len(accounts.volumes), len(held), *_sums(accounts.volumes, held)),
        _row("Build Cache", len(cache), 0, *_cache_sizes(cache)),
    ]


def _cache_sizes(cache: Sequence[Entry]) -> tuple[int, int]:
    """Bytes that only the cache has, all of which nothing needs."""
    return sum(entry.size for entry in cache if not entry.shared), 0


def _sums(every: Any, needed: Any) -> tuple[int, int]:
    return sum(use.size for use in every), sum(use.size for use in needed)


def _row(what: str, total: int, active: int, size: int, needed: int) -> Mapping[str, Any]:
    free = size - needed
    share = f" ({free * 100 // size}%)" if size else ""
    return {
        "Type": what,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size, digits=4),
        "Reclaimable": human_size(free, digits=4) + share,
    }


def _details(accounts: Accounts) -> dict[str, list[list[str]]]:
    now = time.time()
    return {
        "Images": [row for use in accounts.images for row in _image_rows(use, now)],
        "Containers": [_container_row(use, now) for use in accounts.containers],
        "Volumes": [_volume_row(use) for use in accounts.volumes],
    }


def _image_rows(use: ImageUse, now: float) -> list[list[str]]:
    image = use.image
    names = [familiar(tag).rpartition(":") for tag in use.tags] or [("<none>", ":", "<none>")]
    numbers = (image.size, use.shared, image.size - use.shared)
    identity = image.id.removeprefix("sha256:")[:12]
    rest = [identity, ago(image.created, now), *map(human_size, numbers), str(use.containers)]
    return [[repository, tag, *rest] for repository, _, tag in names]


def _container_row(use: ContainerUse, now: float) -> list[str]:
    container = use.seen.container
    command = container_row.shorten(container_row.command_line(container), container_row.COMMAND_WIDTH)
    return [
        container.id[:12],
        use.seen.image or container.image_id.removeprefix("sha256:")[:12],
        container_row.quoted(command),
        str(sum(mount.kind == "volume" for mount in container.config.mounts)),
        human_size(use.size),
        ago(container.created, now),
        container_row.status(container, now),
        container.name,
    ]


def _volume_row(use: VolumeUse) -> list[str]:
    return [use.volume.name, str(use.containers), human_size(use.size, digits=4)]


def _cache_entry(entry: Entry) -> dict[str, str]:
    return {
        "ID": entry.id[:25],
        "CacheType": entry.kind,
        "Description": entry.what,
        "Shared": str(entry.shared).lower(),
        "Size": human_size(entry.size, digits=4),
    }


def _named(headings: tuple[str, ...], row: list[str]) -> dict[str, str]:
    return {heading.title().replace(" ", ""): cell for heading, cell in zip(headings, row, strict=True)}
