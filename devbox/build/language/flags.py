"""The flags of an instruction, checked against those that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from devbox.build.language.suggest import did_you_mean
from devbox.build.language.syntax import DockerfileError, Instruction

Kind = Literal["text", "many", "switch"]
_SHOWN_MAX = 160


def mistake(instruction: Instruction, message: str, hint: str = "") -> DockerfileError:
    """The error for an instruction that is wrong."""
    line = instruction.original
    shown = line if len(line) <= _SHOWN_MAX else line[: _SHOWN_MAX - 3] + "..."
    return DockerfileError(message, instruction.span, line=shown, hint=hint)


class Flags:
    """What was given; a flag's value is text, a list of texts, or a switch."""

    def __init__(self, instruction: Instruction, kinds: Mapping[str, Kind]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in instruction.flags:
            kind = kinds.get(name)
            if kind is None:
                raise mistake(instruction, f"unknown flag: --{name}", _hint(instruction, name, kinds))
            if name in self._values and kind != "many":
                raise mistake(instruction, f"duplicate flag specified: --{name}", "give it once")
            self._values.setdefault(name, []).append(_checked(instruction, name, value, kind))

    def text(self, name: str, default: str = "") -> str:
        """The value of a flag that has one."""
        return self._values.get(name, [default])[0]

    def many(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be repeated."""
        return tuple(self._values.get(name, ()))

    def switch(self, name: str) -> bool | None:
        """True or False, None where it was not given."""
        values = self._values.get(name)
        return None if values is None else values[0] == "true"


def _hint(instruction: Instruction, name: str, kinds: Mapping[str, Kind]) -> str:
    keyword = instruction.keyword.upper()
    known = ", ".join(f"--{each}" for each in kinds)
    listed = f"the flags of {keyword} are {known}" if known else f"{keyword} has no flags"
    return did_you_mean(f"--{name}", [f"--{each}" for each in kinds], listed)


def _checked(instruction: Instruction, name: str, value: str | None, kind: Kind) -> str:
    if kind != "switch":
        if value is None:
            raise mistake(instruction, f"missing a value on flag: --{name}", f"write --{name}=VALUE")
        return value
    if value == "":
        raise mistake(instruction, f"missing a value on flag: --{name}", f"write --{name} or --{name}=false")
    text = "true" if value is None else value.lower()
    if text not in ("true", "false"):
        raise mistake(instruction, f"expecting boolean value for flag --{name}, not: {value}")
    return text
