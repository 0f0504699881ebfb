"""builder prune and builder du."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time

from devbox.build.caching import pruning
from devbox.cli.context import Context
from devbox.cli.filters import parse_filters, prunable
from devbox.cli.output import listing, report_deleted
from devbox.cli.units import ago, human_size
from devbox.model.invocation import Invocation
from devbox.model.values_parse import parse_size

_DANGLING = "WARNING! This will remove all build cache that no image is made of."
_ALL = "WARNING! This will remove all build cache."
_COLUMNS = (("ID", "ID"), ("Reclaimable", "RECLAIMABLE"), ("Size", "SIZE"), ("LastUsed", "LAST ACCESSED"))
_VERBOSE = (*_COLUMNS, ("Type", "TYPE"), ("Description", "DESCRIPTION"))
_ID_SHOWN = 25
_TEXT_SHOWN = 60


def prune(context: Context, invocation: Invocation) -> int:
    """Remove what the cache holds."""
    wanted = prunable(parse_filters(invocation.many("filter"), ("until",)))
    every = invocation.flag("all")
    keep = parse_size(invocation.text("keep_storage") or "0", "--keep-storage")
    if not invocation.flag("force") and not context.confirm(_ALL if every else _DANGLING):
        return 0
    removed, freed = pruning.prune(
        context.reconciled(), lambda entry: wanted(entry.used, {}), shared=every, keep=keep
    )
    report_deleted(context, "build cache objects", [entry.id[:_ID_SHOWN] for entry in removed])
    context.out(f"Total reclaimed space: {human_size(freed, digits=4)}")
    return 0


def du(context: Context, invocation: Invocation) -> int:
    """List what the cache holds."""
    now = time.time()
    whole = invocation.flag("no_trunc")
    rows = [
        {
            "ID": entry.id if whole else entry.id[:_ID_SHOWN],
            "Type": entry.kind,
            "Reclaimable": str(not entry.shared).lower(),
            "Size": human_size(entry.size, digits=4),
            "LastUsed": ago(entry.used, now),
            "CreatedAt": ago(entry.created, now),
            "Description": entry.what if whole else entry.what[:_TEXT_SHOWN],
        }
        for entry in reversed(pruning.every(context.reconciled()))
    ]
    listing(context, invocation, rows, columns=_VERBOSE if invocation.flag("verbose") else _COLUMNS)
    return 0
