"""Commands of the noun volume."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text
from devbox.cli.grammars.common import FILTER, FORCE, FORMAT, FORMAT_INSPECT, PRUNE_FILTER

_VOLUME = "devbox.cli.commands.volume:"
_MANY = (Argument("volumes", "+", complete="volume"),)

COMMANDS = (
    Command(
        ("volume", "create"),
        _VOLUME + "create",
        "Create a volume",
        (Argument("name", "?", metavar="[VOLUME]"),),
        (
            text("-d --driver", "NAME", "Driver", default="local", complete="local"),
            many("--label", "KEY[=VALUE]", "Set a label"),
            many("-o --opt", "KEY=VALUE", "Option of the driver: type, device, o", kind="driver"),
        ),
    ),
    Command(
        ("volume", "ls"),
        _VOLUME + "ls",
        "List volumes",
        (),
        (FILTER, FORMAT, flag("-q --quiet", "Show names only")),
        aliases=(("volume", "list"),),
    ),
    Command(
        ("volume", "rm"),
        _VOLUME + "rm",
        "Remove one or more volumes",
        _MANY,
        (flag("-f --force", "Do not mind that it does not exist"),),
        aliases=(("volume", "remove"),),
        frees=True,
    ),
    Command(
        ("volume", "inspect"),
        "devbox.cli.commands.inspecting:inspect",
        "Show everything about volumes",
        _MANY,
        (FORMAT_INSPECT,),
    ),
    Command(
        ("volume", "prune"),
        _VOLUME + "prune",
        "Remove volumes that no container uses",
        (),
        (flag("-a --all", "Remove named volumes too"), PRUNE_FILTER, FORCE),
        frees=True,
    ),
)
