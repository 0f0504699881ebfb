"""The machine is about to go off: every container ends in peace, and comes back with `restarts.restore`."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import signal
import time
from collections.abc import Sequence

from devbox.container import exits, life, locks, records
from devbox.container.running import is_running
from devbox.errors import NotFoundError, StateError
from devbox.model.container import Container, RestartPolicy
from devbox.model.values_parse import parse_signal
from devbox.store.database import Store
from devbox.system import procfs

LONGEST_SECONDS = 90.0
"""for containers that may take as long as they like; the unit allows a little more"""
_QUIET_ROUNDS = 3
_ROUND_SECONDS = 0.1
"""one that was about to be restarted when we came may still start: we are done when none did for a while"""


def shut_down(store: Store) -> None:
    """Send all running containers their stop signals at once, kill each after its own time-out, and book the ends.

    No end counts as the user's: policies apply after the next boot, and not before.
    """
    quiet = 0
    while quiet < _QUIET_ROUNDS:
        with store.transaction():
            # a process that waits out a back-off finds that nothing is to be started any more
            store.db.execute("UPDATE containers SET status = 'exited' WHERE status = 'restarting'")
        living = [container for container in records.every(store) if container.status in ("running", "paused")]
        if living:
            _end(store, living)
        quiet = 0 if living else quiet + 1
        time.sleep(_ROUND_SECONDS)


def _end(store: Store, living: Sequence[Container]) -> None:
    with contextlib.ExitStack() as promises:
        for container in living:
            promise = locks.try_exit(store.root, container.id)
            if promise is not None:
                promises.callback(os.close, promise)
            _ask(store, container)
        began = time.monotonic()
        for container in sorted(living, key=_patience):
            left = began + _patience(container) - time.monotonic()
            if is_running(container) and not exits.await_death(container, max(0.0, left)):
                procfs.send_signal(container.pid, container.pid_start, signal.SIGKILL)
                exits.await_death(container, life.KILL_WAIT_SECONDS)
            _book(store, container.id)


def _ask(store: Store, container: Container) -> None:
    if container.status == "paused":
        with contextlib.suppress(StateError):  # somebody else let it go on, or it has ended
            life.unpause(store, container.id)
    procfs.send_signal(container.pid, container.pid_start, parse_signal(container.config.stop_signal))


def _patience(container: Container) -> float:
    asked = container.config.stop_timeout
    return LONGEST_SECONDS if asked < 0 else min(float(asked), LONGEST_SECONDS)


def _book(store: Store, container_id: str) -> None:
    with locks.operation(store.root, container_id):
        try:
            container = records.by_id(store, container_id)
        except NotFoundError:
            return
        if container.status in ("running", "paused") and not is_running(container):
            exits.await_exit_file(store, container)
            # without a policy for this end only: the one in its row is not written
            exits.book(store, container._replace(config=container.config._replace(restart=RestartPolicy())))
