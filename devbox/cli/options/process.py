"""Options about a process, of run and create as of exec."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Mapping

from devbox.container.spec import users
from devbox.errors import UsageError
from devbox.model.invocation import Invocation
from devbox.model.options_parse import is_text
from devbox.model.values_parse import merge_env, parse_env, parse_env_file

_TEXT_FILE_MAX = 4 * 1024 * 1024


def environment(invocation: Invocation, environ: Mapping[str, str], cwd: str) -> tuple[str, ...]:
    """Variables of --env-file, and those of --env over them."""
    from_files = [
        line
        for name in invocation.many("env_file")
        for line in parse_env_file(read_text(name, cwd, "--env-file"), name, environ)
    ]
    return merge_env(from_files, parse_env(invocation.many("env"), environ))


def check_terminal(*, stdin: bool, tty: bool) -> None:
    """docker's refusal of -i -t without a terminal, before anything is started."""
    if stdin and tty and not os.isatty(0):
        raise UsageError("the input device is not a TTY", hint="leave out -t when the input is a pipe or file")


def user(invocation: Invocation) -> str:
    """--user, "" when it was not given."""
    text = invocation.text("user")
    users.check_user(text)
    return text


def working_dir(invocation: Invocation) -> str:
    """--workdir, "" when it was not given."""
    path = invocation.text("workdir")
    if path and not path.startswith("/"):
        raise UsageError(f"the working directory {path!r} is invalid: it needs to be an absolute path")
    return path


def check_text(invocation: Invocation) -> None:
    """Refuse what is no text: the runtime's documents cannot hold it, and crun would change it."""
    for name, value in invocation.params.items():
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str) and not is_text(word):
                raise UsageError(f"{ascii(word)[:80]} of {name.replace('_', '-')} is not UTF-8 text without a NUL")


def read_text(name: str, cwd: str, option: str) -> str:
    """A file of the user's that an option names."""
    try:
        with open(os.path.join(cwd, name), "rb") as file:
            data = file.read(_TEXT_FILE_MAX + 1)
    except OSError as error:
        raise UsageError(f"cannot read {option} {name}: {os.strerror(error.errno or 0).lower()}") from error
    if len(data) > _TEXT_FILE_MAX:
        raise UsageError(f"{option} {name} is larger than {_TEXT_FILE_MAX >> 20} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{option} {name} is not UTF-8 text") from error
