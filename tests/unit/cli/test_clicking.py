"""Help pages and completion come from the grammar."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devbox.cli import clicking, grammar
from devbox.cli.candidates import candidates
from devbox.cli.completion import answer, script
from devbox.cli.grammar import Command
from devbox.errors import UsageError


@pytest.mark.parametrize("command", list(grammar.every()), ids=lambda command: " ".join(command.path))
def test_every_command_has_a_page_with_all_its_options(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clicking.show_help(list(command.path)) == 0
    page = capsys.readouterr().out
    assert page.startswith("Usage: devbox ")
    assert command.help.split(" (")[0] in " ".join(page.split())
    for option in command.options:
        assert all((flag in page) is not option.hidden for flag in option.flags)
        assert option.help, f"{option.name} says nothing"


def test_the_first_page_shows_every_command_and_no_hidden_one(capsys: pytest.CaptureFixture[str]) -> None:
    clicking.show_help([])
    page = capsys.readouterr().out
    for command in grammar.every():
        for alias in command.aliases:
            if len(alias) == 1:
                assert f"\n  {alias[0]} " in page
    assert "internal" not in page
    assert len(page.splitlines()) < 75


def complete(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COMP_WORDS", line)
    answer("bash_complete")
    return [item.partition(",")[2] for item in capsys.readouterr().out.splitlines() if item]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("devbox vol", ["volume"]),
        ("devbox run --restart ", ["no", "on-failure", "always", "unless-stopped"]),
        ("devbox run --pul", ["--pull"]),
        ("devbox completion ", ["bash", "zsh", "fish"]),
        ("devbox run busybox ls -", []),
        ("devbox internal ex", []),
        ("devbox run -e 'a b' --pull=m", ["missing"]),
    ],
)
def test_words_complete(
    line: str, words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert complete(line, capsys, monkeypatch) == words


def test_fixed_words_need_no_store() -> None:
    assert candidates("crun|runc") == ["crun", "runc"]
    assert candidates("bridge") == ["bridge"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    assert f"_DEVBOX_COMPLETE={shell}_complete" in script(shell)


@pytest.mark.parametrize(
    ("line", "current", "replies"),
    [
        ("devbox rmi im", "im", ["im:dir", "im:tar"]),
        ("devbox rmi im:", "", ["dir", "tar"]),
        ("devbox rmi im:", ":", ["dir", "tar"]),
        ("devbox rmi im:t", "t", ["dir", "tar"]),
        ("devbox save -o x:y im", "im", ["im:dir", "im:tar"]),
        ("devbox run --image=im:", "", ["dir", "tar"]),
    ],
)
def test_bash_writes_nothing_before_a_colon_twice(
    tmp_path: Path, line: str, current: str, replies: list[str]
) -> None:
    program = tmp_path / "devbox"
    program.write_text(f'#!/bin/sh\n[ "$COMP_WORDS" = "{line}" ] && printf "plain,im:dir\\nplain,im:tar\\n"\n')
    program.chmod(0o755)
    call = '; COMP_LINE=$1 COMP_POINT=${#1}; _devbox_completion "$2" "$3"; printf "%s\\n" "${COMPREPLY[@]}"'
    words = ["bash", "-c", script("bash") + call.lstrip("; "), "-", line, str(program), current]
    assert subprocess.check_output(words, text=True).splitlines() == replies


def test_another_shell_has_none() -> None:
    with pytest.raises(UsageError, match="no completion for 'tcsh'"):
        script("tcsh")
