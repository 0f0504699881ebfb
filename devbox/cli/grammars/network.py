"""Commands of the noun network."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text
from devbox.cli.grammars.common import FILTER, FORCE, FORMAT, FORMAT_INSPECT, NO_TRUNC, PRUNE_FILTER

_NETWORK = "devbox.cli.commands.network:"
_MANY = (Argument("networks", "+", complete="network"),)
_NETWORK_AND_CONTAINER = (
    Argument("network", complete="network"),
    Argument("container", complete="container"),
)

COMMANDS = (
    Command(
        ("network", "create"),
        _NETWORK + "create",
        "Create a network",
        (Argument("name", metavar="NETWORK"),),
        (
            text("-d --driver", "NAME", "Driver", default="bridge", complete="bridge"),
            text("--subnet", "CIDR", "Subnet; without it, a free one"),
            text("--gateway", "ADDRESS", "Gateway of the subnet"),
            text("--ip-range", "CIDR", "Give addresses from this part of the subnet only"),
            flag("--internal", "No way to the outside"),
            flag("--attachable", "Accepted: every network is"),
            many("--label", "KEY[=VALUE]", "Set a label"),
            many("-o --opt", "KEY=VALUE", "Option of the driver"),
        ),
    ),
    Command(
        ("network", "ls"),
        _NETWORK + "ls",
        "List networks",
        (),
        (FILTER, FORMAT, NO_TRUNC, flag("-q --quiet", "Show ids only")),
        aliases=(("network", "list"),),
    ),
    Command(
        ("network", "rm"),
        _NETWORK + "rm",
        "Remove one or more networks",
        _MANY,
        (flag("-f --force", "Do not mind that it does not exist"),),
        aliases=(("network", "remove"),),
    ),
    Command(
        ("network", "inspect"),
        "devbox.cli.commands.inspecting:inspect",
        "Show everything about networks",
        _MANY,
        (FORMAT_INSPECT, flag("-v --verbose", "Accepted: nothing is left out")),
    ),
    Command(
        ("network", "connect"),
        _NETWORK + "connect",
        "Connect a container to a network",
        _NETWORK_AND_CONTAINER,
        (
            many("--alias", "NAME", "Further name of the container on the network"),
            text("--ip", "ADDRESS", "IPv4 address on the network"),
            many("--link", "CONTAINER[:ALIAS]", "Link to another container", complete="container"),
        ),
    ),
    Command(
        ("network", "disconnect"),
        _NETWORK + "disconnect",
        "Disconnect a container from a network",
        _NETWORK_AND_CONTAINER,
        (flag("-f --force", "Do not mind that it is not connected"),),
    ),
    Command(
        ("network", "prune"),
        _NETWORK + "prune",
        "Remove networks that no container uses",
        (),
        (PRUNE_FILTER, FORCE),
    ),
)
