"""The command line as a value: parsed once, run here or in a machine."""

from collections.abc import Mapping
from typing import NamedTuple

from devbox.errors import UsageError

Value = str | int | bool | tuple[str, ...] | None


class Invocation(NamedTuple):
    """One command with its parameters, as the command line gave them.

    Values are not interpreted yet: "-p 8080:80" is the string "8080:80". An option that was not given has its
    default: False for a flag, () for one that may repeat, None otherwise (or the default the grammar names).
    """

    command: tuple[str, ...]
    """canonical name without aliases: ("container", "run"), ("image", "ls"), ("version",)"""
    params: Mapping[str, Value]
    """by canonical long name with underscores: publish_all, cpu_shares; arguments by their own name"""

    def flag(self, name: str) -> bool:
        """A boolean option."""
        return bool(self.params[name])

    def text(self, name: str) -> str:
        """A string option, "" when it was not given."""
        value = self.params[name]
        return "" if value is None else str(value)

    def optional(self, name: str) -> str | None:
        """A string option, None when it was not given."""
        value = self.params[name]
        return None if value is None else str(value)

    def many(self, name: str) -> tuple[str, ...]:
        """A repeatable option or a variadic argument."""
        value = self.params[name]
        if not isinstance(value, tuple):
            raise TypeError(f"{name} is not repeatable")
        return value

    def number(self, name: str, default: int | None = None) -> int | None:
        """An integer option; `default` when it was not given."""
        value = self.params[name]
        if value is None:
            return default
        try:
            return int(value)  # type: ignore[arg-type]
        except ValueError:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} wants a whole number, not {value!r}") from None
