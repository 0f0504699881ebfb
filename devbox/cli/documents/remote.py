"""`devbox image inspect --remote` in the shape of docker's image inspect."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
from typing import Any

from devbox.cli.documents.image import settings
from devbox.cli.units import rfc3339
from devbox.image import config
from devbox.image.transfers import remote
from devbox.model.reference import familiar
from devbox.registry.repository import Manifest, Repository


def document(repository: Repository, top: Manifest, platform: str) -> dict[str, Any]:
    """What a registry has, without fetching a layer; sizes are those of the compressed layers."""
    found = remote.read(repository, top, platform)
    read = config.parse(found.document)
    written = json.loads(found.document)
    parsed = remote.parse(top)
    reference = repository.reference
    return {
        "Id": found.config.digest,
        "RepoTags": [] if reference.digest else [familiar(reference.tagged)],
        "RepoDigests": [f"{familiar(reference.repository)}@{top.digest}"],
        "Created": rfc3339(read.created),
        "Author": read.author,
        "Config": settings(read.config, written.get("config") or {}),
        "Architecture": read.architecture,
        "Variant": read.variant,
        "Os": read.os,
        "Size": sum(layer.size for layer in found.layers),
        "RootFS": {"Type": "layers", "Layers": list(read.diff_ids)},
        "Manifest": {"Digest": found.manifest.digest, "Size": len(found.manifest.data)},
        "Layers": [
            {"Digest": layer.digest, "Size": layer.size, "MediaType": layer.media_type} for layer in found.layers
        ],
        "Platforms": [str(each) for each in remote.platforms(parsed)] if remote.is_index(parsed) else [],
    }
