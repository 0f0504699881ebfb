"""Values of options that belong to no other file: labels, health checks, logs, names, limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from devbox.errors import UsageError
from devbox.model.container import HealthCheck, LogConfig, Resources, Throttle
from devbox.model.values_parse import named_lines, parse_cpus, parse_duration, parse_memory, parse_size

PERIOD_RANGE = (1000, 1_000_000)
"""microseconds, the kernel's"""
SHARES_RANGE = (2, 262_144)
HEALTH_TIME_LEAST = 0.001
"""seconds, as docker has it"""
IMAGE_INTERVAL_LEAST = 1.0
_HOST_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*"
_CPU_LIST = r"[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?)*"


def is_text(text: str) -> bool:
    """Whether UTF-8 and C can hold it: no byte that is no text, no half of a character, no NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def parse_label(text: str) -> tuple[str, str]:
    """Read KEY or KEY=VALUE."""
    key, _, value = text.partition("=")
    if not key or key != key.strip() or "\0" in text:
        raise UsageError(f"invalid label {text!r}", hint="write it as KEY or KEY=VALUE")
    return key, value


def parse_label_file(text: str, path: str) -> tuple[tuple[str, str], ...]:
    """The labels of a --label-file, one a line; "#" at the start of a line is a comment."""
    return tuple(map(parse_label, named_lines(text, path, "a label's key")))


def parse_hostname(text: str, option: str) -> str:
    """A host or domain name."""
    if not re.fullmatch(_HOST_NAME, text) or len(text) > 63:
        raise UsageError(
            f"invalid {option} {text!r}",
            hint="a name has up to 63 letters, digits, '-' and '.', and starts and ends with a letter or digit",
        )
    return text


def parse_count(text: str, option: str, *, least: int = 0, most: int = (1 << 31) - 1) -> int:
    """A whole number in a range."""
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,12}", text, re.ASCII) else least - 1
    if not least <= number <= most:
        raise UsageError(f"invalid {option} {text!r}", hint=f"it is a whole number from {least} to {most}")
    return number


def parse_log(driver: str, options: Iterable[str]) -> LogConfig:
    """--log-driver and --log-opt."""
    if driver not in ("", "json-file", "local", "none"):
        raise UsageError(f"unknown log driver {driver!r}", hint="use json-file or none")
    log = LogConfig(driver="none" if driver == "none" else "json-file")
    for text in options:
        key, _, value = text.partition("=")
        if driver == "none" or key not in ("max-size", "max-file"):
            raise UsageError(
                f"unknown log option {key!r} for log driver {driver or 'json-file'}",
                hint="the options of json-file are max-size and max-file",
            )
        if key == "max-file":
            log = log._replace(max_file=parse_count(value, "--log-opt max-file", least=1, most=10_000))
        else:
            size = -1 if value == "-1" else parse_size(value, "--log-opt max-size")
            log = log._replace(max_size=size if size > 0 else -1)
    return log


def parse_health(options: Mapping[str, str], image: HealthCheck | None) -> HealthCheck | None:
    """--health-* by their last word (cmd, interval, ...; "" for not given) over the image's own check."""
    given = {name: value for name, value in options.items() if value}
    base = _polite(image) if image is not None and image.test and image.test[0] != "NONE" else None
    if not given:
        return base
    if "cmd" in given:
        base = (base or HealthCheck(()))._replace(test=("CMD-SHELL", given["cmd"]))
    if base is None:
        raise UsageError(
            f"--health-{next(iter(given))} is of no use: the image has no health check", hint="add --health-cmd"
        )
    standard = HealthCheck(())
    return HealthCheck(
        base.test,
        _health_time(given, "interval", base.interval) or standard.interval,
        _health_time(given, "timeout", base.timeout) or standard.timeout,
        parse_count(given.get("retries", str(base.retries)), "--health-retries") or standard.retries,
        _health_time(given, "start-period", base.start_period),
        _health_time(given, "start-interval", base.start_interval) or standard.start_interval,
    )


def _polite(image: HealthCheck) -> HealthCheck:
    """An image's check, which runs outside of the container's limits: a stranger's one may not be a busy loop."""
    return image._replace(
        interval=max(image.interval, IMAGE_INTERVAL_LEAST),
        timeout=max(image.timeout, HEALTH_TIME_LEAST),
        start_interval=max(image.start_interval, IMAGE_INTERVAL_LEAST),
    )


