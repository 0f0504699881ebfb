from __future__ import annotations

from typing import Any

import pytest

from devbox.container.exits import wants_restart
from devbox.container.health import STARTING, command, interval, judge
from devbox.container.restarts import backoff
from devbox.model.container import Container, ContainerConfig, HealthCheck, RestartPolicy

CHECK = HealthCheck(("CMD-SHELL", "test -e /ok"), retries=2)


def entry(code: int) -> dict[str, Any]:
    return {"Start": 1.0, "End": 2.0, "ExitCode": code, "Output": ""}


def test_a_shell_line_and_plain_words() -> None:
    assert command(CHECK) == ("/bin/sh", "-c", "test -e /ok")
    assert command(HealthCheck(("CMD", "redis-cli", "ping"))) == ("redis-cli", "ping")


def test_it_takes_retries_failures_in_a_row_to_be_unhealthy() -> None:
    once = judge(STARTING, entry(1), CHECK, starting=False)
    assert (once["Status"], once["FailingStreak"]) == ("starting", 1)
    twice = judge(once, entry(1), CHECK, starting=False)
    assert (twice["Status"], twice["FailingStreak"]) == ("unhealthy", 2)
    again = judge(twice, entry(0), CHECK, starting=False)
    assert (again["Status"], again["FailingStreak"]) == ("healthy", 0)
    assert judge(again, entry(1), CHECK, starting=False)["Status"] == "healthy"


def test_failures_in_the_start_period_do_not_count() -> None:
    early = judge(STARTING, entry(1), CHECK, starting=True)
    assert (early["Status"], early["FailingStreak"]) == ("starting", 0)
    assert judge(early, entry(0), CHECK, starting=True)["Status"] == "healthy"


def test_a_container_that_starts_is_checked_on_an_interval_of_its_own() -> None:
    slow = CHECK._replace(interval=60.0, start_period=10.0, start_interval=0.5)

    def at(now: float, status: str = "starting", check: HealthCheck = slow) -> float:
        health = {"Status": status, "FailingStreak": 0, "Log": []}
        return interval(
            check, Container("f" * 64, "c", 0.0, "", "", ContainerConfig(), started=100.0, health=health), now
        )

    assert (at(100.0), at(109.9)) == (0.5, 0.5)
    assert (at(110.0), at(105.0, "healthy")) == (60.0, 60.0)
    assert at(100.0, check=CHECK) == 30.0, "without a start period there is none"


def test_the_last_five_results_are_kept() -> None:
    health: Any = STARTING
    for code in range(1, 8):
        health = judge(health, entry(code), CHECK, starting=False)
    assert [kept["ExitCode"] for kept in health["Log"]] == [3, 4, 5, 6, 7]


def ended(policy: RestartPolicy, **fields: Any) -> Container:
    config = ContainerConfig(restart=policy)
    return Container("a" * 64, "web", 0.0, "sha256:" + "b" * 64, "busybox", config, **fields)


@pytest.mark.parametrize(
    ("policy", "fields", "back"),
    [
        (RestartPolicy(), {"exit_code": 1}, False),
        (RestartPolicy("always"), {"exit_code": 0}, True),
        (RestartPolicy("always"), {"exit_code": 0, "stopped_by_user": True}, False),
        (RestartPolicy("unless-stopped"), {"exit_code": 1}, True),
        (RestartPolicy("on-failure"), {"exit_code": 0}, False),
        (RestartPolicy("on-failure"), {"exit_code": 3, "restart_count": 9}, True),
        (RestartPolicy("on-failure", 2), {"exit_code": 3, "restart_count": 1}, True),
        (RestartPolicy("on-failure", 2), {"exit_code": 3, "restart_count": 2}, False),
    ],
)
def test_who_comes_back(policy: RestartPolicy, fields: dict[str, Any], back: bool) -> None:
    assert wants_restart(ended(policy, **fields)) is back


def test_the_back_off_doubles_to_a_minute_and_starts_anew_after_a_steady_run() -> None:
    always = RestartPolicy("always")
    times = [0.0]
    for count in range(30):
        times.append(backoff(ended(always, started=0.0, finished=1.0, restart_count=count), times[-1]))
    assert times[1:4] == [0.1, 0.2, 0.4]
    assert times[-1] == 60.0
    assert backoff(ended(always, started=0.0, finished=11.0, restart_count=30), 60.0) == 0.1
    assert backoff(ended(always, started=0.0, finished=1.0, restart_count=31), 0.1) == 0.2
    assert backoff(ended(always, started=9.0, finished=1.0, restart_count=31), 0.2) == 0.4, "the clock went back"
