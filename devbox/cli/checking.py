"""What `devbox check` asks of each room."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Iterator

from devbox.container import check as containers
from devbox.image import check as images
from devbox.model.problem import Problem
from devbox.network import check as networks
from devbox.store.database import Store


def problems(store: Store, *, repair: bool) -> Iterator[Problem]:
    """Everything that is wrong, put right where that is wanted and possible."""
    yield from containers.repair(store) if repair else containers.find(store)
    yield from images.repair(store) if repair else images.find(store)
    yield from networks.repair(store) if repair else networks.find(store)
