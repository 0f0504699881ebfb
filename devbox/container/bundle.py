"""The bundle of a container that starts: what the OCI runtime reads, made from its row and its mounted rootfs."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import os

from devbox.container import records
from devbox.container.running import is_running
from devbox.container.spec import configjson, mountlist, surroundings
from devbox.container.spec.rootfs import prepare
from devbox.errors import StateError
from devbox.model.container import Container
from devbox.network import links
from devbox.store.database import Store


def write_bundle(
    store: Store, container: Container, rootfs: str, netns: int | None, console_size: tuple[int, int]
) -> None:
    """Write <bundle>/config.json, with the places that it mounts onto made in the rootfs.

    `netns` is a descriptor of the network namespace made for it; the runtime opens it while we live.
    `console_size` is the rows and columns with which its terminal begins, zeros where nobody knows them.
    """
    prepared = prepare(rootfs, container, mountlist.resolve(store, container))
    setting = surroundings.gather(
        store,
        container,
        prepared,
        rootfs=rootfs,
        netns=_network_namespace(store, container, netns),
        links=links.environment(store, container.id),
    )
    document = configjson.document(container, setting)
    if container.config.tty and all(console_size):
        document["process"]["consoleSize"] = {"height": console_size[0], "width": console_size[1]}
    with open(store.root.bundle(container.id) + "/config.json", "w") as file:
        file.write(json.dumps(document))  # json.dump() does it without its C code


def _network_namespace(store: Store, container: Container, netns: int | None) -> str:
    """A path, "host", or "" for a new one that the runtime makes."""
    if netns is not None:
        return f"/proc/{os.getpid()}/fd/{netns}"
    mode, _, target_id = container.config.network_mode.partition(":")
    if mode != "container":
        return "host" if mode == "host" else ""
    target = records.by_id(store, target_id)
    if not is_running(target):
        raise StateError(
            f"cannot join the network of container {target.name}, which does not run",
            hint=f"start it with 'devbox start {target.name}'",
        )
    return f"/proc/{target.pid}/ns/net"
