"""Commands on a container that exists: stop, kill, remove, restart, wait, pause, rename."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator

from devbox.container import cgroups, exits, locks, records, runtime
from devbox.container.running import check_running, is_running
from devbox.container.start import start
from devbox.errors import ConflictError, ContainerRuntimeError, NotFoundError, StateError
from devbox.model.container import Container, ContainerConfig
from devbox.network import hosts
from devbox.store.database import Store
from devbox.system import procfs
from devbox.system.files import write_atomic

KILL_WAIT_SECONDS = 10.0
FROZEN_SECONDS = 0.5
"""what has not ended so long after SIGKILL may be frozen"""
BOOKING_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.005
_RESTART_POLL_SECONDS = 0.05


def stop(store: Store, container_id: str, *, timeout: int | None = None, number: int | None = None) -> None:
    """Ask a container to end, kill it after `timeout` seconds (-1: never), and book its end.

    One that does not run, or waits to be restarted, will not be restarted. `number` overrides its stop signal.
    """
    container = _last_run(store, container_id)
    if not is_running(container):
        _settle(store, container_id)
        return
    promise = locks.try_exit(store.root, container_id)
    try:
        wanted = container.config.stop_timeout if timeout is None else timeout
        _thaw(store, container)
        procfs.send_signal(container.pid, container.pid_start, number or _stop_signal(container))
        if not exits.await_death(container, None if wanted < 0 else float(wanted)):
            _kill_now(store, container)
        _book_or_await(store, container, promised=promise is not None)
    finally:
        if promise is not None:
            os.close(promise)
    records.announce(store, container, "stop")


def kill(store: Store, container_id: str, number: int = signal.SIGKILL) -> None:
    """Send a signal to a running container's first process; StateError when it does not run."""
    container = records.by_id(store, container_id)
    check_running(container)
    if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, _stop_signal(container)):
        _forbid_restart(store, container_id)
    if number == signal.SIGKILL:
        _thaw(store, container)
    procfs.send_signal(container.pid, container.pid_start, number)
    records.announce(store, container, "kill", signal=str(number))
    if number == signal.SIGKILL and _await_kill(store, container):
        _settle(store, container_id)


def remove(store: Store, container_id: str, *, force: bool = False, volumes_too: bool = False) -> None:
    """Delete a container and what only it has; a running one only by `force`, which kills it first."""
    container = _last_run(store, container_id) if force else records.by_id(store, container_id)
    if is_running(container):
        if not force:
            raise ConflictError(
                f"container {container.name} is {container.status}",
                hint=f"stop it with 'devbox stop {container.name}', or use 'devbox rm -f {container.name}'",
            )
        promise = locks.try_exit(store.root, container_id)
        try:
            _thaw(store, container)
            _kill_now(store, container)
            _book_or_await(store, container, promised=promise is not None)
        finally:
            if promise is not None:
                os.close(promise)
    _remove_stopped(store, container_id, volumes_too=volumes_too)


@contextlib.contextmanager
def killed(store: Store, container_ids: Iterable[str]) -> Iterator[None]:
    """Kill all of these that run, at once; in the block each is stopped, and its end is the block's to book.

    For `rm -f` of many, which would otherwise wait for one after the other.
    """
    with contextlib.ExitStack() as promises:
        running = []
        for container_id in container_ids:
            try:
                container = _last_run(store, container_id)
            except NotFoundError:
                continue
            promise = locks.try_exit(store.root, container_id)
            if promise is not None:
                promises.callback(os.close, promise)
            if is_running(container):
                _thaw(store, container)
                procfs.send_signal(container.pid, container.pid_start, signal.SIGKILL)
                running.append(container)
        dead = [container for container in running if _await_kill(store, container)]
        for container in dead:
            exits.await_exit_file(store, container)
        with runtime.deleting(store.root, *(container._replace(monitor_pid=0) for container in dead)):
            pass
        yield


