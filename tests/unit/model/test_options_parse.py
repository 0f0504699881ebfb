from __future__ import annotations

import pytest

from devbox.errors import UsageError
from devbox.model.container import HealthCheck, LogConfig, Resources
from devbox.model.options_parse import (
    parse_count,
    parse_health,
    parse_hostname,
    parse_label,
    parse_label_file,
    parse_log,
    parse_resources,
    parse_throttle,
)

NOTHING = dict.fromkeys(
    (
        *("memory", "memory_swap", "memory_reservation", "cpus", "cpu_shares", "cpuset_cpus", "pids_limit"),
        *("cpu_period", "cpu_quota", "cpuset_mems"),
    ),
    "",
)
MIB = 1 << 20


def limits(base: Resources | None = None, **options: str) -> Resources:
    return parse_resources({**NOTHING, **options}, base or Resources())


def test_labels() -> None:
    assert parse_label("a") == ("a", "")
    assert parse_label("a=b=c") == ("a", "b=c")
    for text in ("", "=x", " a=b"):
        with pytest.raises(UsageError):
            parse_label(text)


def test_a_label_file() -> None:
    assert parse_label_file("\ufeff# note\n\n a=1\nb\n", "f") == (("a", "1"), ("b", ""))
    with pytest.raises(UsageError, match="f, line 2"):
        parse_label_file("a=1\nb c=2\n", "f")


@pytest.mark.parametrize("name", ["web", "web-1.example.org", "a" * 63])
def test_host_names(name: str) -> None:
    assert parse_hostname(name, "--hostname") == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", "a b", "a\nb", "a" * 64, "ä", "a_b"])
def test_malformed_host_names(name: str) -> None:
    with pytest.raises(UsageError):
        parse_hostname(name, "--hostname")


@pytest.mark.parametrize("text", ["", "x", "1.5", "11", "-1", "\u0661", "9" * 30])
def test_counts_outside_their_range(text: str) -> None:
    with pytest.raises(UsageError, match="--n"):
        parse_count(text, "--n", most=10)


def test_logs() -> None:
    assert parse_log("", ()) == LogConfig()
    assert parse_log("json-file", ("max-size=5m", "max-file=2")) == LogConfig("json-file", 5 * MIB, 2)
    assert parse_log("none", ()).driver == "none"
    assert parse_log("", ("max-size=-1",)).max_size == -1


@pytest.mark.parametrize(
    ("driver", "option"),
    [("syslog", ""), ("none", "max-size=1m"), ("", "compress=true"), ("", "max-file=0"), ("", "max-size=x")],
)
def test_logs_that_cannot_be_honoured(driver: str, option: str) -> None:
    with pytest.raises(UsageError):
        parse_log(driver, (option,) if option else ())


class TestHealth:
    image = HealthCheck(("CMD", "probe"), interval=5.0, retries=9)

    def test_of_the_image(self) -> None:
        assert parse_health({}, self.image) == self.image
        assert parse_health({"cmd": ""}, None) is None

    def test_one_option_over_the_image(self) -> None:
        assert parse_health({"interval": "1m", "cmd": ""}, self.image) == self.image._replace(interval=60.0)

    def test_a_command_of_its_own(self) -> None:
        merged = parse_health({"start-interval": "1s", "start-period": "9s"}, self.image)
        assert merged == self.image._replace(start_interval=1.0, start_period=9.0)
        merged = parse_health({"cmd": "curl -f localhost", "retries": "2"}, self.image)
        assert merged == HealthCheck(("CMD-SHELL", "curl -f localhost"), interval=5.0, retries=2)

    def test_zero_is_the_default(self) -> None:
        merged = parse_health({"interval": "0", "timeout": "0s", "retries": "0"}, self.image)
        assert merged == HealthCheck(("CMD", "probe"))

    def test_an_image_does_not_choose_a_busy_loop_but_the_user_may(self) -> None:
        hostile = self.image._replace(interval=1e-9, timeout=1e-9)
        for given, interval in (({}, 1.0), ({"timeout": "2s"}, 1.0), ({"interval": "100ms"}, 0.1)):
            kept = parse_health(given, hostile)
            assert kept is not None
            assert kept.interval == interval
            assert kept.timeout >= 0.001

    def test_one_that_the_image_switched_off(self) -> None:
        assert parse_health({}, HealthCheck(("NONE",))) is None

    @pytest.mark.parametrize("options", [{"interval": "1us", "cmd": "x"}, {"retries": "-1", "cmd": "x"},
                                         {"timeout": "5", "cmd": "x"}, {"interval": "5s"}])  # fmt: skip
    def test_refused(self, options: dict[str, str]) -> None:
        with pytest.raises(UsageError):
            parse_health(options, None)


