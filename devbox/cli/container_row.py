"""A container as a row of `ps`, with docker's fields."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping, Sequence
from typing import Any

from devbox.cli.units import ago, human_duration, human_size, local_time
from devbox.container.overview import Overview
from devbox.model.container import Container
from devbox.model.network import PortBinding
from devbox.store.database import Store

COLUMNS = (
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
)
COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


class Rows:
    """Makes rows, all of one listing by the same rules and the same clock."""

    def __init__(self, store: Store, *, now: float, truncated: bool, sized: bool, all_names: bool) -> None:
        self.store = store
        self.now = now
        self.truncated = truncated
        self.sized = sized
        self.all_names = all_names
        """"redis,web/db" though the output is truncated; docker's templates have "redis" then"""

    def row(self, seen: Overview) -> Mapping[str, Any]:
        """docker's fields."""
        container = seen.container
        config = container.config
        return {
            "ID": container.id[:12] if self.truncated else container.id,
            "Image": seen.image or self._image_id(container),
            "Command": quoted(self._short(command_line(container), COMMAND_WIDTH)),
            "CreatedAt": local_time(container.created),
            "RunningFor": ago(container.created, self.now),
            "Status": status(container, self.now),
            "State": container.status,
            "Ports": ports(seen),
            "Names": self._names(seen),
            "Labels": ",".join(f"{key}={config.labels[key]}" for key in sorted(config.labels)),
            "Label": lambda name: config.labels.get(name, ""),
            "Mounts": ",".join(self._short(name, _MOUNT_WIDTH) for name in mounts(container)),
            "LocalVolumes": str(sum(mount.kind == "volume" for mount in config.mounts)),
            "Networks": ",".join(seen.networks),
            "Size": self._size(container) if self.sized else "0B",
        }

    def _short(self, text: str, width: int) -> str:
        return shorten(text, width) if self.truncated else text

    def _image_id(self, container: Container) -> str:
        return container.image_id.removeprefix("sha256:")[:12] if self.truncated else container.image_id

    def _names(self, seen: Overview) -> str:
        if self.truncated and not self.all_names:
            return seen.container.name
        return ",".join((seen.container.name, *seen.linked_as))

    def _size(self, container: Container) -> str:
        from devbox.container.files.sizes import of

        own, whole = of(self.store, container)
        return f"{human_size(own)} (virtual {human_size(whole)})"


def command_line(container: Container) -> str:
    """Entry point and command in one line; an argument with a blank in quotes, as docker has it."""
    first, *rest = (*container.config.entrypoint, *container.config.command, "")[:-1] or ("",)
    return " ".join((first, *(f"'{word}'" if " " in word else word for word in rest)))


def shorten(text: str, width: int) -> str:
    """At most `width` characters, the last one an ellipsis when something was cut off."""
    return text if len(text) <= width else text[: width - 1] + "…"


def quoted(text: str) -> str:
    """Go's strconv.Quote."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\\u00", "\\x")


def mounts(container: Container) -> list[str]:
    """Names of volumes and sources of bind mounts."""
    return [mount.source for mount in container.config.mounts if mount.source]


def status(container: Container, now: float) -> str:
    """docker's sentence: "Up 5 minutes (healthy)", "Exited (0) 2 hours ago"."""
    match container.status:
        case "running":
            up = f"Up {human_duration(now - container.started)}"
            health = str(container.health.get("Status", ""))
            if not health or health == "none":
                return up
            return f"{up} (health: starting)" if health == "starting" else f"{up} ({health})"
        case "paused":
            return f"Up {human_duration(now - container.started)} (Paused)"
        case "restarting":
            return f"Restarting ({container.exit_code}) {ago(container.finished, now)}"
        case "removing":
            return "Removal In Progress"
        case "dead":
            return "Dead"
        case "created":
            return "Created"
    return f"Exited ({container.exit_code}) {ago(container.finished, now)}"


def ports(seen: Overview) -> str:
    """The PORTS column of a container that runs: published and merely exposed ports, neighbours as a range."""
    if seen.container.status not in ("running", "paused"):
        return ""
    published = {(each.container_port, each.protocol) for each in seen.ports}
    exposed = (text.partition("/") for text in seen.container.config.exposed)
    silent = [PortBinding(int(port), "udp" if kind == "udp" else "tcp", 0, "") for port, _, kind in exposed]
    silent = [each for each in silent if (each.container_port, each.protocol) not in published]
    return displayable((*seen.ports, *silent))


def displayable(bindings: Sequence[PortBinding]) -> str:
    """docker's summary: `443/tcp, 0.0.0.0:9000-9002->9000-9002/tcp, 0.0.0.0:8080->80/tcp`."""
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    closed: list[str] = []
    single: list[str] = []
    for each in sorted(bindings, key=_port_order):
        port = each.container_port
        if each.host_address and each.host_port != port:
            single.append(f"{each.host_address}:{each.host_port}->{port}/{each.protocol}")
            continue
        key = (each.host_address, each.protocol)
        first, last = groups.get(key, (port, port))
        if port > last + 1:
            closed.append(_range(key, first, last))
            first = port
        groups[key] = (first, port)
    return ", ".join([*closed, *(_range(key, *span) for key, span in groups.items()), *single])


def _port_order(binding: PortBinding) -> tuple[int, str, int, str]:
    return binding.container_port, binding.host_address, binding.host_port, binding.protocol


def _range(key: tuple[str, str], first: int, last: int) -> str:
    address, protocol = key
    span = str(first) if first == last else f"{first}-{last}"
    return f"{address}:{span}->{span}/{protocol}" if address else f"{span}/{protocol}"
