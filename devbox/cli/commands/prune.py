"""container prune, system prune and system reset."""

from __future__ import annotations

import sys

assert sys.platform == "linux"


from devbox.build.caching import pruning
from devbox.cli.commands.image import prune_images, versions_to_keep
from devbox.cli.context import Context
from devbox.cli.filters import Prunable, parse_filters, prunable
from devbox.cli.output import report_deleted
from devbox.cli.units import human_size
from devbox.container import overview
from devbox.container.files import sizes
from devbox.errors import ConflictError, NotFoundError, UsageError
from devbox.model.container import Container
from devbox.model.invocation import Invocation
from devbox.store.database import Store

_KEYS = ("until", "label", "label!")
_CONTAINERS = "all stopped containers"
_NETWORKS = "all networks not used by at least one container"
_VOLUMES = "all anonymous volumes not used by at least one container"
_DANGLING = "all dangling images"
_CACHE = "all build cache"
_DANGLING_CACHE = "all dangling build cache"
_UNUSED = "all images without at least one container associated to them"


def containers(context: Context, invocation: Invocation) -> int:
    """Remove stopped containers."""
    wanted = prunable(parse_filters(invocation.many("filter"), _KEYS))
    if not invocation.flag("force") and not context.confirm(f"WARNING! This will remove {_CONTAINERS}."):
        return 0
    removed, freed = _remove_stopped(context.reconciled(), wanted)
    report_deleted(context, "Containers", removed)
    context.out(f"Total reclaimed space: {human_size(freed, digits=4)}")
    return 0


def everything(context: Context, invocation: Invocation) -> int:
    """Remove stopped containers, unused networks and images, and volumes where that is asked for."""
    filters = parse_filters(invocation.many("filter"), _KEYS)
    every, volumes_too = invocation.flag("all"), invocation.flag("volumes")
    if volumes_too and "until" in filters:
        raise UsageError("the filter until does not apply to volumes", hint="leave out --volumes or the filter")
    versions_to_keep(invocation)  # refused before anything is removed
    if not invocation.flag("force") and not context.confirm(_warning(every=every, volumes_too=volumes_too)):
        return 0
    store, wanted = context.reconciled(), prunable(filters)
    removed, freed = _remove_stopped(store, wanted)
    report_deleted(context, "Containers", removed)
    report_deleted(context, "Networks", _prune_networks(store, wanted))
    if volumes_too:
        names, held = _prune_volumes(store, wanted)
        report_deleted(context, "Volumes", names)
        freed += held
    freed += prune_images(context, invocation, wanted, named=every).size
    if not {"label", "label!"} & filters.keys():  # steps of builds have no labels
        entries, held = pruning.prune(store, lambda entry: wanted(entry.used, {}), shared=every)
        report_deleted(context, "build cache objects", [entry.id[:25] for entry in entries])
        freed += held
    context.out(f"Total reclaimed space: {human_size(freed, digits=4)}")
    return 0


def reset(context: Context, invocation: Invocation) -> int:
    """Remove everything that devbox keeps."""
    warning = "WARNING! This will remove every container, network, volume and image, running or not."
    if not invocation.flag("force") and not context.confirm(warning):
        return 0
    from devbox.container import resetting

    resetting.reset(context.reconciled())
    return 0


def _warning(*, every: bool, volumes_too: bool) -> str:
    what = [_CONTAINERS, _NETWORKS, *([_VOLUMES] if volumes_too else [])]
    what += [_UNUSED, _CACHE] if every else [_DANGLING, _DANGLING_CACHE]
    return "WARNING! This will remove:\n" + "".join(f"  - {each}\n" for each in what)


def _remove_stopped(store: Store, wanted: Prunable) -> tuple[list[str], int]:
    removed: list[str] = []
    freed = 0
    for seen in overview.every(store, ("created", "exited", "dead")):
        if wanted(seen.container.created, seen.container.config.labels):
            held, gone = _remove(store, seen.container)
            freed += held
            removed += [seen.container.id] * gone
    return removed, freed


def _remove(store: Store, container: Container) -> tuple[int, bool]:
    from devbox.container import life

    held, _ = sizes.of(store, container)
    try:
        life.remove(store, container.id)
    except (ConflictError, NotFoundError):
        return 0, False  # started or removed meanwhile
    return held, True


def _prune_networks(store: Store, wanted: Prunable) -> list[str]:
    from devbox.network import networks

    return networks.prune(store, lambda network: wanted(network.created, network.labels))


def _prune_volumes(store: Store, wanted: Prunable) -> tuple[list[str], int]:
    from devbox.volume import volumes

    return volumes.prune(store, lambda volume: volume.anonymous and wanted(volume.created, volume.labels))
