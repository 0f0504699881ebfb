"""What is remembered of a machine between commands: small JSON files, replaced atomically, mode 0600."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace


def write(path: str, text: str) -> None:
    """Replace a file as a whole; readers see the old or the new one."""
    import tempfile

    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=directory, prefix=".new-")  # 0600
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_json(path: str, document: dict[str, Any]) -> None:
    """Replace a JSON file."""
    write(path, json.dumps(document, indent=2, sort_keys=True) + "\n")


def read_json(path: str) -> dict[str, Any] | None:
    """The object in a file; None when there is no such file or it is no JSON object."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (FileNotFoundError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def forget(path: str) -> None:
    """Delete a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def read_endpoint(place: MachinePlace) -> Endpoint | None:
    """The address as it was last seen; None when there is none that makes sense."""
    document = read_json(place.endpoint)
    try:
        found = Endpoint(**document) if document else None
    except TypeError:
        return None  # of another version of devbox
    return found


def write_endpoint(place: MachinePlace, endpoint: Endpoint) -> None:
    """Remember the address, and the pinned key for OpenSSH too."""
    write_json(place.endpoint, endpoint._asdict())
    if endpoint.host_key:
        write(place.known_hosts, f"{place.name} {endpoint.host_key}\n")
