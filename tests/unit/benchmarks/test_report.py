"""The table of the benchmarks: medians, ratios, and what counts as reached."""

from __future__ import annotations

import pytest

from benchmarks.engines import Engine, FailedError
from benchmarks.report import Result, table
from benchmarks.rows import Goal, Row, at_most, samples, times

DEVBOX = Engine("devbox", "1", ("true",), {})
DOCKER = Engine("docker", "2", ("true",), {})


def row(goal: Goal | None = None) -> Row:
    return Row("work", "`work`", lambda engine: 1.0, goal)


@pytest.mark.parametrize(
    ("goal", "values", "verdict"),
    [
        (at_most(50), [50.0], "yes"),
        (at_most(50), [51.0], "NO"),
        (times(0.5), [99.0], "yes"),
        (times(0.5), [101.0], "NO"),
        (times(0.5, peer="docker"), [149.0], "yes"),
        (times(0.5, peer="buildah"), [1.0], "?"),
        (None, [1.0], ""),
        (at_most(50), [], "?"),
    ],
)
def test_a_goal_is_reached_or_not(goal: Goal | None, values: list[float], verdict: str) -> None:
    result = Result(row(goal), {"devbox": values, "docker": [300.0], "podman": [200.0]})
    *_, last = table([result], ["devbox", "docker", "podman"], markdown=True).splitlines()
    assert last.split("|")[-2].strip() == verdict


def test_the_table_has_medians_and_ratios() -> None:
    result = Result(row(times(0.5)), {"devbox": [9.0, 1.0, 2.04], "docker": [4.0, 4.0, 100.0], "podman": []})
    text = table([result], ["devbox", "docker", "podman"], markdown=True).splitlines()[-1]
    assert text == "| `work` | 2.0 ms | 4.0 ms | - | 0.51 | - | <= 0.5 x the faster peer = 2.0 ms | NO |"


def test_engines_are_measured_in_turn_and_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.rows.SETTLE_SECONDS", 0)
    order: list[str] = []

    def sample(engine: Engine) -> float:
        order.append(engine.name)
        return float(len(order))

    found = samples(Row("work", "work", sample), [DEVBOX, DOCKER], 2)
    assert order == ["devbox", "docker"] * 3
    assert found == {"devbox": [3.0, 5.0], "docker": [4.0, 6.0]}


def test_an_engine_that_fails_is_left_out_and_cleaned_up_after(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.rows.SETTLE_SECONDS", 0)
    cleaned: list[str] = []

    def sample(engine: Engine) -> float:
        if engine is DOCKER:
            raise FailedError("no such thing")
        return 1.0

    found = samples(
        Row("work", "work", sample, clean=lambda engine: cleaned.append(engine.name)), [DEVBOX, DOCKER], 1
    )
    assert found == {"devbox": [1.0], "docker": []}
    assert cleaned == ["devbox", "docker"]
    assert "work: docker: no such thing" in capsys.readouterr().err
