from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devbox.container import records
from devbox.model.container import Container, ContainerConfig
from devbox.store.database import Store
from devbox.store.root import Root

IMAGE = "sha256:" + "a" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(Root(str(tmp_path / "state"), str(tmp_path / "run"))) as opened:
        opened.db.execute(
            "INSERT INTO images (id, created, architecture, os, variant, size, document)"
            " VALUES (?, 0, '', '', '', 0, '{}')",
            (IMAGE,),
        )
        yield opened


@pytest.fixture
def container(store: Store) -> Callable[[str], Container]:
    """Adds the row of a container."""

    def add(name: str) -> Container:
        value = Container(name.encode().hex().ljust(64, "0"), name, time.time(), IMAGE, "x", ContainerConfig())
        records.insert(store, value)
        return value

    return add
