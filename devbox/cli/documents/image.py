"""`devbox inspect IMAGE` in docker's shape."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
from typing import Any

from devbox.cli.documents import keys, listed, mapped, mapped_or_nil
from devbox.cli.templates.values import ABSENT, ABSENT_LIST, ABSENT_MAP, ABSENT_TEXT
from devbox.cli.units import rfc3339
from devbox.image import catalog
from devbox.model.image import Image, ImageConfig
from devbox.model.reference import familiar
from devbox.store.database import Store


def document(store: Store, image: Image) -> dict[str, Any]:
    """The whole document."""
    written = json.loads(catalog.document(store, image.id))
    tags = catalog.tags_of(store, image.id)
    return {
        "Id": image.id,
        "RepoTags": [familiar(name) for name in tags],
        "RepoDigests": [familiar(name) for name in catalog.digests_of(store, image.id)],
        "Parent": "",
        "Comment": image.comment or (image.history[-1].comment if image.history else ""),
        "Created": rfc3339(image.created),
        "DockerVersion": str(written.get("docker_version") or ""),
        "Author": image.author,
        "Config": settings(image.config, written.get("config") or {}),
        "Architecture": image.architecture,
        "Variant": image.variant or ABSENT_TEXT,
        "Os": image.os,
        "Size": image.size,
        "GraphDriver": _graph_driver(store, image),
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids) or ABSENT_LIST},
        "Metadata": {"LastTagTime": rfc3339(_last_tag_time(store, image))},
    }


def settings(config: ImageConfig, written: dict[str, Any]) -> dict[str, Any]:
    """The object `Config`, of what a config document says and how it is written there."""
    return {
        "Hostname": str(written.get("Hostname") or ""),
        "Domainname": str(written.get("Domainname") or ""),
        "User": config.user,
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "ExposedPorts": keys(config.exposed) or ABSENT_MAP,
        "Tty": False,
        "OpenStdin": False,
        "StdinOnce": False,
        "Env": listed(config.env),
        "Cmd": listed(config.command),
        "Healthcheck": written.get("Healthcheck") or ABSENT,
        "ArgsEscaped": written.get("ArgsEscaped") or ABSENT,
        "Image": str(written.get("Image") or ""),
        "Volumes": mapped_or_nil(keys(config.volumes)),
        "WorkingDir": config.working_dir,
        "Entrypoint": listed(config.entrypoint),
        "OnBuild": listed(config.onbuild),
        "Labels": mapped_or_nil(config.labels),
        "StopSignal": config.stop_signal or ABSENT_TEXT,
        "Shell": list(config.shell) or ABSENT_LIST,
    }


def _graph_driver(store: Store, image: Image) -> dict[str, Any]:
    paths = [f"{store.root.layers}/{layer}/diff" for layer in reversed(image.layers)]
    data = {"UpperDir": paths[0] if paths else "", "LowerDir": ":".join(paths[1:])}
    return {"Data": mapped({name: value for name, value in data.items() if value}), "Name": "overlay2"}


def _last_tag_time(store: Store, image: Image) -> float:
    row = store.db.execute("SELECT max(at) AS at FROM tag_moves WHERE image_id = ?", (image.id,)).fetchone()
    return float(row["at"] or 0)
