"""machine explain: what of a command line would go to a machine, without sending it."""

from __future__ import annotations

from typing import Any

from devbox.cli import grammar
from devbox.cli.context import Context
from devbox.cli.grammar import Command
from devbox.cli.parse import display, parse
from devbox.errors import UsageError
from devbox.machine.translation.wish import Translated
from devbox.model.invocation import Invocation, Value

_SECRET = ("env",)


def explain(context: Context, invocation: Invocation) -> int:
    """Print the command as the machine would get it: paths, working directory, variables, ports, files."""
    from devbox.cli import remote
    from devbox.machine import places, request, settings, shared

    words = list(invocation.many("words"))
    command, named = grammar.find(words)
    if command is None or command.anywhere:
        raise UsageError(
            f"{' '.join(words[:2])} is no command that runs in a machine",
            hint="devbox machine explain -- run -v .:/src IMAGE",
        )
    given = parse(command, words[named:])
    machine = settings.machine(invocation.text("machine"), context.cwd).name
    mapping = shared.mounted(places.machine(machine))
    translated = remote.translate(context, command, given, machine, mapping, remote.SCRATCH + "...")
    passed = sorted(request.asked_for(translated.invocation, context.environ))
    document = _document(machine, command, given, translated) | {"environment": passed}
    if invocation.flag("json"):
        from devbox.cli.output import as_json

        as_json(context, document)
    else:
        _print(context, document, context.cwd)
    return 0


def _document(machine: str, command: Command, given: Invocation, translated: Translated) -> dict[str, Any]:
    params = translated.invocation.params
    unset = {option.name: option.default for option in command.options}
    told = {name: _shown(name, value) for name, value in params.items() if value != unset.get(name)}
    changed = [
        {"parameter": name, "here": _shown(name, given.params[name]), "there": _shown(name, value)}
        for name, value in params.items()
        if value != given.params[name]
    ]
    return {
        "machine": machine,
        "command": display(command).removeprefix("devbox "),
        "cwd": translated.cwd,
        "parameters": told,
        "changed": changed,
        "ports": list(given.many("publish")) if "publish" in given.params else [],
        "stdin": translated.stdin,
        "stdout": translated.stdout,
        "send": [each._asdict() for each in translated.send],
        "fetch": [each._asdict() for each in translated.fetch],
    }


def _shown(name: str, value: Value) -> Any:
    """Variables without their values, which may be secrets."""
    if name in _SECRET and isinstance(value, tuple):
        return [each.partition("=")[0] + ("=..." if "=" in each else "") for each in value]
    return list(value) if isinstance(value, tuple) else value


def _print(context: Context, document: dict[str, Any], cwd: str) -> None:
    from devbox.cli.output import for_terminal

    def line(title: str, text: str) -> None:
        context.out(f"{title:<14}{for_terminal(text)}")

    line("machine", document["machine"])
    line("command", document["command"])
    line("directory", f"{cwd} -> {document['cwd']}")
    for change in document["changed"]:
        line(change["parameter"].replace("_", "-"), f"{_words(change['here'])} -> {_words(change['there'])}")
    for name, value in document["parameters"].items():
        if name not in {change["parameter"] for change in document["changed"]}:
            line("arguments" if name == "command" else name.replace("_", "-"), _words(value))
    line("variables", " ".join(document["environment"]) or "none")
    for sent in document["send"]:
        line("send", f"{sent['host']} -> {sent['guest']} ({sent['what']})")
    for fetched in document["fetch"]:
        line("fetch", f"{fetched['guest']} -> {fetched['host']} ({fetched['what']})")
    for name in ("stdin", "stdout"):
        if document[name]:
            line(name, document[name])


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or "nothing"
    return "nothing" if value is None else str(value)
