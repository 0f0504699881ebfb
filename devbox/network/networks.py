"""Rows of the `networks` table. `bridge`, `host` and `none` always exist."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping

from devbox.errors import ConflictError, NotFoundError, StateError, UsageError
from devbox.model.network import PREDEFINED, Network
from devbox.network import bridges, naming, pool
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.interfaces import Interfaces

DEFAULT = "bridge"
MTU_OPTION = "com.docker.network.driver.mtu"
MASQUERADE_OPTION = "com.docker.network.bridge.enable_ip_masquerade"
HOST_BINDING_OPTION = "com.docker.network.bridge.host_binding_ipv4"

_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
_JSON = ("labels", "options")
_BOOLEANS = ("internal", "own_subnet")


def get(store: Store, reference: str) -> Network:
    """The network that a name, id or unambiguous id prefix stands for; NotFoundError."""
    row = store.db.execute("SELECT * FROM networks WHERE id = ?1 OR name = ?1", (reference,)).fetchone()
    if row:
        return _decode(row)
    if reference in PREDEFINED:
        _add_predefined(store)
        return get(store, reference)
    found = []
    if reference and set(reference) <= set("0123456789abcdef"):
        found = store.db.execute("SELECT * FROM networks WHERE id GLOB ? LIMIT 2", (reference + "*",)).fetchall()
    if len(found) > 1:
        raise ConflictError(
            f"more than one network has an id that starts with {reference}", hint="give more of it"
        )
    if not found:
        raise NotFoundError(f"no such network: {reference}", hint="'devbox network ls' lists them")
    return _decode(found[0])


def by_id(store: Store, network_id: str) -> Network:
    """The network with exactly this id; NotFoundError when it is gone."""
    row = store.db.execute("SELECT * FROM networks WHERE id = ?", (network_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no such network: {network_id}")
    return _decode(row)


def every(store: Store) -> list[Network]:
    """All networks, oldest first."""
    rows = store.db.execute("SELECT * FROM networks ORDER BY created, name").fetchall()
    if not rows:
        _add_predefined(store)
        return every(store)
    return [_decode(row) for row in rows]


def create(
    store: Store,
    name: str,
    *,
    driver: str = "bridge",
    subnet: str = "",
    gateway: str = "",
    ip_range: str = "",
    internal: bool = False,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Network:
    """Add a network and its bridge; a subnet that overlaps nothing is chosen when none is given.

    Raises UsageError for malformed values, ConflictError for a name or subnet that is taken.
    """
    _check_name(name)
    if driver != "bridge":
        raise UsageError(f"no such network driver: {driver}", hint="the driver is bridge")
    network = Network(
        id=os.urandom(32).hex(),
        name=name,
        driver=driver,
        created=time.time(),
        subnet=subnet,
        gateway=gateway,
        internal=internal,
        labels=dict(labels or {}),
        options=_checked_options(options or {}),
        ip_range=ip_range,
        own_subnet=bool(subnet),
    )
    _check_addresses(network)
    with scratch(store.root, "network"):  # should we die, the next command looks for what we left
        try:
            with store.transaction(), bridges.host_lock():
                _check_name_is_free(store, name)
                network = bridges.choose(store, network._replace(bridge=_unused_bridge(store)))
                _insert(store, network)
                store.event("network", "create", network.id, {"name": name, "type": driver})
                bridges.make(network, mtu(network))
        except BaseException:
            remove_orphans(store)
            raise
    return network


def remove_orphans(store: Store) -> None:
    """Delete bridges without a row, left by a `create` that was cut off."""
    with store.transaction():  # nobody is between making a bridge and committing its row
        known = {row["bridge"] for row in store.db.execute("SELECT bridge FROM networks")}
        surplus = [name for name in bridges.interfaces() - known if naming.is_bridge(store.root, name)]
        with Interfaces() as netlink:
            for name in surplus:
                netlink.delete_link(name)


def remove(store: Store, reference: str) -> Network:
    """Delete a network that no container is connected to, and its bridge."""
    network = get(store, reference)
    if network.name in PREDEFINED:
        raise StateError(f"{network.name} is a pre-defined network and cannot be removed")
    with store.transaction():
        users = members(store, network)
        if users:
            raise ConflictError(
                f"network {network.name} has active endpoints: {', '.join(users)}",
                hint=f"devbox network disconnect {network.name} {users[0]}",
            )
        store.db.execute("DELETE FROM networks WHERE id = ?", (network.id,))
        store.event("network", "destroy", network.id, {"name": network.name, "type": network.driver})
        bridges.delete(network)
    return network


def prune(store: Store, wanted: Callable[[Network], bool]) -> list[str]:
    """Remove the user's networks that no running container is connected to; returns their names."""
    removed = []
    for network in every(store):
        if is_user_defined(network) and wanted(network) and not members(store, network):
            with contextlib.suppress(ConflictError, NotFoundError):
                removed.append(remove(store, network.id).name)
    return removed


def members(store: Store, network: Network) -> list[str]:
    """Names of the containers that have an endpoint on it now."""
    rows = store.db.execute(
        "SELECT name FROM endpoints JOIN containers ON containers.id = container_id "
        "WHERE network_id = ? ORDER BY name",
        (network.id,),
    )
    return [row["name"] for row in rows]


