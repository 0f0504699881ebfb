"""Lists of manifests, one image for each platform: made here of what registries have, then pushed."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from devbox.errors import ConflictError, NotFoundError, RegistryError, UsageError
from devbox.image import config, manifests
from devbox.image.transfers import remote
from devbox.image.transfers.pull import How
from devbox.model.reference import Reference, familiar, parse, parse_tagged
from devbox.registry import repository as registry
from devbox.registry.repository import Manifest, Repository
from devbox.store.database import Store

Entry = dict[str, Any]
"""a descriptor as in an index, and "repository", which has it"""


def create(store: Store, name: str, references: Sequence[str], how: How, *, amend: bool) -> None:
    """Make a list of images that are in registries already; ConflictError for one that exists, unless `amend`."""
    tagged = parse_tagged(name).tagged
    found = [_entry(parse(reference), how) for reference in references]
    with store.transaction() as db:
        known = _find(db, tagged)
        if known is not None and not amend:
            raise ConflictError(
                f"there is a manifest list {familiar(tagged)}", hint="add to it with --amend, or remove it first"
            )
        digests = {entry["digest"] for entry in found}
        _keep(db, tagged, [*(entry for entry in known or () if entry["digest"] not in digests), *found])


def _entry(reference: Reference, how: How) -> Entry:
    repository, manifest = registry.find(reference, how.environ, insecure=how.insecure)
    try:
        document = remote.parse(manifest)
        if remote.is_index(document):
            raise UsageError(
                f"{familiar(reference.name)} is a list itself", hint="name the images in it by their digests"
            )
        image = remote.read(repository, manifest, "")
    finally:
        repository.close()
    read = config.parse(image.document)
    platform = {"architecture": read.architecture, "os": read.os}
    return {
        "mediaType": document.get("mediaType", manifest.media_type),
        "digest": manifest.digest,
        "size": len(manifest.data),
        "platform": {**platform, **({"variant": read.variant} if read.variant else {})},
        "repository": reference.repository,
    }


def annotate(store: Store, name: str, reference: str, platform: Mapping[str, Any]) -> None:
    """Say otherwise what platform an image of a list is for."""
    tagged = parse_tagged(name).tagged
    with store.transaction() as db:
        entries = _known(db, tagged)
        _meant(entries, parse(reference), tagged)["platform"].update(platform)
        _keep(db, tagged, entries)


def _meant(entries: Sequence[Entry], reference: Reference, name: str) -> Entry:
    """The entry that a reference with a digest names, or the only one of its repository."""
    of_it = [entry for entry in entries if entry["repository"] == reference.repository]
    fits = [entry for entry in of_it if entry["digest"] == reference.digest] if reference.digest else of_it
    if len(fits) != 1:
        known = ", ".join(f"{familiar(entry['repository'])}@{entry['digest']}" for entry in entries)
        many = "has several images" if fits else "has no image"
        raise NotFoundError(f"{familiar(name)} {many} of {familiar(reference.name)}", hint=f"it has {known}")
    return fits[0]


def find(store: Store, name: str) -> bytes | None:
    """The index that a list would be, None when there is no such list."""
    entries = _find(store.db, parse_tagged(name).tagged)
    return None if entries is None else _index(entries)[0]


def describe(store: Store, name: str, reference: str) -> Entry:
    """One image of a list."""
    tagged = parse_tagged(name).tagged
    return _meant(_known(store.db, tagged), parse(reference), tagged)


def remove(store: Store, name: str) -> None:
    """Forget a list; what was pushed of it stays where it is."""
    tagged = parse_tagged(name).tagged
    with store.transaction() as db:
        _known(db, tagged)
        db.execute("DELETE FROM manifest_lists WHERE name = ?", (tagged,))


def push(store: Store, name: str, how: How) -> str:
    """Put a list and all that it needs into its registry; the digest of the index."""
    reference = parse_tagged(name)
    entries = _known(store.db, reference.tagged)
    repository = registry.itself(reference, how.environ, insecure=how.insecure)
    try:
        for entry in entries:
            if entry["repository"] != reference.repository:
                _bring(repository, entry, how)
        data, media_type = _index(entries)
        return repository.put(reference.tag, data, media_type)
    finally:
        repository.close()


def _bring(target: Repository, entry: Entry, how: How) -> None:
    """Have an image of another repository in this one, too."""
    origin = parse(f"{entry['repository']}@{entry['digest']}")
    if origin.domain != target.reference.domain:
        raise UsageError(
            f"{familiar(entry['repository'])} is in another registry than {familiar(target.reference.repository)}",
            hint="pull it and push it there first",
        )
    source, manifest = registry.find(origin, how.environ, insecure=how.insecure)
    source.close()
    _mount_all(target, manifest, origin.path)
    target.put(manifest.digest, manifest.data, entry["mediaType"])


def _mount_all(target: Repository, manifest: Manifest, path: str) -> None:
    document = remote.parse(manifest)
    layers = manifests.descriptors(document, "layers", "the manifest", config.LAYERS_MAX)
    for blob in map(remote.blob_of, (document.get("config") or {}, *layers)):
        if not target.has(blob.digest) and not target.mount(blob.digest, path):
            raise RegistryError(
                f"{target.host} does not let {target.reference.path} have a blob of {path}",
                hint="push the image there itself, and make the list of that",
            )


def _index(entries: Sequence[Entry]) -> tuple[bytes, str]:
    """The index and its media type: docker's for docker's manifests, OCI's for all else."""
    of_docker = all(entry["mediaType"] == manifests.MANIFEST_TYPES[1] for entry in entries)
    media_type = manifests.INDEX_TYPES[of_docker]
    listed = [{key: value for key, value in entry.items() if key != "repository"} for entry in entries]
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
    return json.dumps(document, indent=3).encode(), media_type


def _known(db: sqlite3.Connection, tagged: str) -> list[Entry]:
    entries = _find(db, tagged)
    if entries is None:
        raise NotFoundError(
            f"no such manifest list: {familiar(tagged)}", hint="make it with 'devbox manifest create'"
        )
    return entries


def _find(db: sqlite3.Connection, tagged: str) -> list[Entry] | None:
    row = db.execute("SELECT document FROM manifest_lists WHERE name = ?", (tagged,)).fetchone()
    entries: list[Entry] | None = None if row is None else json.loads(row["document"])
    return entries


def _keep(db: sqlite3.Connection, tagged: str, entries: Sequence[Entry]) -> None:
    db.execute(
        "INSERT OR REPLACE INTO manifest_lists (name, document) VALUES (?, ?)", (tagged, json.dumps(entries))
    )
