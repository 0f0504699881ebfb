"""The grammar is whole: every word is found, every handler exists, nothing is named twice."""

from __future__ import annotations

import importlib
from collections import Counter

import pytest

from devbox.cli import grammar
from devbox.cli.grammar import Command

COMMANDS = list(grammar.every())


def spelt(command: Command) -> str:
    return " ".join(command.path)


def test_no_two_commands_answer_to_one_name() -> None:
    names = Counter(path for command in COMMANDS for path in (command.path, *command.aliases))
    assert not [path for path, count in names.items() if count > 1]


@pytest.mark.parametrize("command", COMMANDS, ids=spelt)
def test_every_name_finds_its_command_without_loading_the_rest(command: Command) -> None:
    for path in (command.path, *command.aliases):
        assert grammar.find([*path, "x"]) == (command, len(path))


@pytest.mark.parametrize("command", COMMANDS, ids=spelt)
def test_flags_and_parameters_are_named_once(command: Command) -> None:
    flags = Counter(flag for option in command.options for flag in option.flags)
    names = Counter([*(option.name for option in command.options), *(each.name for each in command.arguments)])
    assert max([*flags.values(), *names.values()], default=1) == 1
    assert sum(argument.nargs in "*+?" for argument in command.arguments) <= 1


@pytest.mark.parametrize("command", COMMANDS, ids=spelt)
def test_the_handler_exists(command: Command) -> None:
    module, _, function = command.handler.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("words", [["nosuch"], ["container"], ["container", "nosuch"], [], ["-x"], ["ls"]])
def test_other_words_find_nothing(words: list[str]) -> None:
    assert grammar.find(words) == (None, 0)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["run"], ("container", "run")),
        (["container", "exec"], ("container", "exec")),
        (["container", "list"], ("container", "ls")),
        (["images"], ("image", "ls")),
        (["rmi"], ("image", "rm")),
        (["info"], ("system", "info")),
        (["network", "remove"], ("network", "rm")),
        (["internal", "exited"], ("internal", "exited")),
    ],
)
def test_docker_s_names_lead_to_one_canonical_path(words: list[str], path: tuple[str, ...]) -> None:
    command, _ = grammar.find(words)
    assert command is not None
    assert command.path == path
