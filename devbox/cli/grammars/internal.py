"""Commands that devbox starts itself; they are shown nowhere."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, text

_ROOTS = (
    text("--root", "DIR", "State directory", kind="path"),
    text("--run", "DIR", "Run directory", kind="path"),
)


def _internal(verb: str, help: str, *arguments: Argument) -> Command:  # noqa: A002
    return Command(
        ("internal", verb),
        f"devbox.cli.commands.internal:{verb}",
        help,
        arguments,
        _ROOTS,
        hidden=True,
        frees=verb == "exited",
    )


COMMANDS = (
    _internal("exited", "Book the end of a container", Argument("container")),
    _internal("restart", "Bring a container back under its restart policy", Argument("container")),
    _internal("health", "Check the health of a container until it ends", Argument("container")),
    _internal("agent", "Run the commands of a host, in its machine"),
    _internal("published", "List the published ports for a host"),
    _internal("wake", "As boot, once since the machine was started"),
    Command(
        ("internal", "broker"),
        "devbox.cli.commands.broker:serve",
        "Hold the connection to a machine",
        (Argument("machine"), Argument("inode"), Argument("stamp")),
        hidden=True,
        anywhere=True,
    ),
    Command(
        ("internal", "mirror-link"),
        "devbox.cli.commands.mirroring:link",
        "Lead Unison to the machine's half of a mirror",
        (Argument("words", "*"),),
        hidden=True,
        anywhere=True,
        interspersed=False,
    ),
    Command(
        ("internal", "monitor"),
        "devbox.cli.commands.mirroring:monitor",
        "Tell Unison what changes",
        hidden=True,
        anywhere=True,
    ),
    Command(
        ("internal", "mirrored"),
        "devbox.cli.commands.mirroring:mirrored",
        "Be the machine's half of a mirror",
        (Argument("directory"), Argument("identity"), Argument("words", "*")),
        hidden=True,
    ),
    *(
        Command(
            ("internal", verb),
            f"devbox.cli.commands.carrying:{verb}",
            title,
            (Argument("directory"),),
            hidden=True,
        )
        for verb, title in (
            ("receive", "Take in files of a host that travel with a command"),
            ("give", "Hand files over to a host"),
            ("drop", "Delete what was taken in"),
        )
    ),
    _internal("boot", "Start what a restart policy wants after a reboot"),
    _internal("shutdown", "End every container before the machine goes off"),
)
