"""Commands of the noun system, and those of no noun."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, text
from devbox.cli.grammars.common import FILTER, FORCE, FORMAT, FORMAT_INSPECT, KEEP_VERSIONS, PRUNE_FILTER

_SYSTEM = "devbox.cli.commands.system:"
_KINDS = "container|image|network|volume"

COMMANDS = (
    Command(
        ("doctor",),
        "devbox.cli.commands.doctor:doctor",
        "Show what is not as it must be, and the command that mends it",
        (Argument("directory", "?", metavar="[DIRECTORY]"),),
        (
            flag("--json", "Print the findings as JSON"),
            text("-m --machine", "MACHINE", "Look at this machine only"),
            flag("-q --quiet", "Show warnings and problems only"),
        ),
        anywhere=True,
    ),
    Command(
        ("system", "df"),
        "devbox.cli.commands.usage:df",
        "Show the disk use of devbox",
        (),
        (FORMAT, flag("-v --verbose", "Show each image, container and volume")),
    ),
    Command(
        ("system", "info"),
        "devbox.cli.commands.host:info",
        "Show the state of devbox and this host",
        (),
        (FORMAT_INSPECT,),
        aliases=(("info",),),
    ),
    Command(
        ("system", "events"),
        "devbox.cli.commands.events:events",
        "Show what happens, as it happens",
        (),
        (
            FILTER,
            text("--format", "FORMAT", "json or a Go template", complete="json"),
            text("--since", "TIME", "Show from this time on (2013-01-02T13:23:37Z, 42m)"),
            text("--until", "TIME", "End at this time"),
        ),
        aliases=(("events",),),
    ),
    Command(
        ("system", "prune"),
        "devbox.cli.commands.prune:everything",
        "Remove what nothing uses",
        (),
        (
            flag("-a --all", "Remove all unused images, not only unnamed ones"),
            flag("--volumes", "Remove unused anonymous volumes too"),
            KEEP_VERSIONS,
            PRUNE_FILTER,
            FORCE,
        ),
        frees=True,
    ),
    Command(
        ("system", "reset"),
        "devbox.cli.commands.prune:reset",
        "Remove every container, network, volume and image",
        (),
        (flag("-f --force", "Do not ask"),),
        frees=True,
    ),
    Command(
        ("version",),
        _SYSTEM + "version",
        "Show the versions of devbox and what it uses",
        (),
        (FORMAT_INSPECT,),
        anywhere=True,
    ),
    Command(
        ("inspect",),
        "devbox.cli.commands.inspecting:inspect",
        "Show everything about containers, images, volumes or networks",
        (Argument("objects", "+", complete="container+image+volume+network", metavar="NAME|ID"),),
        (
            FORMAT_INSPECT,
            flag("-s --size", "Show the sizes of containers"),
            text("--type", "TYPE", "Only objects of this type", complete=_KINDS),
        ),
    ),
    Command(
        ("check",),
        "devbox.cli.commands.host:check",
        "Find missing, altered or surplus files of the store",
        (),
        (flag("--repair", "Repair what can be repaired"),),
        aliases=(("system", "check"),),
    ),
    Command(
        ("demo",),
        "devbox.cli.commands.demo:demo",
        "Run redis and a web application, linked, and show how they work together",
        (),
        (
            flag("--keep", "Leave everything running at the end"),
            text("--image", "IMAGE", "Take this base image, which has redis-server and python3, and make none"),
        ),
        anywhere=True,
    ),
    Command(
        ("completion",),
        _SYSTEM + "completion",
        "Print the completion script of a shell",
        (Argument("shell", complete="bash|zsh|fish", metavar="bash|zsh|fish"),),
        anywhere=True,
    ),
)
