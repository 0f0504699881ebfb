"""Writes docs/reference/commands.md from the grammar of the command line, so that it cannot lag behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from devbox.cli import grammar
from devbox.cli.grammar import Argument, Command, Option

_INTRODUCTION = """# Commands

Made from the grammar that the command line itself is read with. `devbox COMMAND --help` shows the same.

"""


def write(path: Path) -> None:
    """Write the page, if it is not as it is already."""
    text = _INTRODUCTION + "\n".join(_page(command) for command in grammar.every() if not command.hidden)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _page(command: Command) -> str:
    name = " ".join(command.path)
    lines = [f"## {name}", "", f"{command.help}.", "", "```text", f"devbox {_synopsis(command)}", "```", ""]
    others = [" ".join(path) for path in command.aliases]
    if others:
        lines += [f"Also: {', '.join(f'`devbox {other}`' for other in others)}.", ""]
    lines += _table(command.options)
    return "\n".join(lines) + "\n"


def _synopsis(command: Command) -> str:
    options = ["[OPTIONS]"] if command.options else []
    return " ".join([*command.path, *options, *map(_argument, command.arguments)])


def _argument(argument: Argument) -> str:
    shown = argument.metavar or argument.name.upper()
    shown = shown if shown.startswith("[") or argument.nargs in ("1", "+") else f"[{shown}]"
    repeats = argument.nargs in ("*", "+") and "..." not in shown
    return shown + "..." * repeats


def _table(options: Iterable[Option]) -> Iterator[str]:
    shown = [option for option in options if not option.hidden]
    if not shown:
        return
    yield "| option | meaning |"
    yield "|---|---|"
    for option in shown:
        flags = ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")
        cell = flags.replace("|", "\\|")
        default = f" (default {option.default})" if isinstance(option.default, str) and option.default else ""
        yield f"| `{cell}` | {option.help.replace('|', chr(92) + '|')}{default} |"
    yield ""
