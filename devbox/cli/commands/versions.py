"""image log, image rollback and image diff."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.cli.context import Context
from devbox.cli.output import listing
from devbox.cli.units import ago, human_size, rfc3339
from devbox.image import catalog, difference, versions
from devbox.image.difference import Change
from devbox.image.versions import Version
from devbox.model.invocation import Invocation
from devbox.model.reference import familiar, parse_tagged

_LOG = (
    ("Version", "VERSION"),
    ("ID", "IMAGE ID"),
    ("Since", "SINCE"),
    ("Reason", "REASON"),
    ("Size", "SIZE"),
    ("State", "STATE"),
)
_DIFF = (("Change", "CHANGE"), ("Before", "BEFORE"), ("After", "AFTER"), ("Path", "PATH"))
_WORDS = {"A": "added", "C": "changed", "D": "removed"}


def log(context: Context, invocation: Invocation) -> int:
    """Show what a name pointed to and why, the newest version first."""
    store = context.reconciled()
    name = invocation.text("name")
    kept = versions.kept(store.db)
    tagged = parse_tagged(name).tagged
    whole = invocation.flag("no_trunc")
    rows = [
        {
            "Version": str(version.number),
            "ID": version.image_id if whole else catalog.short(version.image_id),
            "Name": familiar(tagged),
            "Since": ago(version.at),
            "At": rfc3339(version.at),
            "Reason": version.reason,
            "Size": human_size(version.size) if version.here else "",
            "State": _state(version, protected=tagged in kept.get(version.image_id, ())),
        }
        for version in reversed(versions.of(store, name))
    ]
    listing(context, invocation, rows, columns=_LOG)
    return 0


def _state(version: Version, *, protected: bool) -> str:
    if version.current:
        return "current"
    if not version.here:
        return "gone"
    return "kept" if protected else "until prune"


def rollback(context: Context, invocation: Invocation) -> int:
    """Put a name back to an earlier version and print the image's id."""
    store = context.reconciled()
    name = invocation.text("name")
    version, image = versions.rollback(store, name, invocation.number("to"))
    context.err(f"{familiar(parse_tagged(name).tagged)} is again what it was in version {version.number}")
    context.out(image.id)
    return 0


def diff(context: Context, invocation: Invocation) -> int:
    """Show the files in which two images differ."""
    store = context.reconciled()
    found = difference.compare(
        store, catalog.find(store, invocation.text("before")), catalog.find(store, invocation.text("after"))
    )
    listing(context, invocation, map(_row, found), columns=_DIFF, id_key="Path")
    if not (invocation.text("format") or invocation.flag("quiet")):
        context.out(_summary(found))
    return 0


def _row(change: Change) -> dict[str, str]:
    return {
        "Change": change.kind,
        "Path": os.fsdecode(change.path),
        "Before": "" if change.before is None else human_size(change.before),
        "After": "" if change.after is None else human_size(change.after),
        "BeforeBytes": "" if change.before is None else str(change.before),
        "AfterBytes": "" if change.after is None else str(change.after),
    }


def _summary(found: list[Change]) -> str:
    parts = []
    for kind, word in _WORDS.items():
        these = [change for change in found if change.kind == kind]
        parts.append(f"{len(these)} {word}")
    grown = sum((change.after or 0) - (change.before or 0) for change in found)
    return f"{', '.join(parts)}; {'-' if grown < 0 else '+'}{human_size(abs(grown))}"
