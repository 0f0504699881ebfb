"""The filters of `ps`."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Iterable, Iterator
from typing import get_args

from devbox.cli.filters import Filters, boolean, equals, labels_match, matches
from devbox.container import records
from devbox.container.overview import Overview
from devbox.errors import NotFoundError, UsageError
from devbox.model.container import Status
from devbox.store.database import Store

KEYS = (
    *("id", "name", "label", "status", "exited", "ancestor", "network", "volume", "publish", "expose"),
    *("before", "since", "health", "is-task"),
)
_STATUSES = get_args(Status)
_HEALTH = ("starting", "healthy", "unhealthy", "none")


class Selection:
    """What is wanted, looked up once."""

    def __init__(self, store: Store, filters: Filters) -> None:
        self.filters = filters
        _check_words(filters, "status", _STATUSES)
        _check_words(filters, "health", _HEALTH)
        self.exited = {_whole(value) for value in filters.get("exited", ())}
        self.images = _images(store, filters.get("ancestor", ()))
        self.networks = _network_names(store, filters.get("network", ()))
        self.published = _port_ranges(filters.get("publish", ()))
        self.exposed = _port_ranges(filters.get("expose", ()))
        self.before = [records.get(store, name).created for name in filters.get("before", ())]
        self.since = [records.get(store, name).created for name in filters.get("since", ())]

    def of(self, candidates: Iterable[Overview]) -> Iterator[Overview]:
        """Those that match every filter."""
        if boolean(self.filters, "is-task"):
            return
        for candidate in candidates:
            if self._identity(candidate) and self._state(candidate) and self._surroundings(candidate):
                yield candidate

    def _identity(self, seen: Overview) -> bool:
        container = seen.container
        created = container.created
        return (
            matches(self.filters, "id", container.id)
            and matches(self.filters, "name", container.name, "/" + container.name)
            and labels_match(self.filters, container.config.labels)
            and all(created < moment for moment in self.before)
            and all(created > moment for moment in self.since)
        )

    def _state(self, seen: Overview) -> bool:
        container = seen.container
        ended = container.status in ("exited", "dead", "restarting")
        return (
            equals(self.filters, "status", container.status)
            and equals(self.filters, "health", str(container.health.get("Status") or "none"))
            and (not self.exited or (ended and container.exit_code in self.exited))
        )

    def _surroundings(self, seen: Overview) -> bool:
        config = seen.container.config
        volumes = [name for mount in config.mounts for name in (mount.source, mount.target) if name]
        return (
            (self.images is None or seen.container.image_id in self.images)
            and (self.networks is None or not self.networks.isdisjoint(seen.networks))
            and equals(self.filters, "volume", *volumes)
            and _any_port(self.published, {f"{each.host_port}/{each.protocol}" for each in seen.ports})
            and _any_port(self.exposed, config.exposed)
        )


def _check_words(filters: Filters, key: str, words: tuple[str, ...]) -> None:
    for value in filters.get(key, ()):
        if value not in words:
            raise UsageError(f"invalid filter '{key}={value}'", hint=f"{key} is one of {', '.join(words)}")


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"invalid filter 'exited={value}'", hint="exited is an exit code") from None


def _images(store: Store, references: tuple[str, ...]) -> set[str] | None:
    """Ids of the images named, and of those made on top of them."""
    if not references:
        return None
    from devbox.image import catalog

    found: set[str] = set()
    for reference in references:
        try:
            ancestor = catalog.find(store, reference)
        except (NotFoundError, UsageError):
            continue
        layers = ancestor.layers
        found |= {image.id for image in catalog.every(store) if layers and image.layers[: len(layers)] == layers}
        found.add(ancestor.id)
    return found


def _network_names(store: Store, references: tuple[str, ...]) -> set[str] | None:
    if not references:
        return None
    rows = store.db.execute("SELECT id, name FROM networks").fetchall()
    names = {row["name"] for row in rows for text in references if len(text) > 11 and row["id"].startswith(text)}
    return names | set(references)


def _port_ranges(values: tuple[str, ...]) -> set[str]:
    from devbox.model.network_parse import parse_expose

    return {port for value in values for port in parse_expose(value)}


def _any_port(wanted: set[str], found: Iterable[str]) -> bool:
    return not wanted or not wanted.isdisjoint(found)
