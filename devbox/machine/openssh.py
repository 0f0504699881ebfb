"""How OpenSSH's own programs reach a machine: with the pinned key, and nothing of the user's configuration."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence

from devbox.errors import HostError
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace


def options(place: MachinePlace, endpoint: Endpoint) -> dict[str, str]:
    """OpenSSH's settings for a machine; a key other than the pinned one is refused by ssh itself."""
    found = {
        "HostName": endpoint.host,
        "Port": str(endpoint.port),
        "User": endpoint.user,
        "HostKeyAlias": place.name,
        "UserKnownHostsFile": place.known_hosts,
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "PasswordAuthentication": "no",
    }
    if endpoint.key:
        found |= {"IdentityFile": endpoint.key, "IdentitiesOnly": "yes"}
    return found


def config(place: MachinePlace, endpoint: Endpoint) -> str:
    """A Host block for ~/.ssh/config."""
    lines = (f"  {key} {_quoted(value)}" for key, value in options(place, endpoint).items())
    return "\n".join((f"Host devbox-{place.name}", *lines))


def argv(place: MachinePlace, endpoint: Endpoint, words: Sequence[str]) -> list[str]:
    """The command line of ssh; the words reach the program in the machine as they are."""
    line = ["ssh", "-F", os.devnull]
    for key, value in options(place, endpoint).items():
        line += ["-o", f"{key}={_quoted(value)}"]
    return [*line, "--", place.name, *([shlex.join(words)] if words else [])]


def run(line: Sequence[str]) -> int:
    """Run it on our own terminal; its exit status."""
    try:
        return subprocess.run(list(line), check=False).returncode
    except FileNotFoundError as error:
        raise HostError("ssh is not installed", hint="it is the program of OpenSSH") from error


def _quoted(value: str) -> str:
    """ssh_config splits at blanks, and takes % for its own tokens in paths."""
    escaped = value.replace("%", "%%")
    return f'"{escaped}"' if any(sign in value for sign in ' \t#"') else escaped
