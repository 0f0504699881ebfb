"""Values of options: sizes, durations, signals, variables; a refusal is one sentence that names the option."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from devbox.errors import UsageError
from devbox.model.container import RestartPolicy

_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SIZE = r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)(i?b)?"
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_REAL_TIME_SIGNAL = r"RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?"
_DURATION_PART = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|us|µs|ns|m|s)"
_DURATION_MAX = 9_223_372_036.0
"""seconds: 292 years, which is all that Go's nanoseconds hold"""
_SIGNAL_MAX = 64
MEMORY_MINIMUM = 6 * 1024 * 1024
"""bytes; docker's, below which no process starts"""


def parse_size(text: str, option: str) -> int:
    """Bytes of "512m", "1.5g", "64KiB", "100": units are powers of 1024, as docker reads them."""
    match = re.fullmatch(_SIZE, text.lower(), re.ASCII)
    if not match:
        raise UsageError(f"invalid size {text!r} for {option}", hint="write a number and b, k, m or g: 512m")
    size = float(match[1]) * 1024 ** _UNITS[match[2]]
    if size >= 1 << 63:
        raise UsageError(f"the size {text!r} for {option} is larger than any machine")
    return int(size)


def parse_memory(text: str, option: str = "--memory") -> int | None:
    """A memory limit in bytes, None for 0, which means no limit."""
    size = parse_size(text, option)
    if size and size < MEMORY_MINIMUM:
        raise UsageError(f"{option} {text} is too small", hint="6m is the least that a container starts with")
    return size or None


def parse_cpus(text: str) -> float | None:
    """A number of processors, None for 0, which means no limit."""
    cpus = float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+", text, re.ASCII) else -1.0
    if cpus < 0 or 0 < cpus < 0.01 or cpus > 8192:
        raise UsageError(f"invalid --cpus {text!r}", hint="write a number of processors of at least 0.01: 1.5")
    return cpus or None


def parse_duration(text: str, option: str) -> float:
    """Seconds of a Go duration: "1h30m", "1.5s", "300ms"; "0" needs no unit."""
    if text == "0":
        return 0.0
    parts = re.findall(_DURATION_PART, text, re.ASCII)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text or seconds > _DURATION_MAX:
        raise UsageError(f"invalid duration {text!r} for {option}", hint="write it as 30s, 1m30s or 500ms")
    return seconds


def parse_signal(text: str) -> int:
    """A signal's number from its name, with or without SIG, or its number."""
    name = text.upper().removeprefix("SIG")
    if re.fullmatch(r"[0-9]{1,2}", text, re.ASCII):
        number = int(text)
    elif name.startswith("RT") and (match := re.fullmatch(_REAL_TIME_SIGNAL, name, re.ASCII)):
        # 34 and 64: those of glibc, whatever this host is
        number = {"MIN": 34, "MAX": 64}[match[1]] + int((match[2] or "+") + (match[3] or "0"))
    else:
        number = {"POLL": 29, "IOT": 6, "CLD": 17}.get(name) or _LINUX_SIGNALS.get(name, 0)
    if not 1 <= number <= _SIGNAL_MAX:
        raise UsageError(f"invalid signal {text!r}", hint="use a name such as TERM or a number from 1 to 64")
    return number


_LINUX_SIGNALS = {
    name: number
    for number, name in enumerate(
        [
            "HUP",
            "INT",
            "QUIT",
            "ILL",
            "TRAP",
            "ABRT",
            "BUS",
            "FPE",
            "KILL",
            "USR1",
            "SEGV",
            "USR2",
            "PIPE",
            "ALRM",
            "TERM",
            "STKFLT",
            "CHLD",
            "CONT",
            "STOP",
            "TSTP",
            "TTIN",
            "TTOU",
            "URG",
            "XCPU",
            "XFSZ",
            "VTALRM",
            "PROF",
            "WINCH",
            "IO",
            "PWR",
            "SYS",
        ],
        start=1,
    )
}


def parse_env(values: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of -e as "NAME=value"; a bare NAME is taken from the caller's environment, or left out."""
    lines = []
    for value in values:
        name, equals, _ = value.partition("=")
        if not name or "\0" in value:
            raise UsageError(f"invalid environment variable {name!r}", hint="write -e NAME=value or -e NAME")
        if equals:
            lines.append(value)
        elif name in environ:
            lines.append(f"{name}={environ[name]}")
    return tuple(lines)


def parse_env_file(text: str, path: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The lines of an --env-file, as docker reads them: no quoting; "#" at the start of a line is a comment."""
    return parse_env(named_lines(text, path, "a variable's name"), environ)


def named_lines(text: str, path: str, what: str) -> Iterator[str]:
    """The lines of a file that say something, NAME or NAME=value; UsageError where `what` is no name."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = line.removesuffix("\r").lstrip()
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name or re.search(r"\s", name):
            raise UsageError(f"{path}, line {number}: {what} has no blanks and is not empty")
        yield line


def merge_env(*layers: Iterable[str]) -> tuple[str, ...]:
    """Later values win and keep the place of the first."""
    merged: dict[str, str] = {}
    for layer in layers:
        for line in layer:
            merged[line.partition("=")[0]] = line
    return tuple(merged.values())


def parse_restart(text: str) -> RestartPolicy:
    """no, always, unless-stopped, on-failure or on-failure:N."""
    name, colon, count = text.partition(":")
    if name == "on-failure" and (not colon or re.fullmatch(r"[0-9]{1,9}", count, re.ASCII)):
        return RestartPolicy("on-failure", int(count or 0))
    if name in ("", "no") and not colon:
        return RestartPolicy()
    if name == "always" and not colon:
        return RestartPolicy("always")
    if name == "unless-stopped" and not colon:
        return RestartPolicy("unless-stopped")
    raise UsageError(
        f"invalid restart policy {text!r}", hint="use no, always, unless-stopped, on-failure or on-failure:N"
    )
