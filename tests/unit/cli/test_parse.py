"""Command lines are read by docker's rules, and as click reads the same grammar."""

from __future__ import annotations

import contextlib

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.cli import clicking, grammar
from devbox.cli.grammar import Command, Option
from devbox.cli.options import refused
from devbox.cli.parse import HelpWanted, parse
from devbox.errors import UsageError
from devbox.model.invocation import Invocation


def command(*path: str) -> Command:
    found, _ = grammar.find(list(path))
    assert found is not None
    return found


def read(line: str) -> Invocation:
    words = line.split()
    found, named = grammar.find(words)
    assert found is not None
    return parse(found, words[named:])


def given_params(line: str) -> dict[str, object]:
    """The parameters that are not at their defaults."""
    invocation = read(line)
    defaults = {option.name: option.default for option in command(*invocation.command).options}
    return {name: value for name, value in invocation.params.items() if defaults.get(name, ()) != value}


TERMINAL = {"interactive": True, "tty": True}
PORTS = ("1:1", "2:2", "3:3", "4:4")


@pytest.mark.parametrize(
    ("line", "params"),
    [
        ("run busybox", {"image": "busybox"}),
        (
            "run -it --rm busybox sh",
            {"interactive": True, "tty": True, "rm": True, "image": "busybox", "command": ("sh",)},
        ),
        ("run -dp8080:80 web", {"detach": True, "publish": ("8080:80",), "image": "web"}),
        (
            "run -p=1:1 -p 2:2 --publish 3:3 --publish=4:4 x",
            {"publish": ("1:1", "2:2", "3:3", "4:4"), "image": "x"},
        ),
        ("run --name a --name=b x", {"name": "b", "image": "x"}),
        ("run --name= x", {"name": "", "image": "x"}),
        ("run -e A=b=c -e D x", {"env": ("A=b=c", "D"), "image": "x"}),
        ("run --sig-proxy=false x", {"sig_proxy": False, "image": "x"}),
        ("run --rm=true --init=0 x", {"rm": True, "image": "x"}),
        ("run -i=false -t x", {"tty": True, "image": "x"}),
        ("run -h host x", {"hostname": "host", "image": "x"}),
        ("run x ls -l --all -- -v", {"image": "x", "command": ("ls", "-l", "--all", "--", "-v")}),
        ("run -- x -it", {"image": "x", "command": ("-it",)}),
        ("run --net a --network b x", {"network": ("a", "b"), "image": "x"}),
        ("run -v /a:/b --entrypoint -x y", {"volume": ("/a:/b",), "entrypoint": "-x", "image": "y"}),
        ("exec -it web ps -ef", {"interactive": True, "tty": True, "container": "web", "command": ("ps", "-ef")}),
        ("rm a -f b", {"force": True, "containers": ("a", "b")}),
        ("rm -- -f", {"containers": ("-f",)}),
        ("stop --time 3 a", {"timeout": "3", "containers": ("a",)}),
        ("ps -aq --filter name=x -f label=y", {"all": True, "quiet": True, "filter": ("name=x", "label=y")}),
        ("ps -n5", {"last": "5"}),
        ("save -o - a", {"output": "-", "images": ("a",)}),
        ("cp - web:/x", {"source": "-", "destination": "web:/x"}),
        ("port web 80/udp", {"container": "web", "private_port": "80/udp"}),
        ("port web", {"container": "web", "private_port": None}),
        ("top web", {"container": "web"}),
        ("top web -o pid", {"container": "web", "ps_options": ("-o", "pid")}),
        ("commit -p=false web", {"pause": False, "container": "web", "repository": None}),
    ],
)
def test_a_line_is_read_as_docker_reads_it(line: str, params: dict[str, object]) -> None:
    assert given_params(line) == params


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("run", "'devbox run' takes at least 1 argument", "usage: devbox run [OPTIONS] IMAGE [COMMAND] [ARG...]"),
        ("run --nmae x y", "unknown option --nmae of 'devbox run'", "did you mean --name"),
        ("run -Z y", "unknown option -Z of 'devbox run'", "'devbox run --help' lists the options"),
        ("run -itZ y", "unknown option -Z of 'devbox run'", ""),
        ("run --name", "option --name needs a value", "usage: devbox run"),
        ("run -p", "option -p needs a value", ""),
        ("run --rm=maybe x", "option --rm is true or false, not 'maybe'", ""),
        ("ps x", "'devbox ps' takes no arguments", "usage: devbox ps [OPTIONS]"),
        ("rename a", "'devbox rename' takes exactly 2 arguments", "usage: devbox rename CONTAINER NEW_NAME"),
        ("port", "'devbox port' takes 1 to 2 arguments", ""),
        ("port a b c", "'devbox port' takes 1 to 2 arguments", ""),
        ("volume create a b", "'devbox volume create' takes at most 1 argument", ""),
        ("exec web", "'devbox exec' takes at least 2 arguments", ""),
        (
            "inspect",
            "'devbox inspect' takes at least 1 argument",
            "usage: devbox inspect [OPTIONS] NAME|ID [NAME|ID...]",
        ),
    ],
)
def test_a_wrong_line_is_refused_with_what_is_right(line: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(line)
    assert caught.value.message == message
    assert hint in caught.value.hint


@pytest.mark.parametrize("line", ["run --help", "ps -h", "run -i --help x", "volume ls --help"])
def test_help_is_asked_for(line: str) -> None:
    with pytest.raises(HelpWanted):
        read(line)


def test_help_behind_the_image_belongs_to_the_command() -> None:
    assert read("run x ls --help").many("command") == ("ls", "--help")


WORDS = st.text(min_size=1, max_size=8).filter(lambda word: not word.startswith("-"))
COMMANDS = [each for each in grammar.every() if each.path != ("completion",)]


ODD_WORDS = ["-it", "--", "--name", "-e", "=", "-", "--=", "--help"]


@st.composite
def lines(draw: st.DrawFn) -> tuple[Command, list[str]]:
    chosen = draw(st.sampled_from(COMMANDS))
    words: list[str] = []
    for option in draw(st.lists(st.sampled_from(chosen.options), max_size=6)) if chosen.options else []:
        words += draw(spelling(option))
    least = sum(argument.nargs in "1+" for argument in chosen.arguments)
    open_ended = any(argument.nargs in "*+" for argument in chosen.arguments)
    most = least + 3 if open_ended else len(chosen.arguments)
    return chosen, words + draw(st.lists(WORDS, min_size=least, max_size=most))


def spelling(option: Option) -> st.SearchStrategy[list[str]]:
    flags = st.sampled_from(option.flags)
    if option.kind == "flag":
        return flags.map(lambda flag: [flag])
    apart = st.tuples(flags, WORDS).map(list)
    together = st.tuples(flags, WORDS).map(
        lambda pair: ["=".join(pair) if pair[0].startswith("--") else "".join(pair).replace("=", "")]
    )
    return apart | together.filter(lambda words: len(words[0]) > 2)


@given(lines())
def test_click_reads_well_formed_lines_the_same(line: tuple[Command, list[str]]) -> None:
    chosen, words = line
    group: click.Command = clicking.build()
    for word in chosen.path:
        assert isinstance(group, click.Group)
        group = group.commands[word]
    assert parse(chosen, words).params == group.make_context("x", list(words)).params


@given(
    st.sampled_from(COMMANDS),
    st.lists(st.text(max_size=6) | st.sampled_from(["-it", "--", "--name", "-e", "=", "-"])),
)
def test_any_words_are_read_or_refused(chosen: Command, words: list[str]) -> None:
    with contextlib.suppress(UsageError, HelpWanted):
        assert isinstance(parse(chosen, words), Invocation)


def test_what_docker_has_and_devbox_cannot_is_refused_with_the_way_out() -> None:
    for path, refusals in refused.REFUSALS.items():
        here = {name for option in command(*path).options for name in option.flags}
        assert not here & set(refusals)
        for name in refusals:
            with pytest.raises(UsageError, match=f"^{name} ") as caught:
                parse(command(*path), [name, "x", "y"])
            assert caught.value.hint
    with pytest.raises(UsageError, match="unknown option --gpus of 'devbox ps'"):
        read("ps --gpus all")
