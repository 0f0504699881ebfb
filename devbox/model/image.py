"""Images as OCI's image spec describes them, with the layers they are mounted from."""

from collections.abc import Mapping
from typing import NamedTuple

from devbox.model.container import HealthCheck


class HistoryEntry(NamedTuple):
    """One entry of the config's `history`."""

    created: str = ""
    """RFC 3339, as in the config"""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


class ImageConfig(NamedTuple):
    """What an image's config says about running it."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    exposed: tuple[str, ...] = ()
    """"80/tcp" """
    volumes: tuple[str, ...] = ()
    """absolute paths"""
    labels: Mapping[str, str] = {}
    stop_signal: str = ""
    health: HealthCheck | None = None
    shell: tuple[str, ...] = ()
    onbuild: tuple[str, ...] = ()


class Image(NamedTuple):
    """A row of the `images` table with its layers, lowest first."""

    id: str
    """"sha256:<64 hex>": the digest of the config"""
    created: float
    architecture: str
    os: str
    variant: str
    config: ImageConfig
    layers: tuple[int, ...]
    """row ids in `layers`, which also name their directories"""
    diff_ids: tuple[str, ...]
    history: tuple[HistoryEntry, ...]
    size: int
    """bytes of all layers, unpacked"""
    author: str = ""
    comment: str = ""
