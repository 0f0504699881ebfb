"""What an archive says of its images: docker's manifest.json, or OCI's index.json and manifests."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from devbox.errors import RefusedError, UsageError
from devbox.image.archive import Archive
from devbox.image.config import LAYERS_MAX, architecture, check_digest
from devbox.image.strictjson import parse, parse_object
from devbox.model.reference import parse_tagged

IMAGES_MAX = 1000
_NESTED_MAX = 4
_HEX_NAME = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_BLOB_NAME = re.compile(r"blobs/sha256/([0-9a-f]{64})")
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
LAYER_TYPES = re.compile(
    r"application/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.diff\.tar(?:\.gzip|\.zstd)?"
)


class Blob(NamedTuple):
    """A file of the archive, with what it must be; an empty digest is not known."""

    name: str
    digest: str = ""


class Found(NamedTuple):
    """An image of an archive."""

    config: Blob
    layers: tuple[Blob, ...]
    """lowest first"""
    names: tuple[str, ...]
    """normalised"""


def find(archive: Archive) -> list[Found]:
    """The images of an archive; RefusedError when it holds none, or says something impossible."""
    if "manifest.json" in archive:
        found = _docker(archive)
    elif "index.json" in archive:
        found = list(_oci(archive))
    elif "repositories" in archive:
        raise RefusedError(
            "the archive was written by a docker older than 1.10", hint="load and save it with a newer one"
        )
    else:
        raise RefusedError(
            "the archive is no image: it has neither manifest.json nor index.json",
            hint="a root file system becomes an image with 'devbox import'",
        )
    if not found:
        raise RefusedError(f"the archive has no image for linux/{architecture()}")
    return found


def _docker(archive: Archive) -> list[Found]:
    images = parse(archive.read("manifest.json"), "manifest.json")
    if not isinstance(images, list) or len(images) > IMAGES_MAX:
        raise RefusedError(f"manifest.json is not a list of at most {IMAGES_MAX} images")
    return [_docker_image(item) for item in images]


def _docker_image(item: Any) -> Found:
    if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
        raise RefusedError("an image in manifest.json has no config")
    layers = _texts(item.get("Layers"), "Layers", LAYERS_MAX)
    names = _texts(item.get("RepoTags"), "RepoTags", IMAGES_MAX)
    match = _HEX_NAME.fullmatch(item["Config"])
    return Found(
        config=Blob(item["Config"], "sha256:" + match[1] if match else ""),
        layers=tuple(_docker_layer(name) for name in layers),
        names=tuple(_name(name) for name in names),
    )


def _docker_layer(name: str) -> Blob:
    match = _BLOB_NAME.fullmatch(name)
    return Blob(name, "sha256:" + match[1] if match else "")


def _texts(value: Any, key: str, most: int) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RefusedError(f"{key!r} in manifest.json is not a list of names")
    if len(value) > most:
        raise RefusedError(f"an image in manifest.json has {len(value)} {key}, and {most} is the most")
    return value


def _name(text: str) -> str:
    try:
        return parse_tagged(text).tagged
    except UsageError as error:
        raise RefusedError(f"the archive names an image in an impossible way: {text[:200]!r}") from error


def _oci(archive: Archive) -> Iterator[Found]:
    index = parse_object(archive.read("index.json"), "index.json")
    for descriptor in descriptors(index, "manifests", "index.json", IMAGES_MAX):
        names = _names(descriptor)
        if descriptor.get("mediaType") in INDEX_TYPES:
            for inner in _for_here(archive, descriptor, 1):
                yield _oci_image(archive, inner, names)
        elif descriptor.get("mediaType") in MANIFEST_TYPES:
            if not _is_attestation(descriptor):
                yield _oci_image(archive, descriptor, names)
        else:
            raise RefusedError(f"index.json lists something unknown: {str(descriptor.get('mediaType'))[:100]!r}")


def _for_here(archive: Archive, descriptor: Mapping[str, Any], depth: int) -> list[Mapping[str, Any]]:
    """The manifest of this machine's platform in an index of several; none when there is none."""
    if depth > _NESTED_MAX:
        raise RefusedError(f"indexes of the archive are nested more than {_NESTED_MAX} deep")
    index = _document(archive, descriptor)
    if "layers" in index or "config" in index:
        raise RefusedError("an index of the archive says that it is a manifest, too")
    for inner in descriptors(index, "manifests", "an index", IMAGES_MAX):
        if inner.get("mediaType") in INDEX_TYPES:
            found = _for_here(archive, inner, depth + 1)
            if found:
                return found
        elif inner.get("mediaType") in MANIFEST_TYPES and _fits(inner):
            return [inner]
    return []


def _fits(descriptor: Mapping[str, Any]) -> bool:
    platform = descriptor.get("platform")
    if not isinstance(platform, dict):
        return True
    return platform.get("os") == "linux" and platform.get("architecture") == architecture()


def _is_attestation(descriptor: Mapping[str, Any]) -> bool:
    platform = descriptor.get("platform")
    return isinstance(platform, dict) and platform.get("os") == "unknown"


def _oci_image(archive: Archive, descriptor: Mapping[str, Any], names: tuple[str, ...]) -> Found:
    manifest = _document(archive, descriptor)
    if "manifests" in manifest:
        raise RefusedError("a manifest of the archive says that it is an index, too")
    config = manifest.get("config")
    if not isinstance(config, dict):
        raise RefusedError("a manifest of the archive has no config")
    layers = descriptors(manifest, "layers", "a manifest", LAYERS_MAX)
    for layer in layers:
        if not LAYER_TYPES.fullmatch(str(layer.get("mediaType"))):
            raise RefusedError(f"a layer of the archive is of unknown type {str(layer.get('mediaType'))[:100]!r}")
    return Found(_blob(archive, config), tuple(_blob(archive, layer) for layer in layers), names)


def _document(archive: Archive, descriptor: Mapping[str, Any]) -> dict[str, Any]:
    return parse_object(read(archive, _blob(archive, descriptor)), "a manifest of the archive")


def _blob(archive: Archive, descriptor: Mapping[str, Any]) -> Blob:
    digest = check_digest(descriptor.get("digest"))
    name = "blobs/" + digest.replace(":", "/")
    size = descriptor.get("size")
    if archive.member(name).size != size:
        raise RefusedError(f"the archive's blob {digest} has not the size that it should have")
    return Blob(name, digest)


def read(archive: Archive, blob: Blob) -> bytes:
    """A small blob, checked."""
    import hashlib

    data = archive.read(blob.name)
    if blob.digest and "sha256:" + hashlib.sha256(data).hexdigest() != blob.digest:
        raise RefusedError(f"the archive's blob {blob.digest} is damaged: its digest is another")
    return data


def descriptors(document: Mapping[str, Any], key: str, what: str, most: int) -> list[dict[str, Any]]:
    """The objects in a list of a document; RefusedError names the document `what`."""
    value = document.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RefusedError(f"{what} has no list of {key}")
    if len(value) > most:
        raise RefusedError(f"{what} lists {len(value)} {key}, and {most} is the most")
    return value


def _names(descriptor: Mapping[str, Any]) -> tuple[str, ...]:
    """Names as containerd and docker (a full one), podman and skopeo (in ref.name) write them.

    A ref.name that is a tag alone, as umoci has it, names no repository, so the image stays without a name.
    """
    annotations = descriptor.get("annotations")
    if not isinstance(annotations, dict):
        return ()
    name = annotations.get("io.containerd.image.name") or annotations.get("org.opencontainers.image.ref.name")
    if not isinstance(name, str) or not (":" in name or "/" in name):
        return ()
    return (_name(name),)