class TestResources:
    def test_by_default_only_processes_are_limited(self) -> None:
        assert limits() == Resources(pids_limit=4096)

    def test_all(self) -> None:
        wanted = limits(
            memory="64m",
            memory_swap="96m",
            memory_reservation="32m",
            cpus="1.5",
            cpu_shares="512",
            cpuset_cpus="0-1,3",
            pids_limit="9",
        )
        assert wanted == Resources(64 * MIB, 96 * MIB, 1.5, 512, "0-1,3", 9, 32 * MIB)

    @pytest.mark.parametrize("text", ["-1", "0"])
    def test_unlimited_processes(self, text: str) -> None:
        assert limits(pids_limit=text).pids_limit is None

    def test_unlimited_swap(self) -> None:
        assert limits(memory="64m", memory_swap="-1").memory_swap == -1

    def test_what_is_not_given_stays(self) -> None:
        assert limits(Resources(memory=64 * MIB), cpus="1") == Resources(memory=64 * MIB, cpus=1.0)

    @pytest.mark.parametrize(
        "options",
        [
            {"memory": "1m"},
            {"memory": "64m", "memory_swap": "32m"},
            {"memory_swap": "64m"},
            {"memory": "64m", "memory_reservation": "65m"},
            {"cpu_shares": "1"},
            {"cpu_shares": "262145"},
            {"cpu_shares": "-5"},
            {"cpuset_cpus": "a"},
            {"cpuset_cpus": "3-1"},
            {"cpuset_cpus": "0,"},
            {"pids_limit": "-2"},
            {"cpus": "-1"},
        ],
    )
    def test_refused(self, options: dict[str, str]) -> None:
        with pytest.raises(UsageError):
            limits(None, **options)

    def test_an_update_below_the_swap_that_is_set(self) -> None:
        with pytest.raises(UsageError, match="--memory-swap"):
            limits(Resources(memory=64 * MIB, memory_swap=64 * MIB), memory="128m")


def test_a_quota_of_processor_time() -> None:
    assert limits(cpu_quota="25000", cpu_period="50000")[-3:] == (50000, 25000, "")
    base = Resources(cpu_quota=25000, cpu_period=50000)
    assert limits(base, cpu_quota="-1", cpu_period="0") == Resources()
    for wrong in ("999", "x", "1000001"):
        with pytest.raises(UsageError, match="--cpu-period"):
            limits(cpu_period=wrong)
    for wrong in ("999", "x", "-2"):
        with pytest.raises(UsageError, match="--cpu-quota"):
            limits(cpu_quota=wrong)
    with pytest.raises(UsageError, match="conflicting"):
        limits(Resources(cpus=1.0), cpu_quota="25000")


def test_limits_of_devices() -> None:
    assert parse_throttle("read_bps", "/dev/a:1mb") == ("read_bps", "/dev/a", MIB)
    assert parse_throttle("write_iops", "/dev/a:1:7") == ("write_iops", "/dev/a:1", 7)
    for text in ("/dev/a", "a:1", "/dev/a:x", "/dev/a:", ":1"):
        with pytest.raises(UsageError, match="--device-write-iops"):
            parse_throttle("write_iops", text)
