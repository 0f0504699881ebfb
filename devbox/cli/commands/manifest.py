"""manifest create, annotate, inspect, push and rm."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
from collections.abc import Iterator
from typing import Any

from devbox.cli.context import Context
from devbox.cli.output import as_json
from devbox.errors import UsageError
from devbox.image import manifests
from devbox.image.transfers import lists, remote
from devbox.image.transfers.pull import How
from devbox.model.invocation import Invocation
from devbox.model.reference import parse, parse_tagged
from devbox.registry import repository as registry
from devbox.registry.repository import Manifest, Repository


def create(context: Context, invocation: Invocation) -> int:
    """Make a list of images."""
    name = invocation.text("list")
    lists.create(
        context.reconciled(),
        name,
        invocation.many("images"),
        _how(context, invocation),
        amend=invocation.flag("amend"),
    )
    context.out(f"Created manifest list {parse_tagged(name).tagged}")
    return 0


def annotate(context: Context, invocation: Invocation) -> int:
    """Say what platform an image of a list is for."""
    texts = {"architecture": "arch", "os": "os", "os.version": "os_version", "variant": "variant"}
    platform: dict[str, Any] = {key: invocation.text(name) for key, name in texts.items() if invocation.text(name)}
    if invocation.many("os_features"):
        platform["os.features"] = list(invocation.many("os_features"))
    lists.annotate(context.reconciled(), invocation.text("list"), invocation.text("image"), platform)
    return 0


def push(context: Context, invocation: Invocation) -> int:
    """Put a list into its registry and print its digest."""
    store = context.reconciled()
    context.out(lists.push(store, invocation.text("list"), _how(context, invocation)))
    if invocation.flag("purge"):
        lists.remove(store, invocation.text("list"))
    return 0


def rm(context: Context, invocation: Invocation) -> int:
    """Forget lists."""
    store = context.reconciled()
    return context.each(invocation.many("lists"), lambda name: lists.remove(store, name))


def inspect(context: Context, invocation: Invocation) -> int:
    """Show a list, one image of it, or what a registry has."""
    names = invocation.many("names")
    store = context.reconciled()
    if len(names) > 2:
        raise UsageError("one manifest can be shown at once, or one of a list", hint="write [LIST] IMAGE")
    if len(names) == 2:
        as_json(context, lists.describe(store, *names), indent=3)
        return 0
    known = None if "@" in names[0] else lists.find(store, names[0])
    if known is not None:
        as_json(context, json.loads(known), indent=3)
        return 0
    how = _how(context, invocation)
    repository, manifest = registry.find(parse(names[0]), how.environ, insecure=how.insecure)
    shown = _verbose(repository, manifest) if invocation.flag("verbose") else remote.parse(manifest)
    repository.close()
    as_json(context, shown, indent=3)
    return 0


def _verbose(repository: Repository, top: Manifest) -> Any:
    """docker's long form: each manifest with its descriptor."""
    document = remote.parse(top)
    if not remote.is_index(document):
        return _one(repository, top, {})
    return list(_each(repository, document))


def _each(repository: Repository, index: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in manifests.descriptors(index, "manifests", "the index", manifests.IMAGES_MAX):
        yield _one(repository, repository.manifest(remote.blob_of(entry).digest), entry.get("platform") or {})


def _one(repository: Repository, manifest: Manifest, platform: dict[str, Any]) -> dict[str, Any]:
    document = remote.parse(manifest)
    descriptor = {
        "mediaType": document.get("mediaType", manifest.media_type),
        "digest": manifest.digest,
        "size": len(manifest.data),
    }
    return {
        "Ref": f"{repository.reference.repository}@{manifest.digest}",
        "Descriptor": {**descriptor, **({"platform": platform} if platform else {})},
        "SchemaV2Manifest": document,
    }


def _how(context: Context, invocation: Invocation) -> How:
    return How(context.environ, insecure=invocation.flag("insecure"))
