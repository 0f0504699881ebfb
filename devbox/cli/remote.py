"""Commands that are run in a machine: what must stay on this host is refused, the rest travels."""

from __future__ import annotations

from devbox.cli.context import Context
from devbox.cli.grammar import Command
from devbox.errors import RefusedError
from devbox.model.invocation import Invocation


def run(context: Context, command: Command, invocation: Invocation, machine: str) -> int:
    """Run a parsed command in a machine, joined to our streams; its exit code."""
    from devbox.machine import proxy

    refuse_host_files(command, invocation)
    context.flush()
    return proxy.run(invocation, machine, context.cwd, context.environ)


def refuse_host_files(command: Command, invocation: Invocation) -> None:
    """Files of this host are not visible in a machine yet, and another file of the same name would be worse."""
    for option in command.options:
        given = invocation.params[option.name]
        if option.kind in ("path", "paths") and given and given != "-":
            raise _not_there(option.flags[-1], str(given[0] if isinstance(given, tuple) else given))
        if option.kind == "mounts" and isinstance(given, tuple):
            for value in given:
                _refuse_bind(option.flags[-1], value)
    for argument in command.arguments:
        given = invocation.params[argument.name]
        if argument.kind == "path" and given and given != "-":
            raise _not_there(argument.name.upper(), str(given))
        if argument.kind == "endpoint" and given != "-" and ":" not in str(given):
            raise _not_there(argument.name.upper(), str(given))


def _refuse_bind(flag: str, value: str) -> None:
    from devbox.model import mount_parse

    parse = mount_parse.parse_mount if flag == "--mount" else mount_parse.parse_volume
    mount = parse(value, "/")
    if mount.kind == "bind":
        raise _not_there(flag, mount.source)


def _not_there(what: str, path: str) -> RefusedError:
    return RefusedError(
        f"{what}: {path} is on this host, and the machine does not see this host's files yet",
        hint="use a named volume, or stdin and stdout as in devbox load < FILE, devbox save IMAGE > FILE",
    )
