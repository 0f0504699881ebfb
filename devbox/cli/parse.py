"""The command line as an Invocation, by docker's rules and without click.

Bundles (`-it`), values that stick (`-p8080:80`, `-p=8080:80`, `--name=web`), flags with a value (`--init=false`),
`--`, and commands whose options end at the first argument (`run`, `exec`).
"""

from __future__ import annotations

from collections.abc import Iterable

from devbox.cli.grammar import Argument, Command, Option
from devbox.errors import UsageError
from devbox.model.invocation import Invocation, Value
from devbox.model.truth import truth


class HelpWanted(Exception):  # noqa: N818
    """--help stands where an option may stand."""


def parse(command: Command, words: list[str]) -> Invocation:
    """The words after a command's name as its parameters.

    Raises UsageError for what the grammar does not have, HelpWanted.
    """
    params: dict[str, Value] = {option.name: option.default for option in command.options}
    rest = _Options(command, params).read(words)
    _assign(command, rest, params)
    return Invocation(command.path, params)


class _Options:
    def __init__(self, command: Command, params: dict[str, Value]) -> None:
        self.command = command
        self.params = params
        self.by_flag = {name: option for option in command.options for name in option.flags}
        self.words: list[str] = []

    def read(self, words: list[str]) -> list[str]:
        """Take the options out of the words and return the arguments."""
        arguments: list[str] = []
        self.words = words[::-1]
        while self.words:
            word = self.words.pop()
            if word == "--":
                return arguments + self.words[::-1]
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._short(word[1:])
            else:
                arguments.append(word)
                if not self.command.interspersed:
                    return arguments + self.words[::-1]
        return arguments

    def _long(self, word: str) -> None:
        name, equals, value = word.partition("=")
        option = self.by_flag.get(name)
        if option is None:
            raise HelpWanted if name == "--help" else self._unknown(name)
        if option.kind == "flag":
            self.params[option.name] = _boolean(name, value) if equals else True
        else:
            self._store(option, value if equals else self._next(name))

    def _short(self, letters: str) -> None:
        while letters:
            name, letters = "-" + letters[0], letters[1:]
            option = self.by_flag.get(name)
            if option is None:
                raise HelpWanted if name == "-h" else self._unknown(name)
            sticks = letters.removeprefix("=")
            if option.kind != "flag":
                self._store(option, sticks if letters else self._next(name))
                return
            if sticks != letters and sticks:
                self.params[option.name] = _boolean(name, sticks)
                return
            self.params[option.name] = True

    def _next(self, name: str) -> str:
        if not self.words:
            raise UsageError(f"option {name} needs a value", hint=usage(self.command))
        return self.words.pop()

    def _store(self, option: Option, value: str) -> None:
        before = self.params[option.name]
        self.params[option.name] = (*before, value) if isinstance(before, tuple) else value

    def _unknown(self, name: str) -> UsageError:
        from devbox.cli.options import refused

        refusal = refused.of(self.command.path, name)
        if refusal:
            return UsageError(f"{name} {refusal.reason}", hint=refusal.hint)
        alike = [flag for flag in self.by_flag if flag.startswith("--")] if name.startswith("--") else []
        hint = did_you_mean(name, alike) or f"'{display(self.command)} --help' lists the options"
        return UsageError(f"unknown option {name} of '{display(self.command)}'", hint=hint)


def _boolean(name: str, value: str) -> bool:
    said = truth(value)
    if said is None:
        raise UsageError(f"option {name} is true or false, not {value!r}")
    return said


def _assign(command: Command, words: list[str], params: dict[str, Value]) -> None:
    needed = sum(argument.nargs in "1+" for argument in command.arguments)
    open_ended = any(argument.nargs in "*+" for argument in command.arguments)
    if len(words) < needed or (len(words) > len(command.arguments) and not open_ended):
        raise _wrong_count(command, needed, open_ended=open_ended)
    spare = len(words) - needed
    at = 0
    for argument in command.arguments:
        if argument.nargs == "1":
            params[argument.name] = words[at]
            at += 1
        elif argument.nargs == "?":
            params[argument.name] = words[at] if spare else None
            at, spare = (at + 1, spare - 1) if spare else (at, 0)
        else:
            end = at + spare + (argument.nargs == "+")
            params[argument.name] = tuple(words[at:end])
            at, spare = end, 0


def _wrong_count(command: Command, needed: int, *, open_ended: bool) -> UsageError:
    most = len(command.arguments)
    if open_ended or needed < most:
        bound, count = ("at most", most) if needed == 0 and not open_ended else ("at least", needed)
        if needed and not open_ended:
            wanted = f"{needed} to {most} arguments"
            return UsageError(f"'{display(command)}' takes {wanted}", hint=usage(command))
    else:
        bound, count = "exactly", needed
    takes = "takes no arguments" if most == 0 else f"takes {bound} {count} argument{'s' * (count != 1)}"
    return UsageError(f"'{display(command)}' {takes}", hint=usage(command))


def display(command: Command) -> str:
    """How people call it: `devbox run`, `devbox volume ls`."""
    short = next((alias for alias in command.aliases if len(alias) == 1), command.path)
    return "devbox " + " ".join(short)


def usage(command: Command) -> str:
    """One line: `usage: devbox run [OPTIONS] IMAGE [COMMAND] [ARG...]`."""
    words = [display(command)]
    if command.options:
        words.append("[OPTIONS]")
    words += (metavar(argument) for argument in command.arguments)
    return "usage: " + " ".join(words)


def metavar(argument: Argument) -> str:
    """An argument in a usage line."""
    name = argument.name.upper()
    one = name.removesuffix("S")
    shape = {"1": name, "?": f"[{name}]", "*": f"[{one}...]", "+": f"{one} [{one}...]"}
    if argument.metavar and argument.nargs == "+" and " " not in argument.metavar:
        return f"{argument.metavar} [{argument.metavar}...]"
    return argument.metavar or shape[argument.nargs]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names what is spelt alike, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""
