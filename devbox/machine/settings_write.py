"""Change single values of machines.toml and leave everything else in it as it is, comments too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from devbox.errors import UsageError
from devbox.machine import records

Value = int | str | list[str]
_HEADER = re.compile(r"\s*\[")


def change(path: str, machine: str, values: Mapping[str, Value]) -> None:
    """Set values of a machine; UsageError when the file is written in a way in which they cannot be found."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            before = file.read()
    except FileNotFoundError:
        before = ""
    after = before
    for key, value in values.items():
        after = _changed(after, machine, key, _toml(value))
    wanted = _parsed(before)
    wanted.setdefault("machines", {}).setdefault(machine, {}).update(values)
    if _parsed(after) != wanted:
        lines = ", ".join(f"{key} = {_toml(value)}" for key, value in values.items())
        raise UsageError(
            f"{path} is written in a way that devbox cannot change", hint=f"write {lines} there yourself"
        )
    records.write(path, after)


def _changed(text: str, machine: str, key: str, value: str) -> str:
    lines = text.splitlines(keepends=True)
    header = re.compile(rf"\s*\[\s*machines\s*\.\s*[\"']?{re.escape(machine)}[\"']?\s*\]\s*(#.*)?")
    start = next((number for number, line in enumerate(lines) if header.fullmatch(line.rstrip("\r\n"))), None)
    if start is None:
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[machines.{machine}]\n{key} = {value}\n"
    line = re.compile(rf"(\s*{re.escape(key)}\s*=\s*)(\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[^\s#]+)")
    for number in range(start + 1, len(lines)):
        if _HEADER.match(lines[number]):
            break
        if found := line.match(lines[number]):
            lines[number] = found[1] + value + lines[number][found.end() :]
            return "".join(lines)
    if not lines[start].endswith("\n"):
        lines[start] += "\n"
    lines.insert(start + 1, f"{key} = {value}\n")
    return "".join(lines)


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"machines.toml is broken: {error}") from error


def _toml(value: Value) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
