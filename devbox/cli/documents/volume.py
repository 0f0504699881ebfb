"""`devbox volume inspect` in docker's shape."""

from __future__ import annotations

from typing import Any

from devbox.cli.documents import mapped_or_nil
from devbox.cli.units import rfc3339
from devbox.model.volume import Volume


def document(volume: Volume) -> dict[str, Any]:
    """The whole document."""
    return {
        "CreatedAt": rfc3339(int(volume.created)),
        "Driver": volume.driver,
        "Labels": mapped_or_nil(volume.labels),
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": mapped_or_nil(volume.options),
        "Scope": "local",
    }
