"""Commands that are run in a machine: files of this host are translated, the rest travels as it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from devbox.cli import grammar
from devbox.cli.context import Context
from devbox.cli.grammar import Command
from devbox.errors import DevboxError, NotFoundError
from devbox.model.invocation import Invocation

if TYPE_CHECKING:
    from devbox.machine.translation.mountmap import MountMap
    from devbox.machine.translation.wish import Translated

_PLAIN = ("flag", "text", "many")
SCRATCH = "/var/tmp/devbox-carried/"
"""in a machine, on its disk: what is carried there may be large"""


def run(context: Context, command: Command, invocation: Invocation, machine: str) -> int:
    """Run a parsed command in a machine, joined to our streams; its exit code.

    A machine that does not run is started first, if its settings or the user say so.
    """
    from devbox.machine.proxy import NotReachedError
    from devbox.machine.translation.wish import NotSharedError

    name = awake(context, machine)
    try:
        return _run(context, command, invocation, name)
    except NotReachedError as error:
        _wake(context, name, error)
    except NotSharedError as error:
        from devbox.cli import sharing

        def again(mapping: MountMap) -> Translated:
            return translate(context, command, invocation, name, mapping, SCRATCH)

        sharing.share(context, invocation, name, error, again)
    return _run(context, command, invocation, name)


def awake(context: Context, machine: str) -> str:
    """The name of a machine that was up once; else it is started now, if its settings or the user say so."""
    from devbox.machine import places
    from devbox.machine.proxy import NotReachedError

    name = machine or _default(context)
    if not os.path.exists(places.machine(name).endpoint):
        _wake(context, name, NotReachedError(f"machine {name!r} is not up"))
    return name


def _default(context: Context) -> str:
    from devbox.machine import settings

    return settings.machine("", context.cwd).name


def _wake(context: Context, name: str, error: DevboxError) -> None:
    from devbox.cli import waking

    waking.wake(context, name, error)


def _run(context: Context, command: Command, invocation: Invocation, name: str) -> int:
    from devbox.machine import places, proxy, shared

    directory = SCRATCH + os.urandom(16).hex()
    mapping = shared.mounted(places.machine(name))
    translated = translate(context, command, invocation, name, mapping, directory)
    context.flush()

    def perform(one: Invocation) -> int:
        return proxy.run(one, name, translated.cwd, context.environ, translated.agents)

    if not translated.send and not translated.fetch:
        return _streamed(translated, perform)
    from devbox.machine.translation import carry

    return carry.run(translated, directory, perform)


def _streamed(translated: Translated, perform: Callable[[Invocation], int]) -> int:
    with _streams(translated) as written:
        code = perform(translated.invocation)
        if written and code == 0:
            os.replace(written, translated.stdout)
    return code


def translate(
    context: Context, command: Command, invocation: Invocation, name: str, mapping: MountMap, scratch: str
) -> Translated:
    """The command as the machine must see it."""
    from devbox.machine.translation import hostfiles
    from devbox.machine.translation.wish import Translated, Wish

    files, kinds = hostfiles.Disk(), grammar.kinds(command)
    if not any(invocation.params.get(name) for name, kind in kinds.items() if kind not in _PLAIN):
        cwd = mapping.to_guest(files.real(context.cwd)) if mapping.all else None
        return Translated(invocation, cwd or "/")
    from devbox.machine import places
    from devbox.machine.translation import translate as translation

    settings, host = places.settings_file(), places.this_host()
    wish = Wish(mapping, context.cwd, context.environ, files, name, settings, scratch, host)
    return translation.translate(invocation, kinds, wish)


@contextlib.contextmanager
def _streams(translated: Translated) -> Iterator[str]:
    """Files in place of 0 and 1; what was printed is in the file whose name this yields."""
    if translated.stdin:
        _become(0, translated.stdin, os.O_RDONLY)
    if not translated.stdout:
        yield ""
        return
    if os.path.lexists(translated.stdout) and not os.path.isfile(translated.stdout):
        _become(1, translated.stdout, os.O_WRONLY)  # a device or a pipe is written as it is
        yield ""
        return
    temporary = f"{translated.stdout}.{os.getpid()}.new"
    _become(1, temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _become(number: int, path: str, flags: int) -> None:
    try:
        fd = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        raise NotFoundError(f"cannot open {path}: {os.strerror(error.errno or 0).lower()}") from error
    os.dup2(fd, number)
    os.close(fd)
