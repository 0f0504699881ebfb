"""Commands that speak of registries and are of no noun."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, text
from devbox.cli.grammars.common import FILTER, FORMAT, INSECURE, NO_TRUNC

_REGISTRY = "devbox.cli.commands.registry:"
_SERVER = Argument("server", "?", metavar="[SERVER]")

COMMANDS = (
    Command(
        ("login",),
        _REGISTRY + "login",
        "Log in to a registry",
        (_SERVER,),
        (
            text("-u --username", "NAME", "User name"),
            text("-p --password", "PASSWORD", "Password; others on this machine may see it"),
            flag("--password-stdin", "Read the password from stdin"),
            INSECURE,
        ),
    ),
    Command(("logout",), _REGISTRY + "logout", "Forget the login of a registry", (_SERVER,)),
    Command(
        ("search",),
        _REGISTRY + "search",
        "Look for images in a registry, Docker Hub unless [HOST/]TERM names another",
        (Argument("term", metavar="TERM"),),
        (
            FILTER,
            FORMAT,
            text("--limit", "NUMBER", "Most results (25)"),
            NO_TRUNC,
            INSECURE,
        ),
    ),
)
