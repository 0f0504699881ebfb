"""Image archives as other tools, and hostile authors, write them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Member = tuple[tarfile.TarInfo, bytes]
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DIRECTORY, LINK, HARD_LINK = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def member(name: str, data: bytes = b"", **fields: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    if fields.get("type") == DIRECTORY:
        info.mode = 0o755
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, errors="surrogateescape") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    return tar(*(member(name, data) for name, data in files.items()))


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def config(layers: Sequence[bytes], settings: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """The config document of an image with these plain layers."""
    rootfs = {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]}
    document = {"architecture": "amd64", "os": "linux", "config": settings or {}, "rootfs": rootfs}
    return as_json({**document, **fields})


class Layout:
    """An OCI layout, to be written as a tar or a directory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.listed: list[dict[str, Any]] = []

    def blob(self, data: bytes, kind: str = LAYER, **fields: Any) -> dict[str, Any]:
        """Store a blob; its descriptor."""
        self.files["blobs/" + sha256(data).replace(":", "/")] = data
        return {"mediaType": kind, "digest": sha256(data), "size": len(data), **fields}

    def image(
        self, layers: Sequence[bytes], /, *, document: bytes = b"", squeeze: bool = False, **manifest: Any
    ) -> dict[str, Any]:
        """Store an image; the descriptor of its manifest, in which `manifest` changes fields."""
        blobs = [
            self.blob(gzip.compress(layer, 1), LAYER + "+gzip") if squeeze else self.blob(layer)
            for layer in layers
        ]
        shape = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(document or config(layers), CONFIG),
            "layers": blobs,
        }
        return self.blob(as_json({**shape, **manifest}), MANIFEST)

    def list(self, descriptor: dict[str, Any], name: str = "", **fields: Any) -> None:
        """Let index.json name a manifest or an index."""
        named = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        self.listed.append({**descriptor, **named, **fields})

    def all(self) -> dict[str, bytes]:
        index = as_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.listed})
        return {"index.json": index, **self.files}

    def tar(self) -> bytes:
        return tar_of(self.all())

    def write(self, path: Path) -> Path:
        for name, data in self.all().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path


def docker_archive(layers: Sequence[bytes], *tags: str, document: bytes = b"") -> bytes:
    """As podman and skopeo write it: a file for each different layer."""
    document = document or config(layers)
    names = [sha256(layer)[7:] + ".tar" for layer in layers]
    manifest = [{"Config": sha256(document)[7:] + ".json", "RepoTags": list(tags), "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    return tar_of({**files, manifest[0]["Config"]: document, "manifest.json": as_json(manifest)})  # type: ignore[dict-item]
