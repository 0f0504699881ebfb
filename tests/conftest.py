"""Rings by folder: unit (no root, no network, fast), cli (what is printed), engine (root, a real kernel)."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import hypothesis
import hypothesis.configuration
import pytest

ENGINE = Path(__file__).parent / "engine"

# names without a registry mean one that is far away: no test asks it, and none reads this machine's passwords
os.environ["CONTAINERS_REGISTRIES_CONF"] = str(Path(__file__).parent / "data/registries.conf")
os.environ["REGISTRY_AUTH_FILE"] = str(Path(__file__).parent / "data/auth.json")

# a shell that starts us in the background has it ignored, and so would be what the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes says how busy this machine is, and nothing of what is tested
hypothesis.settings.register_profile(
    "any load", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any load")

# in a developer's checkout, root's files would be in the way
if os.geteuid() != Path(__file__).stat().st_uid:
    kept = tempfile.TemporaryDirectory(prefix="devbox-hypothesis-")
    hypothesis.configuration.set_hypothesis_home_dir(kept.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if ENGINE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="engine tests make mounts and namespaces: run ./test as root"))
