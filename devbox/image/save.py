"""`save`: images as one tar stream that docker, podman, skopeo and OCI tools read.

It is an OCI layout that has docker's manifest.json, too, as docker writes it since version 25. Layers are plain
tar, so that a blob's digest is its diff_id and nothing need be known before it is written but its length.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import hashlib
import json
import os
import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from devbox.errors import NotFoundError, StoreError, UsageError
from devbox.image import annotating, catalog, layers
from devbox.image.annotating import Texts
from devbox.image.tar.pack import Sink
from devbox.image.tar.tarfields import padding
from devbox.image.tar.tarwrite import END, header
from devbox.model.image import Image
from devbox.model.reference import familiar, parse
from devbox.store.database import Store
from devbox.system import process
from devbox.system.files import replacing, write_all
from devbox.system.walk import opened

Format = Literal["docker-archive", "oci"]
_COMPRESSORS = {"gzip": (("pigz", "-c"), ("gzip", "-c")), "zstd": (("zstd", "-cq", "-T0"),)}
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Chosen(NamedTuple):
    """An image to be saved, under these normalised names."""

    image: Image
    names: tuple[str, ...]


def choose(store: Store, references: Sequence[str]) -> list[Chosen]:
    """The images meant, each once; a repository without a tag means all its tags, as for docker."""
    names: dict[str, list[str]] = {}
    for reference in references:
        for image_id, name in _meant(store, reference):
            known = names.setdefault(image_id, [])
            known += [name] if name and name not in known else []
    return [Chosen(_held(store, image_id), tuple(found)) for image_id, found in names.items()]


def _held(store: Store, image_id: str) -> Image:
    """An image whose layers stay while this process lives, even when it is removed meanwhile."""
    for layer in catalog.by_id(store, image_id).layers:
        layers.hold(store, layer)
    return catalog.by_id(store, image_id)


def _meant(store: Store, reference: str) -> list[tuple[str, str]]:
    with contextlib.suppress(UsageError):
        wanted = parse(reference)
        if not wanted.tag and not wanted.digest:
            begin = wanted.repository + ":"
            rows = store.db.execute(
                "SELECT image_id, name FROM tags WHERE name >= ? AND name < ? ORDER BY name",
                (begin, wanted.repository + ";"),
            ).fetchall()
            if rows:
                return [(row["image_id"], row["name"]) for row in rows]
    return [(catalog.find_id(store, reference), catalog.tag_meant(store, reference) or "")]


def save(store: Store, chosen: Sequence[Chosen], write: Sink, *, form: Format = "docker-archive") -> None:
    """Write the archive; the same images always give the same bytes."""
    writer = _Writer(write)
    descriptors: list[dict[str, Any]] = []
    for item in chosen:
        descriptors += _named(item.names, _blobs(store, writer, item.image))
    _layout(writer, descriptors)
    if form == "docker-archive":
        writer.file("manifest.json", _json([_docker(item) for item in chosen]))
    write(END)


def save_several(
    store: Store,
    images: Sequence[Image],
    names: Sequence[str],
    write: Sink,
    *,
    of_index: Texts,
    of_descriptor: Texts,
) -> None:
    """Write an OCI archive with one index of images for several platforms, and these annotations of it."""
    writer = _Writer(write)
    data = _json(index([_blobs(store, writer, image) for image in images], of_index))
    descriptor = annotating.added(_descriptor(INDEX, writer.blob(data), len(data)), of_descriptor)
    _layout(writer, list(_named(names, descriptor)))
    write(END)


def index(manifests: Sequence[dict[str, Any]], texts: Texts) -> dict[str, Any]:
    """An index of descriptors."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
    return annotating.added(document, texts)


def _layout(writer: _Writer, descriptors: list[dict[str, Any]]) -> None:
    """The two files by which a layout is known."""
    writer.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    writer.file("index.json", _json(index(descriptors, {})))


