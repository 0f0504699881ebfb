"""One command as it travels to a machine: data from end to end, never words for a shell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from devbox.errors import RefusedError
from devbox.model.invocation import Invocation, Value

PASSED_ON = (
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "SOURCE_DATE_EPOCH",
)
"""variables of the caller that are about the terminal, its language and the time"""


class Terminal(NamedTuple):
    """Which of 0, 1 and 2 are the caller's terminal, and its size."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    rows: int = 0
    columns: int = 0

    @property
    def wanted(self) -> bool:
        """Whether the command needs a terminal at all."""
        return self.stdin or self.stdout or self.stderr


class Request(NamedTuple):
    """An Invocation with what it sees of its caller."""

    invocation: Invocation
    cwd: str
    environment: Mapping[str, str]
    terminal: Terminal


def asked_for(invocation: Invocation, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables that go along: PASSED_ON, and those that `-e NAME` names without a value."""
    names = [*PASSED_ON]
    given = invocation.params.get("env")
    if isinstance(given, tuple):
        names += (name for name in given if "=" not in name)
    secrets = invocation.params.get("secret")
    if isinstance(secrets, tuple):  # id=NAME and env=NAME of build may mean a variable
        names += (field.partition("=")[2] for text in secrets for field in text.split(","))
    return {name: environ[name] for name in names if name in environ}


def reads_stdin(invocation: Invocation) -> bool:
    """Whether a command reads its stdin; if not, that is not ours to read: a script's loop may be fed by it."""
    params = invocation.params
    if "interactive" in params:  # run, create, exec, start
        return bool(params["interactive"])
    match invocation.command[-1]:
        case "attach":
            return not params.get("no_stdin")
        case "load" | "import" | "login" | "cp" | "receive" | "mirrored":
            return True
        case "prune" | "reset":  # they ask
            return not params.get("force")
    return any(value == "-" or (isinstance(value, tuple) and "-" in value) for value in params.values())


def encode(request: Request) -> bytes:
    """As JSON; bytes that are no UTF-8 (surrogates of the file system's names) survive.

    RefusedError for NUL, which no program can be given: before anything is sent.
    """
    document = {
        "command": request.invocation.command,
        "params": dict(request.invocation.params),
        "cwd": request.cwd,
        "environment": dict(request.environment),
        "terminal": request.terminal,
    }
    text = json.dumps(document, separators=(",", ":"))  # ASCII: a surrogate is \udcXX
    if "\\u0000" in text and "\0" in _all_text(document):
        raise RefusedError("a NUL character cannot be part of an argument, a variable or a path")
    return text.encode("ascii")


def decode(data: bytes) -> Request:
    """The request in an OPEN frame; RefusedError for anything else."""
    try:
        document = json.loads(data)
        invocation = Invocation(
            tuple(map(_text, document["command"])),
            {_text(name): _value(value) for name, value in document["params"].items()},
        )
        environment = {_text(name): _text(value) for name, value in document["environment"].items()}
        return Request(invocation, _text(document["cwd"]), environment, _terminal(document["terminal"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"the other side sent what is no request: {type(error).__name__}: {error}") from error


def _terminal(values: Any) -> Terminal:
    stdin, stdout, stderr, rows, columns = values
    return Terminal(bool(stdin), bool(stdout), bool(stderr), int(rows), int(columns))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _value(value: Any) -> Value:
    if isinstance(value, list):
        return tuple(map(_text, value))
    if value is None or isinstance(value, str | int | bool):
        return value
    raise TypeError(f"{value!r} is no parameter")


def _all_text(document: Any) -> str:
    if isinstance(document, Mapping):
        return "".join(map(_all_text, [*document.keys(), *document.values()]))
    if isinstance(document, list | tuple):
        return "".join(map(_all_text, document))
    return document if isinstance(document, str) else ""
