"""volume create, ls, rm and prune."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import Any

from devbox.cli.context import Context
from devbox.cli.filters import Filters, boolean, equals, labels_match, matches, parse_filters, prunable
from devbox.cli.output import listing, report_deleted
from devbox.cli.units import human_size
from devbox.model.invocation import Invocation
from devbox.model.mount_parse import parse_pair
from devbox.model.volume import Volume
from devbox.volume import volumes

_COLUMNS = (("Driver", "DRIVER"), ("Name", "VOLUME NAME"))
_NOT_KNOWN = "N/A"


def create(context: Context, invocation: Invocation) -> int:
    """Make a volume and print its name."""
    volume = volumes.create(
        context.store,
        invocation.text("name"),
        driver=invocation.text("driver"),
        labels=dict(map(parse_pair, invocation.many("label"))),
        options=dict(map(parse_pair, invocation.many("opt"))),
    )
    context.out(volume.name)
    return 0


def ls(context: Context, invocation: Invocation) -> int:
    """List volumes by name."""
    filters = parse_filters(invocation.many("filter"), ("dangling", "driver", "label", "name"))
    dangling = boolean(filters, "dangling")
    store = context.reconciled()
    unused = volumes.unused(store)
    rows = [
        _row(volume)
        for volume in volumes.every(store)
        if _matches(volume, filters) and (dangling is None or dangling == (volume.name in unused))
    ]
    listing(context, invocation, rows, columns=_COLUMNS, id_key="Name")
    return 0


def _matches(volume: Volume, filters: Filters) -> bool:
    return (
        labels_match(filters, volume.labels)
        and equals(filters, "driver", volume.driver)
        and matches(filters, "name", volume.name)
    )


def _row(volume: Volume) -> dict[str, Any]:
    return {
        "Availability": _NOT_KNOWN,
        "Driver": volume.driver,
        "Group": _NOT_KNOWN,
        "Label": lambda key: volume.labels.get(key, ""),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(volume.labels.items())),
        "Links": _NOT_KNOWN,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Scope": "local",
        "Size": _NOT_KNOWN,
        "Status": _NOT_KNOWN,
    }


def rm(context: Context, invocation: Invocation) -> int:
    """Remove volumes that no container uses."""
    store = context.reconciled()

    def remove(name: str) -> str:
        volumes.remove(store, name, force=invocation.flag("force"))
        return name

    return context.each(invocation.many("volumes"), remove)


def prune(context: Context, invocation: Invocation) -> int:
    """Remove unused anonymous volumes, or with --all every unused one."""
    filters = parse_filters(invocation.many("filter"), ("label", "label!", "all"))
    everything = invocation.flag("all") or bool(boolean(filters, "all"))
    which = "all local" if everything else "anonymous local"
    warning = f"WARNING! This will remove {which} volumes not used by at least one container."
    if not invocation.flag("force") and not context.confirm(warning):
        return 0

    wanted = prunable(filters)
    removed, freed = volumes.prune(
        context.reconciled(),
        lambda volume: (everything or volume.anonymous) and wanted(volume.created, volume.labels),
    )
    report_deleted(context, "Volumes", removed)
    context.out(f"Total reclaimed space: {human_size(freed, digits=4)}")
    return 0
