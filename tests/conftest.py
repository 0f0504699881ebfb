"""Rings by folder: unit (no root, no network, fast), cli (what is printed), engine (root, a real kernel)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ENGINE = Path(__file__).parent / "engine"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if ENGINE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="engine tests make mounts and namespaces: run ./test as root"))
