"""The process of ours that checks a container's health as long as the container runs."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time

from devbox.container import exits, locks, records
from devbox.container.execute import capture
from devbox.container.health import command, interval, judge, wanted
from devbox.errors import DevboxError, NotFoundError
from devbox.model.container import Container, HealthCheck
from devbox.store.database import Store


def watch(store: Store, container_id: str) -> None:
    """Check a container on its interval until it ends; does nothing when another process does it already."""
    single = locks.try_health(store.root, container_id)
    if single is None:
        return
    try:
        container = now = records.by_id(store, container_id)
        health = wanted(container)
        while health is not None and not exits.await_death(container, interval(health, now, time.time())):
            if records.by_id(store, container_id).status == "running":
                _check_once(store, container, health)
            now = records.by_id(store, container_id)
    except NotFoundError:
        return  # it was removed


def _check_once(store: Store, container: Container, health: HealthCheck) -> None:
    began = time.time()
    try:
        code, output = capture(store, container, command(health), timeout=health.timeout)
    except DevboxError as error:
        code, output = -1, error.message.encode()
    if code == -1 and not output:
        output = b"health check exceeded its timeout of %g s" % health.timeout
    with store.transaction():
        current = records.by_id(store, container.id)
        if current.pid != container.pid or current.status != "running":
            return
        entry = {
            "Start": began,
            "End": time.time(),
            "ExitCode": code,
            "Output": output.decode(errors="replace"),
        }
        checked = judge(current.health, entry, health, starting=began - container.started < health.start_period)
        records.update(store, current._replace(health=checked), "health")
        if checked["Status"] != current.health.get("Status"):
            records.announce(store, current, f"health_status: {checked['Status']}")
