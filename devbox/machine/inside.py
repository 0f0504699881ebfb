"""Short fixed scripts that run in a machine as root, outside of the agent: what must work when that does not."""

from __future__ import annotations

import subprocess

from devbox.errors import HostError
from devbox.machine import openssh
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace

PATIENCE = 120.0


def run(
    place: MachinePlace, endpoint: Endpoint, script: str, *words: str, patience: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run a script, with the words as its arguments; HostError when nothing answers."""
    line = openssh.argv(place, endpoint, ["sudo", "-n", "sh", "-c", script, "sh", *words])
    try:
        return subprocess.run(
            line,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError("ssh is not installed", hint="it is the program of OpenSSH") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"machine {place.name!r} did not answer within {patience:.0f} s") from error


def last_line(text: str) -> str:
    """What a program said in the end, for a message."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
