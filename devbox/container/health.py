"""Health checks: what is checked, and what a result means. `checking` has the process that runs them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping
from typing import Any, Literal

from devbox.container import again
from devbox.model.container import Container, HealthCheck
from devbox.store.root import Root

LOG_KEPT = 5
STARTING: Mapping[str, Any] = {"Status": "starting", "FailingStreak": 0, "Log": []}
"""docker's State.Health before the first check"""

Status = Literal["starting", "healthy", "unhealthy"]


def wanted(container: Container) -> HealthCheck | None:
    """The check of a container, None when it has none."""
    health = container.config.health
    return None if health is None or not health.test or health.test[0] == "NONE" else health


def begin(root: Root, container: Container) -> None:
    """Start the process that checks a container which has just been started."""
    if wanted(container) is not None:
        again.detached(root, "health", container.id)


def command(health: HealthCheck) -> tuple[str, ...]:
    """The words that a check runs."""
    kind, *words = health.test
    return ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)


def interval(health: HealthCheck, container: Container, now: float) -> float:
    """Seconds until the next check (pure)."""
    begun = bool(container.health) and container.health["Status"] != "starting"
    if begun or now - container.started >= health.start_period:
        return health.interval
    return health.start_interval


def judge(
    before: Mapping[str, Any], entry: Mapping[str, Any], health: HealthCheck, *, starting: bool
) -> dict[str, Any]:
    """docker's State.Health after one more check (pure).

    Failures in the start period do not count; `retries` of them in a row make it unhealthy, one success healthy.
    """
    before = before or STARTING
    status: Status = before["Status"]
    streak: int = before["FailingStreak"]
    if entry["ExitCode"] == 0:
        status, streak = "healthy", 0
    elif not (starting and status == "starting"):
        streak += 1
        status = "unhealthy" if streak >= health.retries else status
    return {"Status": status, "FailingStreak": streak, "Log": [*before["Log"], entry][-LOG_KEPT:]}
