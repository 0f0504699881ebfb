"""The network of RUN steps: an address on the default network for as long as its stage is being built."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.build.executing.sandbox import HOSTNAME
from devbox.model.container import Container, ContainerConfig
from devbox.model.network import Endpoint
from devbox.network import endpoints, firewall, linkenv, naming, networks, plumbing, pool, resolv
from devbox.store.database import Store
from devbox.system import procfs
from devbox.system.interfaces import Interfaces


class StageNetwork:
    """Made when the first step needs it, given back by `close`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._netns: int | None = None
        self._endpoint: Endpoint | None = None

    def path(self, mode: str) -> str:
        """What the runtime is given for "default", "none" or "host"."""
        if mode == "host":
            return "host"
        if mode == "none":
            return ""
        if self._netns is None:
            self._connect()
        return f"/proc/{os.getpid()}/fd/{self._netns}"

    def _connect(self) -> None:
        self._netns = plumbing.netns_new()
        self._endpoint = _lease(self._store)
        firewall.ensure(self._store)
        plumbing.connect(self._store, self._netns, (self._endpoint,))

    def close(self) -> None:
        """Take the interface down and give the address back."""
        if self._endpoint is not None:
            with Interfaces() as host:
                host.delete_link(self._endpoint.host_interface)
            with self._store.transaction(durable=False) as db:
                db.execute(
                    "DELETE FROM build_leases WHERE network_id = ? AND address = ?",
                    (self._endpoint.network_id, self._endpoint.address),
                )
        if self._netns is not None:
            os.close(self._netns)
        self._netns = self._endpoint = None


def _lease(store: Store) -> Endpoint:
    with store.transaction(durable=False) as db:
        endpoints.drop_dead_leases(store)
        network = networks.up(store, networks.get(store, networks.DEFAULT))
        address = endpoints.free_address(store, network)
        db.execute(
            "INSERT INTO build_leases (network_id, address, pid, pid_start) VALUES (?, ?, ?, ?)",
            (network.id, pool.format_address(address), os.getpid(), procfs.start_time(os.getpid())),
        )
    return Endpoint(
        network_id=network.id,
        container_id="",
        address=pool.format_address(address),
        prefix_length=pool.parse_cidr(network.subnet).prefix_length,
        gateway=network.gateway,
        mac="02:42:" + address.to_bytes(4, "big").hex(":"),
        interface="eth0",
        host_interface=naming.veth(store.root),
        aliases=(),
    )


def hosts_file(store: Store, added: tuple[str, ...]) -> str:
    """The text of /etc/hosts; `added` are "name:address" of --add-host."""
    lines = []
    for text in added:
        name, _, address = text.partition(":")
        if address == "host-gateway":
            address = networks.get(store, networks.DEFAULT).gateway
        lines.append(f"{address.strip('[]')}\t{name}\n")
    return linkenv.STANDARD_HOSTS + f"127.0.0.1\t{HOSTNAME}\n" + "".join(lines)


def resolv_conf(mode: str) -> str:
    """The text of /etc/resolv.conf."""
    container = Container(
        "", "", 0.0, "", "", ContainerConfig(network_mode="host" if mode == "host" else "bridge")
    )
    return resolv.content(container, resolv.machine_lines(container))
