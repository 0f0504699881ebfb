"""Whether a container runs: what its row says, held against the kernel."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.errors import StateError
from devbox.model.container import Container
from devbox.system import procfs


def is_running(container: Container) -> bool:
    """Whether the container's first process is alive."""
    return container.boot_id == procfs.boot_id() and procfs.alive(container.pid, container.pid_start)


def check_running(container: Container) -> None:
    """Raise StateError for a container that does not run."""
    if not is_running(container):
        raise StateError(
            f"container {container.name} is not running", hint=f"start it first: devbox start {container.name}"
        )


def check_not_paused(container: Container) -> None:
    """Raise StateError for a container that is paused."""
    if container.status == "paused":
        raise StateError(
            f"container {container.name} is paused", hint=f"unpause it first: devbox unpause {container.name}"
        )