def _blobs(store: Store, writer: _Writer, image: Image) -> dict[str, Any]:
    """Write layers, config and manifest of an image; the descriptor of the manifest."""
    sizes = [
        writer.layer(store, layer, digest) for layer, digest in zip(image.layers, image.diff_ids, strict=True)
    ]
    document = catalog.document(store, image.id)
    writer.blob(document)
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor("application/vnd.oci.image.config.v1+json", image.id, len(document)),
        "layers": [
            _descriptor("application/vnd.oci.image.layer.v1.tar", digest, size)
            for digest, size in zip(image.diff_ids, sizes, strict=True)
        ],
    }
    said = annotating.of(store, image.id)
    data = _json(annotating.added(manifest, said.manifest))
    descriptor = {**_descriptor(_MANIFEST, writer.blob(data), len(data)), "platform": platform(image)}
    return annotating.added(descriptor, said.descriptor)


def platform(image: Image) -> dict[str, str]:
    """What an image is for, as a descriptor says it."""
    variant = {"variant": image.variant} if image.variant else {}
    return {"architecture": image.architecture, "os": image.os, **variant}


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest, "size": size}


def _named(names: Sequence[str], descriptor: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One descriptor for each name, as docker and containerd have it."""
    if not names:
        yield descriptor
    for name in names:
        texts = {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        }
        yield annotating.added(descriptor, texts)


def _docker(chosen: Chosen) -> dict[str, Any]:
    return {
        "Config": _path(chosen.image.id),
        "RepoTags": [familiar(name) for name in chosen.names] or None,
        "Layers": [_path(digest) for digest in chosen.image.diff_ids],
    }


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Writer:
    """Files of the archive, blobs once each."""

    def __init__(self, write: Sink) -> None:
        self._write = write
        self._sizes: dict[str, int] = {}

    def file(self, name: str, data: bytes) -> None:
        self._write(header(name.encode(), b"0", size=len(data)) + data + bytes(padding(len(data))))

    def blob(self, data: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest not in self._sizes:
            self._sizes[digest] = len(data)
            self.file(_path(digest), data)
        return digest

    def layer(self, store: Store, layer_id: int, digest: str) -> int:
        """Write a layer, checked against its digest; its length."""
        if digest not in self._sizes:
            size = layers.tar_length(store, layer_id)
            self._sizes[digest] = size
            self._write(header(_path(digest).encode(), b"0", size=size))
            self._checked(store, layer_id, digest, size)
            self._write(bytes(padding(size)))
        return self._sizes[digest]

    def _checked(self, store: Store, layer_id: int, digest: str, size: int) -> None:
        hasher = hashlib.sha256()

        def both(data: bytes) -> None:
            hasher.update(data)
            self._write(data)

        layers.write_tar(store, layer_id, both)
        if "sha256:" + hasher.hexdigest() != digest:
            raise StoreError(
                f"layer {layer_id} was altered on disk: it is not {digest} any more",
                hint="'devbox check' lists what is damaged; load the image again",
            )


@contextlib.contextmanager
def output(path: str, compression: str = "none") -> Iterator[Sink]:
    """Where an archive goes: a file that appears when it is complete, or "" for stdout."""
    if not path:
        with _compressed(os.dup(1), compression) as write:
            yield write
        return
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        with _compressed(os.open(path, os.O_WRONLY | os.O_CLOEXEC), compression) as write:
            yield write
        return
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise NotFoundError(f"cannot write {path}: its directory does not exist")
    with replacing(path) as fd, _compressed(os.dup(fd), compression) as write:
        yield write


@contextlib.contextmanager
def _compressed(fd: int, compression: str) -> Iterator[Sink]:
    """A sink that writes to `fd`, and closes it at the end, through a program that compresses."""
    if compression == "none":
        with opened(fd):
            yield _sink(fd)
        return
    argv = _program(compression)
    try:
        with opened(fd), process.feeding(argv, (1, fd)) as feed:
            yield _sink(feed)
    except process.ProcessError as error:
        if error.status == -signal.SIGPIPE:
            raise BrokenPipeError from error
        raise StoreError(
            f"{argv[0]} could not compress the archive: it ended with status {error.status}",
            hint="is there room where it goes?",
        ) from error


def _program(compression: str) -> tuple[str, ...]:
    if compression not in _COMPRESSORS:
        raise UsageError(f"unknown compression: {compression!r}", hint="known are none, gzip and zstd")
    return process.first_of(*_COMPRESSORS[compression])


def _sink(fd: int) -> Callable[[bytes], None]:
    return lambda data: write_all(fd, data)
