"""An image as a registry describes it: index, manifest and config, read without trust."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from devbox.errors import NotFoundError, RefusedError
from devbox.image import config, manifests
from devbox.image.strictjson import parse_object
from devbox.image.tar.limits import Limits
from devbox.registry.repository import Blob, Manifest, Repository

_NESTED_MAX = 4


class Platform(NamedTuple):
    """What an index has an image for."""

    system: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, self))


class RemoteImage(NamedTuple):
    """An image of a registry; none of its layers is here because of it."""

    top: str
    """digest of what the reference names: a manifest or an index"""
    manifest: Manifest
    config: Blob
    layers: tuple[Blob, ...]
    """lowest first, as they are stored there"""
    document: bytes
    """the config"""


def wanted_platform(text: str) -> Platform:
    """The platform of --platform, this machine's for ""."""
    if text in ("", "linux"):
        return Platform("linux", config.architecture())
    architecture, variant = config.platform_of(text)
    return Platform("linux", architecture, variant)


def read(repository: Repository, top: Manifest, platform: str, *, strict: bool = True) -> RemoteImage:
    """The image that a manifest or an index names, for a platform of --platform; "" for this machine's, if any.

    Not `strict`: where there is but one image, it is taken whatever it is for.
    """
    wanted = wanted_platform(platform)
    manifest = choose(repository, top, wanted)
    document = parse(manifest)
    described = document.get("config")
    if not isinstance(described, dict):
        raise RefusedError(f"the manifest {manifest.digest} has no config")
    listed = manifests.descriptors(document, "layers", "the manifest", config.LAYERS_MAX)
    layers = tuple(_layer(layer) for layer in listed)
    settings = blob_of(described)
    read_config = repository.document(settings)
    found = config.parse(read_config)
    if len(found.diff_ids) != len(layers):
        raise RefusedError(
            f"the manifest has {len(layers)} layers of an image whose config lists {len(found.diff_ids)}"
        )
    if strict and platform and found.architecture != wanted.architecture:
        actual = Platform(found.os, found.architecture, found.variant)
        raise NotFoundError(
            f"{repository.reference.repository} has no image for {wanted}", hint=f"it has {actual}"
        )
    return RemoteImage(top.digest, manifest, settings, layers, read_config)


def choose(repository: Repository, top: Manifest, platform: Platform) -> Manifest:
    """The manifest itself, or that of a platform in an index."""
    found = top
    for _ in range(_NESTED_MAX):
        document = parse(found)
        if not is_index(document):
            return found
        entry = _fitting(manifests.descriptors(document, "manifests", "the index", manifests.IMAGES_MAX), platform)
        if entry is None:
            names = ", ".join(str(each) for each in platforms(document))
            raise NotFoundError(
                f"{repository.reference.repository} has no image for {platform}", hint=f"it has {names or 'none'}"
            )
        found = repository.manifest(blob_of(entry).digest)
    raise RefusedError(f"indexes of {repository.host} are nested more than {_NESTED_MAX} deep")


def parse(manifest: Manifest) -> dict[str, Any]:
    """The document of a manifest or index; RefusedError for what is neither, or both."""
    document = parse_object(manifest.data, f"the manifest {manifest.digest}")
    if document.get("schemaVersion") != 2:
        raise RefusedError("the image is of a format that was given up in 2017 (schema 1)")
    kind = document.get("mediaType", manifest.media_type)
    if not isinstance(kind, str) or kind not in (*manifests.INDEX_TYPES, *manifests.MANIFEST_TYPES):
        raise RefusedError(f"the registry has something else than an image there: {str(kind)[:100]!r}")
    if ("manifests" in document) == ("layers" in document or "config" in document):
        raise RefusedError(f"the manifest {manifest.digest} is neither an image nor an index of images")
    return document


def is_index(document: Mapping[str, Any]) -> bool:
    """Whether a parsed document lists manifests."""
    return "manifests" in document


def blob_of(descriptor: Mapping[str, Any]) -> Blob:
    """A descriptor, checked."""
    size = descriptor.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= Limits().size:
        raise RefusedError(f"a blob is said to have the size {str(size)[:40]}")
    return Blob(config.check_digest(descriptor.get("digest")), size, str(descriptor.get("mediaType") or ""))


def _layer(descriptor: Mapping[str, Any]) -> Blob:
    blob = blob_of(descriptor)
    if not manifests.LAYER_TYPES.fullmatch(blob.media_type):
        raise RefusedError(
            f"a layer is of unknown type {blob.media_type[:100]!r}", hint="it is perhaps no image of a container"
        )
    return blob


def platform_of(descriptor: Mapping[str, Any]) -> Platform | None:
    """What an entry of an index is for, None when it does not say."""
    fields = descriptor.get("platform")
    if not isinstance(fields, dict):
        return None
    return Platform(*(str(fields.get(key) or "") for key in ("os", "architecture", "variant")))


def platforms(document: Mapping[str, Any]) -> list[Platform]:
    """The platforms of an index, attestations left out."""
    entries = manifests.descriptors(document, "manifests", "the index", manifests.IMAGES_MAX)
    found = (platform_of(entry) for entry in entries)
    return [each for each in found if each is not None and each.system != "unknown"]


def _fitting(entries: Sequence[Mapping[str, Any]], wanted: Platform) -> Mapping[str, Any] | None:
    """The entry for a platform: of its very variant, else the first one that says none or is asked for none."""
    fits = [
        (there, entry)
        for entry in entries
        if (there := platform_of(entry)) is not None and there[:2] == wanted[:2]
    ]
    for variant in (wanted.variant, ""):
        for there, entry in fits:
            if there.variant == variant:
                return entry
    if fits and not wanted.variant:
        return fits[-1][1] if wanted.architecture == "arm" else fits[0][1]
    return None