def _remove_stopped(store: Store, container_id: str, *, volumes_too: bool) -> None:
    with locks.operation(store.root, container_id):
        try:
            container = records.by_id(store, container_id)
        except NotFoundError:
            return  # --rm, or another `rm -f`, was faster
        if is_running(container):
            raise ConflictError(f"container {container.name} was started again while it was being removed")
        if container.status in ("running", "paused"):
            exits.book(store, container._replace(stopped_by_user=True))
            if container.config.auto_remove:
                return
        exits.erase(store, container, volumes_too=volumes_too)


def restart(
    store: Store, container_id: str, *, timeout: int | None = None, number: int | None = None
) -> Container:
    """Stop a container if it runs, as `stop` does, and start it."""
    stop(store, container_id, timeout=timeout, number=number)
    container = start(store, container_id)
    records.announce(store, container, "restart")
    return container


def wait(store: Store, container_id: str) -> int:
    """Wait until a container does not run and return its exit code, even when --rm has deleted it."""
    container = records.by_id(store, container_id)
    while container.status in ("running", "paused", "restarting"):
        if is_running(container):
            exits.await_death(container, None)
        elif container.status == "restarting":
            time.sleep(_RESTART_POLL_SECONDS)
        try:
            container = _after_booking(store, container)
        except NotFoundError:
            return _recorded_exit_code(store, container_id)
    return container.exit_code


def _after_booking(store: Store, container: Container) -> Container:
    deadline = time.monotonic() + BOOKING_WAIT_SECONDS
    while time.monotonic() < deadline:
        current = records.by_id(store, container.id)
        if (current.status, current.pid) != (container.status, container.pid):
            return current
        if container.status == "restarting":
            return current
        time.sleep(_POLL_SECONDS)
    _settle(store, container.id)
    return records.by_id(store, container.id)


def _recorded_exit_code(store: Store, container_id: str) -> int:
    row = store.db.execute(
        "SELECT attributes_json FROM events WHERE actor = ? AND action = 'die' ORDER BY seq DESC LIMIT 1",
        (container_id,),
    ).fetchone()
    if row is None:
        raise NotFoundError(f"no such container: {container_id}")
    return int(json.loads(row["attributes_json"])["exitCode"])


def pause(store: Store, container_id: str) -> None:
    """Freeze every process of a running container."""
    _switch(store, container_id, "running", "paused", "pause")


def unpause(store: Store, container_id: str) -> None:
    """Let a paused container go on."""
    _switch(store, container_id, "paused", "running", "resume")


def _switch(store: Store, container_id: str, before: str, after: str, command: str) -> None:
    with locks.operation(store.root, container_id):
        container = records.by_id(store, container_id)
        if container.status != before or not is_running(container):
            refused = "already paused" if container.status == after == "paused" else f"not {before}"
            raise StateError(f"container {container.name} is {refused}")
        runtime.call(store.root, container, command)
        action = "pause" if after == "paused" else "unpause"
        try:
            with store.transaction():
                store.db.execute("UPDATE containers SET status = ? WHERE id = ?", (after, container_id))
                records.announce(store, container, action)
        except BaseException:
            if after == "paused":  # nobody would know why it stands still
                runtime.call(store.root, container, "resume")
            raise


def rename(store: Store, container_id: str, name: str) -> None:
    """Give a container another name; peers that resolve it see the new one at once."""
    records.check_name(name)
    with locks.operation(store.root, container_id):
        container = records.by_id(store, container_id)
        if container.name == name:
            raise ConflictError(f"container {container_id[:12]} already has the name {name!r}")
        with store.transaction():
            renamed = container._replace(name=name)
            records.update(store, renamed, "name")
            records.announce(store, renamed, "rename", oldName="/" + container.name)
    hosts.refresh_peers(store, container_id)


