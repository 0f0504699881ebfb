"""images and history."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import fnmatch
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from devbox.cli.context import Context
from devbox.cli.filters import Filters, boolean, labels_match, parse_filters
from devbox.cli.output import listing
from devbox.cli.units import ago, human_size, local_time, parse_time
from devbox.image import catalog, config
from devbox.model.image import HistoryEntry, Image
from devbox.model.invocation import Invocation
from devbox.model.reference import familiar
from devbox.store.database import Store

_NONE = "<none>"
_MISSING = "<missing>"
_COMMAND_WIDTH = 45
_HISTORY = (
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
)


def ls(context: Context, invocation: Invocation) -> int:
    """List images, a line for each of their names, the newest first."""
    store = context.reconciled()
    filters = parse_filters(
        invocation.many("filter"), ("reference", "dangling", "label", "before", "since", "until")
    )
    if pattern := invocation.optional("repository"):
        filters = {**filters, "reference": (*filters.get("reference", ()), pattern)}
    bounds = _bounds(store, filters)
    rows = [
        _row(store, image, name, whole=invocation.flag("no_trunc"))
        for image in catalog.every(store)
        if bounds[0] < image.created < bounds[1] and labels_match(filters, image.config.labels)
        for name in _names(store, image, filters)
    ]
    columns = [("Repository", "REPOSITORY"), ("Tag", "TAG"), ("ID", "IMAGE ID")]
    if invocation.flag("digests"):
        columns.insert(2, ("Digest", "DIGEST"))
    columns += [("CreatedSince", "CREATED"), ("Size", "SIZE")]
    listing(context, invocation, _each_once(rows) if invocation.flag("quiet") else rows, columns=columns)
    return 0


def history(context: Context, invocation: Invocation) -> int:
    """Show how an image was made, the newest step first."""
    store = context.reconciled()
    image = catalog.find(store, invocation.text("image"))
    other = invocation.text("shared_with")
    steps = _steps(store, image, set(catalog.find(store, other).layers) if other else set())
    rows = [_step_row(step, invocation) for step in reversed(steps)]
    shown = image.id if invocation.flag("no_trunc") else catalog.short(image.id)
    if rows:
        rows[0]["ID"] = shown
    listing(context, invocation, rows, columns=(*_HISTORY, ("Shared", "SHARED")) if other else _HISTORY)
    return 0


class _Step(NamedTuple):
    """A step of an image's history with the layer that it made, if it made one."""

    entry: HistoryEntry
    diff_id: str = ""
    size: int = 0
    shared: bool = False


def _steps(store: Store, image: Image, others: set[int]) -> list[_Step]:
    sizes = {row["id"]: row["size"] for row in store.db.execute("SELECT id, size FROM layers")}
    layers = zip(image.layers, image.diff_ids, strict=True)
    steps = []
    for entry in image.history or tuple(HistoryEntry() for _ in image.layers):
        layer, diff_id = (0, "") if entry.empty_layer else next(layers, (0, ""))
        steps.append(_Step(entry, diff_id, sizes.get(layer, 0), layer in others))
    return steps


def _step_row(step: _Step, invocation: Invocation) -> dict[str, str]:
    entry = step.entry
    created = config.parse_time(entry.created)
    command = " ".join(entry.created_by.split())
    if not invocation.flag("no_trunc") and len(command) > _COMMAND_WIDTH:
        command = command[: _COMMAND_WIDTH - 1] + "…"
    human = invocation.flag("human")
    return {
        "ID": _MISSING,
        "CreatedSince": (ago(created) if human else entry.created) if created else "N/A",
        "CreatedAt": entry.created,
        "CreatedBy": command,
        "Size": human_size(step.size) if human else str(step.size),
        "Comment": entry.comment,
        "Layer": step.diff_id,
        "Shared": "yes" if step.shared else "",
    }


def _bounds(store: Store, filters: Filters) -> tuple[float, float]:
    """Creation times between which an image must lie."""
    since = [catalog.find(store, name).created for name in filters.get("since", ())]
    before = [catalog.find(store, name).created for name in filters.get("before", ())]
    before += [parse_time(text, "until") for text in filters.get("until", ())]
    return max(since, default=float("-inf")), min(before, default=float("inf"))


def _names(store: Store, image: Image, filters: Filters) -> Iterator[str]:
    """The names under which an image is listed, "" for one without any."""
    names = [familiar(name) for name in catalog.tags_of(store, image.id)]
    dangling = boolean(filters, "dangling")
    if dangling is not None and dangling == bool(names):
        return
    patterns = filters.get("reference")
    if patterns is None:
        yield from names or [""]
        return
    for name in names:
        if any(_alike(text, pattern) for pattern in patterns for text in _forms(name)):
            yield name


def _alike(text: str, pattern: str) -> bool:
    """Whether a name fits a pattern, whose `*` means no slash, as docker has it."""
    texts, patterns = text.split("/"), pattern.split("/")
    return len(texts) == len(patterns) and all(map(fnmatch.fnmatchcase, texts, patterns))


def _forms(name: str) -> tuple[str, str]:
    """What a pattern may name: repository:tag, or the repository alone."""
    return name, name.rpartition(":")[0]


def _row(store: Store, image: Image, name: str, *, whole: bool) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    digests = [familiar(digest).partition("@")[2] for digest in catalog.digests_of(store, image.id)]
    return {
        "ID": image.id if whole else catalog.short(image.id),
        "Repository": repository or _NONE,
        "Tag": tag or _NONE,
        "Digest": digests[0] if digests else _NONE,
        "CreatedSince": ago(image.created),
        "CreatedAt": local_time(image.created),
        "Size": human_size(image.size),
        "VirtualSize": human_size(image.size),
        "SharedSize": "N/A",
        "UniqueSize": "N/A",
        "Containers": str(len(catalog.users_of(store, image.id))),
    }


def _each_once(rows: list[dict[str, str]]) -> list[Mapping[str, str]]:
    """-q names an image once, however many names it has."""
    return list({row["ID"]: row for row in rows}.values())
