"""Commands of the noun machine: virtual machines in which an engine lives."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, text
from devbox.cli.grammars.common import FORMAT

_MACHINE = "devbox.cli.commands.machine:"
_NAME = (Argument("name", "?", metavar="MACHINE"),)
_WHICH = text("-m --machine", "MACHINE", "Of this machine instead of the default one")
_JSON = flag("--json", "Print the result as JSON")
_VERBOSE = flag("-v --verbose", "Show everything that Vagrant says")
_CHANGES = (_JSON, _VERBOSE)


def _change(word: str, help: str) -> Command:  # noqa: A002
    return Command(("machine", word), _MACHINE + word, help, _NAME, _CHANGES, anywhere=True)


COMMANDS = (
    _change("up", "Make a machine if need be, and start it"),
    _change("halt", "Shut a machine down"),
    _change("suspend", "Stop a machine and keep its memory on disk"),
    _change("resume", "Go on with a suspended machine"),
    _change("restart", "Shut a machine down and start it again"),
    Command(
        ("machine", "destroy"),
        _MACHINE + "destroy",
        "Delete a machine with its disk",
        _NAME,
        (*_CHANGES, flag("-f --force", "Do not ask")),
        aliases=(("machine", "rm"),),
        anywhere=True,
    ),
    Command(
        ("machine", "resize"),
        _MACHINE + "resize",
        "Give a machine other CPUs, memory or a larger disk",
        _NAME,
        (
            text("--cpus", "NUMBER", "Number of CPUs"),
            text("--memory", "SIZE", "Memory (512m, 4g)"),
            text("--disk", "SIZE", "Disk (40g), which cannot become smaller"),
            *_CHANGES,
            flag("-f --force", "Do not ask before it is restarted"),
        ),
        anywhere=True,
    ),
    Command(
        ("machine", "upgrade"),
        _MACHINE + "upgrade",
        "Bring the packages of a machine up to date; devbox in it always is",
        _NAME,
        anywhere=True,
    ),
    Command(
        ("machine", "status"), _MACHINE + "status", "Show what a machine does", _NAME, (_JSON,), anywhere=True
    ),
    Command(
        ("machine", "list"),
        _MACHINE + "ls",
        "List machines",
        (),
        (_JSON, FORMAT, flag("-q --quiet", "Show names only")),
        aliases=(("machine", "ls"),),
        anywhere=True,
    ),
    Command(
        ("machine", "mirror"),
        "devbox.cli.commands.mirror:show",
        "Show the mirrors of a machine, and the files that both sides have changed",
        _NAME,
        (_JSON,),
        anywhere=True,
    ),
    Command(
        ("machine", "ssh"),
        _MACHINE + "ssh",
        "Log in to a machine, or run a command in it",
        (Argument("command", "*"),),
        (_WHICH,),
        interspersed=False,
        anywhere=True,
    ),
    Command(
        ("machine", "ssh-config"),
        _MACHINE + "ssh_config",
        "Show how OpenSSH reaches a machine, for ~/.ssh/config",
        _NAME,
        (_JSON,),
        anywhere=True,
    ),
    Command(
        ("machine", "snapshot"),
        _MACHINE + "snapshot",
        "Keep states of a machine: save, restore or delete SNAPSHOT, or list them",
        (Argument("action", metavar="save|restore|list|delete"), Argument("snapshot", "?")),
        (_WHICH, _JSON),
        anywhere=True,
    ),
    Command(
        ("machine", "explain"),
        "devbox.cli.commands.explain:explain",
        "Show what of a command would go to a machine, without running it",
        (Argument("words", "+", metavar="COMMAND [ARG...]"),),
        (_WHICH, _JSON),
        interspersed=False,
        anywhere=True,
    ),
    Command(
        ("machine", "logs"),
        _MACHINE + "logs",
        "Show what Vagrant printed about a machine",
        _NAME,
        (text("-n --tail", "N", "Show the last lines only", default="all"),),
        anywhere=True,
    ),
)
