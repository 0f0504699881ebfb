"""Named volumes."""

from collections.abc import Mapping
from typing import NamedTuple


class Volume(NamedTuple):
    """A row of the `volumes` table."""

    name: str
    created: float
    mountpoint: str
    anonymous: bool = False
    driver: str = "local"
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
