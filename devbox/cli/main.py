"""The command line: from words to a handler, and from any failure to one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from devbox.cli import grammar
from devbox.cli.context import Context
from devbox.cli.grammar import Command
from devbox.cli.parse import HelpWanted, did_you_mean, parse
from devbox.errors import DevboxError, HostError, UsageError
from devbox.machine import target
from devbox.model.invocation import Invocation

Handler = Callable[[Context, Invocation], int]


def main() -> NoReturn:
    """The console script."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        # what an image calls itself must not make print() fail
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    asked = os.environ.get("_DEVBOX_COMPLETE")
    code = _complete(asked) if asked else run(sys.argv[1:])
    # tearing the interpreter down would take longer than most commands
    os._exit(code)


def _open_standard_streams() -> None:
    """Put /dev/null where a caller closed 0, 1 or 2: the next file opened would be taken for it."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            fd = os.open(os.devnull, os.O_RDWR)
            if fd != number:
                os.dup2(fd, number)
                os.close(fd)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def run(words: list[str], context: Context | None = None) -> int:
    """Run one command line; never raises, whatever goes wrong."""
    context = context or Context()
    return _bounded(context, lambda: _dispatch(context, words))


def perform(invocation: Invocation) -> int:
    """Run a command that another devbox has parsed, in its machine; never raises."""
    context = Context()

    def action() -> int:
        command, _ = grammar.find(list(invocation.command))
        if command is None:
            raise UsageError(f"this devbox has no command {' '.join(invocation.command)}")
        return _handled(context, command, invocation)

    return _bounded(context, action)


def _bounded(context: Context, action: Callable[[], int]) -> int:
    try:
        try:
            return action()
        finally:
            # the store is not closed: SQLite would delete its log, and a full disk might have no room for another
            context.flush()
    except DevboxError as error:
        return context.report(error)
    except BaseException as error:  # noqa: BLE001 - the one place where a traceback would reach a person
        from devbox.cli.failures import explain

        return explain(context, error)


def _complete(instruction: str) -> int:
    from devbox.cli.completion import answer

    code = answer(instruction)
    sys.stdout.flush()
    return code


def _dispatch(context: Context, words: list[str]) -> int:
    context.machine, words = target.wanted(words, context.environ)
    command, named = grammar.find(words)
    if command is None:
        return _no_command(words)
    try:
        invocation = parse(command, words[named:])
    except HelpWanted:
        return _help(list(command.path))
    if context.machine is not None and not (command.anywhere or command.hidden):
        from devbox.cli import remote

        return remote.run(context, command, invocation, context.machine)
    if sys.platform != "linux" and not command.anywhere:
        raise HostError("devbox runs containers on Linux only")
    return _handled(context, command, invocation)


def _handled(context: Context, command: Command, invocation: Invocation) -> int:
    context.frees = command.frees
    if command.moves and sys.platform == "linux":
        from devbox.system import migration

        migration.hasten()
        try:
            return _handler(command)(context, invocation)
        finally:
            migration.over()
    return _handler(command)(context, invocation)


def _handler(command: Command) -> Handler:
    module, _, function = command.handler.partition(":")
    __import__(module)  # importlib.import_module costs 0.7 ms more
    handler: Handler = getattr(sys.modules[module], function)
    return handler


def _no_command(words: list[str]) -> int:
    if words and words[0] in ("--version", "-v"):
        from devbox import __version__

        sys.stdout.write(f"devbox version {__version__}\n")
        return 0
    groups = (*grammar.GROUPS, *grammar.HIDDEN_GROUPS)
    group = words[:1] if words and words[0] in groups else []
    rest = words[len(group) :]
    if not rest or rest[0] in ("--help", "-h", "help"):
        return _help(group or (rest[1:] if rest[:1] == ["help"] else []))
    raise _unknown(group, rest[0])


def _unknown(group: list[str], word: str) -> UsageError:
    prefix = " ".join(["devbox", *group])
    if word.startswith("-"):
        return UsageError(f"unknown option {word}", hint=f"'{prefix} --help' lists what there is")
    shown = [command for command in grammar.every() if not command.hidden]
    paths = [path for command in shown for path in (command.path, *command.aliases)]
    elsewhere = sorted({f"'devbox {' '.join(path)}'" for path in paths if path[-1] == word})
    known = {path[len(group)] for path in paths if list(path[: len(group)]) == group}
    if elsewhere:
        hint = f"did you mean {' or '.join(elsewhere)}?"
    else:
        hint = did_you_mean(word, sorted(known)) or f"'{prefix} --help' lists the commands"
    return UsageError(f"{word!r} is not a command of {prefix}", hint=hint)


def _help(path: list[str]) -> int:
    from devbox.cli.clicking import show_help

    return show_help(path)
