"""The way of one command to a machine and back."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping

from devbox.errors import ConnectionLostError, MachineGoneError, NotFoundError
from devbox.machine import broker_link, console, request, ship
from devbox.machine.client import Client, Ending, Link
from devbox.machine.request import Request
from devbox.model.invocation import Invocation


class NotReachedError(MachineGoneError):
    """There was no machine to send the command to, so it may be started and asked again."""


_NO_AGENTS: Mapping[str, str] = {}
_SENT_BY_PEOPLE = ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE")


def run(
    invocation: Invocation,
    machine: str,
    cwd: str,
    environ: Mapping[str, str],
    agents: Mapping[str, str] = _NO_AGENTS,
) -> int:
    """Run a command in a machine, "" being the default one; its exit code, or 128 + n when signal n ended it.

    `agents` are sockets of this host that it may use, by their path there.

    What it says of a broken connection or a dead machine is true of the command, which is never sent twice.
    """
    stdin = request.reads_stdin(invocation)
    wanted = Request(invocation, cwd, request.asked_for(invocation, environ), console.terminal(stdin=stdin))
    data = request.encode(wanted)  # a NUL is refused before anything is started
    name = machine or _default()
    client = _reach(name, environ, wanted)
    try:
        ending = client.run(data, wanted.terminal, stdin=stdin, agents=agents)
    except ConnectionLostError as error:
        from devbox.machine import direct

        raise direct.judged(name, error) from error
    finally:
        client.close()
    _tell(ending, name)
    return ending.code


def _reach(name: str, environ: Mapping[str, str], wanted: Request) -> Client:
    try:
        client = None if environ.get(broker_link.NEVER) else _through_broker(name)
        return client or _alone(name, wanted)
    except (MachineGoneError, NotFoundError) as error:
        raise NotReachedError(error.message, hint=error.hint) from error


def _through_broker(name: str) -> Client | None:
    """A client that the machine's broker has greeted; None where there is none."""
    try:
        link: Link | None = broker_link.connect(name)
        if link is None:
            return None
        client = Client(link)
        stamp = client.greet()
        if stamp == ship.stamp():
            return client
        client.retire()
        client.close()
        link = broker_link.restart(name)
        if link is not None:
            client = Client(link)
            client.greet()
            return client
    except (OSError, ConnectionLostError):  # it was just ending, or cannot be
        return None
    return None


def _alone(name: str, wanted: Request) -> Client:
    from devbox.machine import direct, places
    from devbox.machine.mirroring import mirrors

    mirrors.need_broker(places.machine(name), wanted)
    client = Client(direct.connect(name))
    client.greet()
    return client


def _default() -> str:
    from devbox.machine import settings

    return settings.machine("").name


def _tell(ending: Ending, machine: str) -> None:
    if not ending.signal:
        return
    try:
        name = signal.Signals(ending.signal).name
    except ValueError:
        name = f"signal {ending.signal}"
    if name not in _SENT_BY_PEOPLE:
        sys.stderr.write(f"devbox: the command was ended by {name} in machine {machine}\n")
