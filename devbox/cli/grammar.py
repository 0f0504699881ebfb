"""The grammar of the command line as data, one file per noun; this one has its types and finds a command.

The fast parser, the help pages, the completion and the reference documentation all read the same data.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from devbox.model.invocation import Value

OptionKind = Literal[
    "flag",
    "text",
    "many",
    "path",
    "paths",
    "stdin",
    "stdout",
    "result",
    "mounts",
    "driver",
    "security",
    "env",
    "env_files",
    "dockerfile",
    "contexts",
    "secrets",
    "sockets",
    "outputs",
    "cache_from",
    "cache_to",
]
"""Beyond flag, text and many (repeated) the kind says what of this host is meant.

path, paths: files that are read; stdin, stdout: a file that may as well be the command's standard input or output;
result: a small file that is written; mounts, driver, security: repeated values with a host path in them;
env: repeated, a bare name is a variable of the caller; env_files: such values in files;
dockerfile, contexts, secrets, sockets, outputs, cache_from, cache_to: what build names of this host
"""
FILES = ("path", "paths", "stdin", "stdout", "result", "env_files", "dockerfile")
Nargs = Literal["1", "?", "*", "+"]


class Option(NamedTuple):
    """An option; the first long flag names its parameter."""

    flags: tuple[str, ...]
    name: str
    kind: OptionKind = "text"
    metavar: str = ""
    help: str = ""
    default: Value = None
    complete: str = ""
    """what its value names, for the shell: image, network, volume, container (or only a stopped, running, paused
    or going one, which runs and is not paused), or "a|b" for fixed words"""
    hidden: bool = False


class Argument(NamedTuple):
    """A positional argument; with "*" or "+" its value is a tuple."""

    name: str
    nargs: Nargs = "1"
    complete: str = ""
    """as an option's, or file"""
    metavar: str = ""
    kind: Literal["text", "path", "stdin", "endpoint", "context"] = "text"
    """path, stdin: as an option's; endpoint: CONTAINER:PATH or a path of the host; context: of build"""


class Command(NamedTuple):
    """A command under its canonical path, with the other paths it answers to."""

    path: tuple[str, ...]
    handler: str
    """module:function, imported when the command runs"""
    help: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    interspersed: bool = True
    """False: options end at the first argument, so that the rest may belong to another program"""
    hidden: bool = False
    anywhere: bool = False
    """it runs on any system, not only where there are containers"""
    frees: bool = False
    """it gives room back, so on a full disk the store's reserve is for it"""
    moves: bool = False
    """it puts a process into a control group"""
    sections: tuple[tuple[str, tuple[Option, ...]], ...] = ()
    """for the help page: titles with the options below them, the rest comes first"""


GROUPS = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "image": "Manage images",
    "machine": "Manage virtual machines with an engine in them",
    "manifest": "Manage lists of images for several platforms",
    "network": "Manage networks",
    "system": "Manage devbox",
    "volume": "Manage volumes",
}
HIDDEN_GROUPS = ("internal",)
_FILES = (
    *("container", "run", "image", "build", "manifest", "registry"),
    *("network", "volume", "machine", "system", "internal"),
)
_FILE_OF = {
    **dict.fromkeys(("run", "create", "exec", "update"), "run"),
    **dict.fromkeys(
        (
            *("start", "stop", "restart", "kill", "rm", "wait", "attach", "ps", "logs", "top", "stats", "port"),
            *("rename", "cp", "diff", "commit", "export", "pause", "unpause", "link", "unlink"),
        ),
        "container",
    ),
    **dict.fromkeys(("image", "images", "tag", "rmi", "history", "load", "save", "import", "bootstrap"), "image"),
    **dict.fromkeys(("pull", "push"), "image"),
    **dict.fromkeys(("login", "logout", "search"), "registry"),
    **dict.fromkeys(("build", "builder"), "build"),
    "manifest": "manifest",
    "network": "network",
    "volume": "volume",
    "machine": "machine",
    "internal": "internal",
    **dict.fromkeys(
        ("system", "info", "version", "events", "inspect", "check", "demo", "completion", "doctor"), "system"
    ),
}
"""which file knows a word; `container` is in two"""


def flag(flags: str, help: str, *, default: bool = False, hidden: bool = False) -> Option:  # noqa: A002
    """An option without a value, of space separated flags."""
    return _option(flags, "flag", "", help, default=default, hidden=hidden)


def text(
    flags: str,
    metavar: str,
    help: str,  # noqa: A002
    *,
    default: str | None = None,
    complete: str = "",
    kind: OptionKind = "text",
) -> Option:
    """An option with a value; given again, the last one counts."""
    return _option(flags, kind, metavar, help, default=default, complete=complete)


def many(
    flags: str,
    metavar: str,
    help: str,  # noqa: A002
    *,
    complete: str = "",
    kind: OptionKind = "many",
) -> Option:
    """An option that may be repeated."""
    return _option(flags, kind, metavar, help, default=(), complete=complete)


def _option(
    flags: str,
    kind: OptionKind,
    metavar: str,
    help: str,  # noqa: A002
    *,
    default: Value,
    complete: str = "",
    hidden: bool = False,
) -> Option:
    names = tuple(flags.split())
    name = next(name for name in names if name.startswith("--"))[2:].replace("-", "_")
    return Option(names, name, kind, metavar, help, default, complete, hidden)


def kinds(command: Command) -> dict[str, str]:
    """What each parameter means: its kind, by its name."""
    found: dict[str, str] = {option.name: option.kind for option in command.options}
    return found | {argument.name: argument.kind for argument in command.arguments}


def find(words: list[str]) -> tuple[Command | None, int]:
    """The command that the words begin with, and how many of them name it."""
    if not words:
        return None, 0
    length = 2 if words[0] in GROUPS or words[0] in HIDDEN_GROUPS else 1
    path = tuple(words[:length])
    for command in _candidates(path):
        if command.path == path or path in command.aliases:
            return command, length
    return None, 0


def every() -> Iterator[Command]:
    """All commands."""
    for name in _FILES:
        yield from _load(name)


def _candidates(path: tuple[str, ...]) -> Iterator[Command]:
    if path[0] == "container":
        yield from _load(_FILE_OF.get(path[-1], "container"))
        yield from _load("container")
    elif path[0] in _FILE_OF:
        yield from _load(_FILE_OF[path[0]])
        if path == ("image", "build"):
            yield from _load("build")


def _load(name: str) -> tuple[Command, ...]:
    from importlib import import_module

    commands: tuple[Command, ...] = import_module("devbox.cli.grammars." + name).COMMANDS
    return commands