def _health_time(given: Mapping[str, str], name: str, default: float) -> float:
    if name not in given:
        return default
    seconds = parse_duration(given[name], f"--health-{name}")
    if 0 < seconds < HEALTH_TIME_LEAST:
        raise UsageError(f"--health-{name} {given[name]} is shorter than a millisecond")
    return seconds


def parse_throttle(flow: str, text: str) -> Throttle:
    """Read DEVICE:RATE of --device-read-bps ("read_bps") and its like; 0 is no limit."""
    option = f"--device-{flow.replace('_', '-')}"
    device, _, rate = text.rpartition(":")
    if not device.startswith("/dev/") or "\0" in device:
        raise UsageError(f"invalid {option} {text!r}", hint="write it as DEVICE:RATE: /dev/sda:10mb")
    count = parse_size(rate, option) if flow.endswith("bps") else parse_count(rate, option)
    return Throttle(flow, device, count)  # type: ignore[arg-type]  # the flows are the options' names


def parse_resources(options: Mapping[str, str], base: Resources) -> Resources:
    """Limits by their option's name with underscores ("" for not given) over those there are."""
    limits = base
    if options["memory"]:
        limits = limits._replace(memory=parse_memory(options["memory"]))
    if options["memory_reservation"]:
        limits = limits._replace(
            memory_reservation=parse_memory(options["memory_reservation"], "--memory-reservation")
        )
    if options["memory_swap"]:
        limits = limits._replace(memory_swap=_swap(options["memory_swap"]))
    if options["cpus"]:
        limits = limits._replace(cpus=parse_cpus(options["cpus"]))
    if options["cpu_shares"]:
        limits = limits._replace(cpu_shares=_shares(options["cpu_shares"]))
    if options["cpuset_cpus"]:
        limits = limits._replace(cpuset_cpus=_number_list(options["cpuset_cpus"], "--cpuset-cpus"))
    if options["cpuset_mems"]:
        limits = limits._replace(cpuset_mems=_number_list(options["cpuset_mems"], "--cpuset-mems"))
    if options["pids_limit"]:
        count = parse_count(options["pids_limit"], "--pids-limit", least=-1, most=1 << 22)
        limits = limits._replace(pids_limit=count if count > 0 else None)
    limits = _quota(options, limits)
    _check_memory(limits)
    return limits


def _quota(options: Mapping[str, str], limits: Resources) -> Resources:
    least, most = PERIOD_RANGE
    if options["cpu_period"]:
        period = parse_count(options["cpu_period"], "--cpu-period", most=most)
        if 0 < period < least:
            raise UsageError(
                f"invalid --cpu-period {period}", hint=f"it is {least} to {most}, or 0 for the default"
            )
        limits = limits._replace(cpu_period=period or None)
    if options["cpu_quota"]:
        quota = parse_count(options["cpu_quota"], "--cpu-quota", least=-1, most=1 << 36)
        if 0 < quota < least:
            raise UsageError(f"invalid --cpu-quota {quota}", hint=f"it is at least {least}, or -1 for no limit")
        limits = limits._replace(cpu_quota=quota if quota > 0 else None)
    if limits.cpus and (limits.cpu_quota or limits.cpu_period):
        raise UsageError(
            "conflicting options: --cpus and --cpu-quota or --cpu-period", hint="--cpus does for both"
        )
    return limits


def _swap(text: str) -> int | None:
    return -1 if text == "-1" else parse_size(text, "--memory-swap") or None


def _shares(text: str) -> int | None:
    least, most = SHARES_RANGE
    count = parse_count(text, "--cpu-shares", most=most)
    if 0 < count < least:
        raise UsageError(
            f"invalid --cpu-shares {text!r}", hint=f"they are {least} to {most}, or 0 for the default"
        )
    return count or None


def _number_list(text: str, option: str) -> str:
    parts = text.split(",") if re.fullmatch(_CPU_LIST, text) else []
    for part in parts:
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            parts = []
    if not parts:
        raise UsageError(f"invalid {option} {text!r}", hint="write it as 0-3 or 0,2")
    return text


def _check_memory(limits: Resources) -> None:
    if limits.memory_swap is not None:
        if limits.memory is None:
            raise UsageError("--memory-swap needs a memory limit", hint="add --memory")
        if 0 < limits.memory_swap < limits.memory:
            raise UsageError(
                "--memory-swap is below --memory: it is the sum of memory and swap",
                hint="give at least as much, or -1 for unlimited swap",
            )
    if limits.memory is not None and (limits.memory_reservation or 0) > limits.memory:
        raise UsageError("--memory-reservation is above --memory")