def is_user_defined(network: Network) -> bool:
    """Whether a user made it: names resolve there, and links are only aliases."""
    return network.name not in PREDEFINED


def mtu(network: Network) -> int:
    """Of its bridge and all ports."""
    return int(network.options.get(MTU_OPTION, "1500"))


def masquerades(network: Network) -> bool:
    """Whether what leaves it takes the host's address."""
    return not network.internal and network.options.get(MASQUERADE_OPTION, "true") in ("true", "1")


def host_binding(network: Network) -> str:
    """The host address that -p without an address means on this network."""
    return network.options.get(HOST_BINDING_OPTION, "0.0.0.0")


def up(store: Store, network: Network) -> Network:
    """See that its bridge is there; [tx]. The default network moves to another subnet when its own is taken."""
    if bridges.is_up(network):
        return network
    with bridges.host_lock():
        if network.name == DEFAULT and not members(store, network):
            network = bridges.choose(store, network._replace(subnet="", gateway=""), prefer=network.subnet)
            store.db.execute(
                "UPDATE networks SET subnet = ?, gateway = ? WHERE id = ?",
                (network.subnet, network.gateway, network.id),
            )
        bridges.make(network, mtu(network))
    return network


def _decode(row: sqlite3.Row) -> Network:
    fields = dict(zip(row.keys(), row, strict=True))
    for name in _JSON:
        fields[name] = json.loads(fields.pop(f"{name}_json"))
    for name in _BOOLEANS:
        fields[name] = bool(fields[name])
    return Network(**fields)


def _insert(store: Store, network: Network) -> None:
    columns: dict[str, object] = dict(network._asdict())
    for name in _JSON:
        columns[f"{name}_json"] = json.dumps(dict(columns.pop(name)))  # type: ignore[call-overload]
    for name in _BOOLEANS:
        columns[name] = int(bool(columns[name]))
    marks = ",".join("?" * len(columns))
    store.db.execute(f"INSERT INTO networks ({','.join(columns)}) VALUES ({marks})", tuple(columns.values()))


@contextlib.contextmanager
def _transaction(store: Store) -> Iterator[None]:
    """The caller's transaction, or one of its own."""
    if store.db.in_transaction:
        yield
    else:
        with store.transaction():
            yield


def _add_predefined(store: Store) -> None:
    with _transaction(store):
        known = {row["name"] for row in store.db.execute("SELECT name FROM networks")}
        with bridges.host_lock():
            for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null")):
                if name in known:
                    continue
                network = Network(id=os.urandom(32).hex(), name=name, driver=driver, created=time.time())
                if driver == "bridge":
                    network = bridges.choose(store, network._replace(bridge=naming.bridge(store.root, 0)))
                _insert(store, network)


def _unused_bridge(store: Store) -> str:
    taken = {row["bridge"] for row in store.db.execute("SELECT bridge FROM networks")} | bridges.interfaces()
    number = 1
    while (name := naming.bridge(store.root, number)) in taken:
        number += 1
    return name


def _check_name(name: str) -> None:
    if not re.fullmatch(_NAME, name):
        raise UsageError(
            f"invalid network name {name!r}",
            hint="a name has 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or digit",
        )
    if name in (*PREDEFINED, "default", "container"):
        raise ConflictError(f"operation is not permitted on predefined {name} network")


def _check_name_is_free(store: Store, name: str) -> None:
    row = store.db.execute("SELECT id FROM networks WHERE name = ?", (name,)).fetchone()
    if row:
        raise ConflictError(f"network with name {name} already exists", hint=f"it has the id {row['id'][:12]}")


def _check_addresses(network: Network) -> None:
    """All values of --subnet, --gateway and --ip-range are read here, before anything is done."""
    if not network.subnet:
        if network.gateway or network.ip_range:
            raise UsageError("--gateway and --ip-range need a --subnet that they lie in")
        return
    subnet = pool.parse_subnet(network.subnet)
    if network.gateway and pool.parse_address(network.gateway) not in pool.hosts(subnet):
        raise UsageError(f"gateway {network.gateway} is not an address of {network.subnet}")
    if network.ip_range:
        inner = pool.parse_cidr(network.ip_range)
        if inner.prefix_length < subnet.prefix_length or not pool.contains(subnet, inner.address):
            raise UsageError(f"ip range {network.ip_range} does not lie in {network.subnet}")


def _checked_options(options: Mapping[str, str]) -> dict[str, str]:
    for name, value in options.items():
        if name == MTU_OPTION:
            valid = bool(re.fullmatch(r"[0-9]{2,5}", value)) and 68 <= int(value) <= 65535
        elif name == MASQUERADE_OPTION:
            valid = value in ("true", "false", "1", "0")
        elif name == HOST_BINDING_OPTION:
            pool.parse_address(value)
            valid = True
        else:
            known = ", ".join((MTU_OPTION, MASQUERADE_OPTION, HOST_BINDING_OPTION))
            raise UsageError(f"unknown network option {name}", hint=f"known are {known}")
        if not valid:
            raise UsageError(f"invalid value {value!r} of network option {name}")
    return dict(options)