def update(store: Store, container_id: str, change: Callable[[ContainerConfig], ContainerConfig]) -> None:
    """Give a container other limits or another restart policy, at once when it runs.

    Raises HostError or UsageError for a limit that this host cannot hold, before anything has changed.
    """
    with locks.operation(store.root, container_id):
        container = records.by_id(store, container_id)
        changed = container._replace(config=change(container.config))
        host = cgroups.facts()
        cgroups.check(changed.config.resources, host)
        if changed.config.resources != container.config.resources and is_running(container):
            document = json.dumps(
                cgroups.update_document(container.config.resources, changed.config.resources, host)
            )
            path = store.root.bundle(container_id) + "/resources.json"
            write_atomic(path, document.encode(), durable=False)
            runtime.call(store.root, container, "update", "--resources", path)
        with store.transaction():
            records.update(store, changed, "config")
            records.announce(store, changed, "update")


def _stop_signal(container: Container) -> int:
    from devbox.model.values_parse import parse_signal

    return parse_signal(container.config.stop_signal)


def _thaw(store: Store, container: Container) -> None:
    """Let a paused container go on, since no signal reaches it while it is frozen."""
    if container.status == "paused":
        unpause(store, container.id)


def _await_kill(store: Store, container: Container) -> bool:
    """Wait until a container that got SIGKILL has ended.

    One that does not is let go on first: a `pause` that was killed before it wrote so has left it frozen.
    """
    if exits.await_death(container, FROZEN_SECONDS):
        return True
    with contextlib.suppress(ContainerRuntimeError):  # it is not frozen
        runtime.call(store.root, container, "resume")
    return exits.await_death(container, KILL_WAIT_SECONDS)


def _kill_now(store: Store, container: Container) -> None:
    procfs.send_signal(container.pid, container.pid_start, signal.SIGKILL)
    if not _await_kill(store, container):
        raise StateError(
            f"container {container.name} does not end on SIGKILL",
            hint=f"its process {container.pid} hangs in the kernel; 'dmesg' may say why",
        )


def _forbid_restart(store: Store, container_id: str) -> Container:
    with store.transaction():
        store.db.execute(
            "UPDATE containers SET stopped_by_user = 1, "
            "status = CASE status WHEN 'restarting' THEN 'exited' ELSE status END WHERE id = ?",
            (container_id,),
        )
    return records.by_id(store, container_id)


def _last_run(store: Store, container_id: str) -> Container:
    """Forbid restarts, and wait for one that is under way; the container may run then, but for the last time."""
    container = _forbid_restart(store, container_id)
    if is_running(container):
        return container
    with locks.operation(store.root, container_id):
        # again: a start that has just been recorded has allowed them, even if what it started has ended by now
        return _forbid_restart(store, container_id)


def _book_or_await(store: Store, container: Container, *, promised: bool) -> None:
    """Book the end of a container that is dead, or wait for the process that has promised to."""
    if not promised:
        deadline = time.monotonic() + BOOKING_WAIT_SECONDS
        while time.monotonic() < deadline:
            row = store.db.execute("SELECT status, pid FROM containers WHERE id = ?", (container.id,)).fetchone()
            if row is None or row["pid"] != container.pid:
                return
            handle = locks.try_exit(store.root, container.id)
            if handle is not None:
                os.close(handle)
                break
            time.sleep(_POLL_SECONDS)
    _settle(store, container.id)


def finish(store: Store, container: Container) -> int:
    """The exit code of a container that has just been let go by the caller, who has promised to book its end."""
    exits.await_death(container, None)
    ended = _settle(store, container.id)
    return _recorded_exit_code(store, container.id) if ended is None else ended.exit_code


def _settle(store: Store, container_id: str) -> Container | None:
    """Book the end of a container whose row still says that it runs although it does not.

    Returns what it was at its end, None when another command was faster.
    """
    with locks.operation(store.root, container_id):
        try:
            container = records.by_id(store, container_id)
        except NotFoundError:
            return None
        if container.status not in ("running", "paused") or is_running(container):
            return None
        exits.await_exit_file(store, container)
        return exits.book(store, container)
