"""Dockerfile instructions that change an image's config: what `import --change` and `commit --change` take."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import copy
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devbox.errors import UsageError
from devbox.model.options_parse import HEALTH_TIME_LEAST
from devbox.model.values_parse import parse_duration, parse_signal

_Config = dict[str, Any]
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?")
_VARIABLE = re.compile(r"[^\s=]+")
_HEALTH_OPTION = re.compile(r"--(interval|timeout|start-period|start-interval|retries)=(\S+)\s*")


def apply(document: Mapping[str, Any], instructions: Sequence[str]) -> dict[str, Any]:
    """A config document with the instructions applied; UsageError names the one that is malformed."""
    changed = copy.deepcopy(dict(document))
    config: _Config = dict(changed.get("config") or {})
    for instruction in instructions:
        name, _, rest = instruction.strip().partition(" ")
        handler = _HANDLERS.get(name.upper())
        if handler is None:
            raise UsageError(
                f"cannot change an image with {name[:40]!r}", hint=f"known are {', '.join(sorted(_HANDLERS))}"
            )
        if not rest.strip():
            raise _malformed(instruction, "it has no value")
        try:
            handler(config, rest.strip())
        except (ValueError, UsageError) as error:
            raise _malformed(instruction, str(error)) from error
    changed["config"] = config
    return changed


def _malformed(instruction: str, why: str) -> UsageError:
    return UsageError(f"invalid change {instruction[:100]!r}: {why}")


def _exec_form(text: str) -> list[str] | None:
    """The words of a JSON list, None when the text is a line for the shell."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except json.JSONDecodeError:
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def _command(config: _Config, text: str) -> list[str]:
    words = _exec_form(text)
    return words if words is not None else [*(config.get("Shell") or ("/bin/sh", "-c")), text]


def _cmd(config: _Config, text: str) -> None:
    config["Cmd"] = _command(config, text)


def _entrypoint(config: _Config, text: str) -> None:
    config["Entrypoint"] = _command(config, text)


def _shell(config: _Config, text: str) -> None:
    words = _exec_form(text)
    if not words:
        raise ValueError('write it as ["program", "argument"]')
    config["Shell"] = words


def _pairs(text: str) -> list[tuple[str, str]]:
    """NAME=value ..., with quotes, or the old form NAME value."""
    first = text.split(None, 1)
    if "=" not in first[0]:
        if len(first) < 2:
            raise ValueError("write it as NAME=value")
        return [(first[0], first[1])]
    pairs = []
    for word in shlex.split(text):
        name, equals, value = word.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise ValueError(f"{word[:40]!r} is not NAME=value")
        pairs.append((name, value))
    return pairs


def _env(config: _Config, text: str) -> None:
    merged = dict(item.partition("=")[::2] for item in config.get("Env") or ())
    merged.update(_pairs(text))
    config["Env"] = [f"{name}={value}" for name, value in merged.items()]


def _label(config: _Config, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(_pairs(text))}


def _expose(config: _Config, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        match = _PORT.fullmatch(word.lower())
        begin, end = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not match or not 0 < begin <= end < 1 << 16:
            raise ValueError(f"{word[:40]!r} is not a port")
        ports.update({f"{port}/{match[3] or 'tcp'}": {} for port in range(begin, end + 1)})
    config["ExposedPorts"] = ports


def _volume(config: _Config, text: str) -> None:
    paths = _exec_form(text) or text.split()
    for path in paths:
        if not path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path[:80]!r} is not an absolute path")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _workdir(config: _Config, text: str) -> None:
    base = config.get("WorkingDir") or "/"
    parts: list[str] = []
    for part in (text if text.startswith("/") else f"{base}/{text}").split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    config["WorkingDir"] = "/" + "/".join(parts)


def _user(config: _Config, text: str) -> None:
    if len(text.split()) != 1:
        raise ValueError("it wants one name or number, and perhaps a group")
    config["User"] = text


def _stop_signal(config: _Config, text: str) -> None:
    parse_signal(text)
    config["StopSignal"] = text


def _onbuild(config: _Config, text: str) -> None:
    if text.split()[0].upper() in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError(f"ONBUILD cannot have {text.split()[0]}")
    config["OnBuild"] = [*(config.get("OnBuild") or ()), text]


def _health(config: _Config, text: str) -> None:
    health: dict[str, Any] = {}
    while match := _HEALTH_OPTION.match(text):
        key = "".join(map(str.title, match[1].split("-")))
        seconds = match[1] != "retries"
        option = "--" + match[1]
        health[key] = _nanoseconds(match[2], option) if seconds else int(match[2])
        text = text[match.end() :]
    kind, _, rest = text.partition(" ")
    if kind.upper() == "NONE" and not rest.strip() and not health:
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD" or not rest.strip():
        raise ValueError("write it as [OPTIONS] CMD command, or NONE")
    words = _exec_form(rest.strip())
    config["Healthcheck"] = {"Test": ["CMD", *words] if words else ["CMD-SHELL", rest.strip()], **health}


def _nanoseconds(text: str, option: str) -> int:
    seconds = parse_duration(text, option)
    if 0 < seconds < HEALTH_TIME_LEAST:
        raise ValueError(f"{option} cannot be less than 1ms")
    return round(seconds * 1e9)


_HANDLERS: Mapping[str, Callable[[_Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
