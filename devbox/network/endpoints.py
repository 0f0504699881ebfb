"""Endpoints: the places on networks that running containers have."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import sqlite3

from devbox.errors import ConflictError, NotFoundError, UsageError
from devbox.model.container import Container
from devbox.model.network import Endpoint, EndpointWish, Network
from devbox.network import naming, networks, plumbing, pool
from devbox.store.database import Store
from devbox.system import procfs


def allocate(store: Store, container: Container) -> tuple[Endpoint, ...]:
    """Take an address on every network that the container wishes to join; [tx].

    What an earlier start left to it is given back first. Bridges are made where they are missing.
    Raises ConflictError for an address that is taken or a full network, NotFoundError for a network that is gone.
    """
    release(store, container.id)
    for wish in container.config.endpoints:
        try:
            add(store, container.id, wish)
        except NotFoundError as error:
            raise NotFoundError(
                f"network {wish.network} of container {container.name} is gone",
                hint=f"make it again with 'devbox network create {wish.network}', or leave it with "
                f"'devbox network disconnect {wish.network} {container.name}'",
            ) from error
    return of(store, container.id)


def add(store: Store, container_id: str, wish: EndpointWish) -> Endpoint:
    """Take an address on one more network; [tx]."""
    network = check(store, wish)
    network = networks.up(store, network)
    subnet = pool.parse_cidr(network.subnet)
    address = _address(store, network, wish)
    endpoint = Endpoint(
        network_id=network.id,
        container_id=container_id,
        address=pool.format_address(address),
        prefix_length=subnet.prefix_length,
        gateway="" if network.internal else network.gateway,
        mac=wish.mac or "02:42:" + address.to_bytes(4, "big").hex(":"),
        interface=_free_interface(store, container_id),
        host_interface=naming.veth(store.root),
        aliases=wish.aliases,
    )
    try:
        _insert(store, endpoint)
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"the container is already connected to network {network.name}") from error
    announce(store, "connect", network, container_id)
    return endpoint


def check(store: Store, wish: EndpointWish) -> Network:
    """The network of a wish that can be granted as far as can be known before; raises what `add` would."""
    network = networks.get(store, wish.network)
    if network.driver != "bridge":
        raise UsageError(f"network {network.name} cannot be joined beside others", hint="it is chosen at create")
    if wish.aliases and not networks.is_user_defined(network):
        raise UsageError("network-scoped aliases are supported for containers in user defined networks only")
    if not wish.address:
        return network
    if not networks.is_user_defined(network):
        raise UsageError("a static address is supported on user-defined networks only")
    if not network.own_subnet:
        raise UsageError(
            f"a static address needs a network with a subnet of your own, and {network.name} has none",
            hint="devbox network create --subnet 10.20.0.0/16 NAME",
        )
    if pool.parse_address(wish.address) not in pool.hosts(pool.parse_cidr(network.subnet)):
        raise UsageError(f"address {wish.address} does not lie in {network.subnet} of network {network.name}")
    return network


def release(store: Store, container_id: str) -> None:
    """Give back addresses and published ports; [tx]."""
    plumbing.cut_off(of(store, container_id))
    joined = store.db.execute(
        "SELECT networks.id FROM networks JOIN endpoints ON networks.id = network_id WHERE container_id = ?",
        (container_id,),
    )
    for row in joined.fetchall():
        announce(store, "disconnect", networks.by_id(store, row["id"]), container_id)
    store.db.execute("DELETE FROM ports WHERE container_id = ?", (container_id,))
    store.db.execute("DELETE FROM endpoints WHERE container_id = ?", (container_id,))


def remove(store: Store, endpoint: Endpoint) -> None:
    """Give back one place; [tx]."""
    store.db.execute(
        "DELETE FROM endpoints WHERE network_id = ? AND container_id = ?",
        (endpoint.network_id, endpoint.container_id),
    )
    announce(store, "disconnect", networks.by_id(store, endpoint.network_id), endpoint.container_id)


def announce(store: Store, action: str, network: Network, container_id: str) -> None:
    """Record that a container has joined or left a network; [tx]."""
    attributes = {"container": container_id, "name": network.name, "type": network.driver}
    store.event("network", action, network.id, attributes)


def of(store: Store, container_id: str) -> tuple[Endpoint, ...]:
    """The endpoints that a container has now, eth0 first."""
    rows = store.db.execute("SELECT * FROM endpoints WHERE container_id = ?", (container_id,)).fetchall()
    return tuple(sorted(map(_decode, rows), key=_interface_number))


def identity(endpoint: Endpoint) -> str:
    """The 64 hex digits that docker shows as EndpointID."""
    import hashlib

    return hashlib.sha256(f"{endpoint.network_id}{endpoint.container_id}".encode()).hexdigest()


def on(store: Store, network_id: str) -> tuple[Endpoint, ...]:
    """The endpoints on a network."""
    rows = store.db.execute("SELECT * FROM endpoints WHERE network_id = ? ORDER BY address", (network_id,))
    return tuple(map(_decode, rows))


def _decode(row: sqlite3.Row) -> Endpoint:
    fields = dict(zip(row.keys(), row, strict=True))
    fields["aliases"] = tuple(json.loads(fields.pop("aliases_json")))
    return Endpoint(**fields)


def _insert(store: Store, endpoint: Endpoint) -> None:
    columns: dict[str, object] = dict(endpoint._asdict())
    columns["aliases_json"] = json.dumps(columns.pop("aliases"))
    marks = ",".join("?" * len(columns))
    store.db.execute(f"INSERT INTO endpoints ({','.join(columns)}) VALUES ({marks})", tuple(columns.values()))


def _interface_number(endpoint: Endpoint) -> int:
    return int(endpoint.interface.removeprefix("eth"))


def _free_interface(store: Store, container_id: str) -> str:
    taken = {endpoint.interface for endpoint in of(store, container_id)}
    number = 0
    while f"eth{number}" in taken:
        number += 1
    return f"eth{number}"


def _address(store: Store, network: Network, wish: EndpointWish) -> int:
    if not wish.address:
        return free_address(store, network)
    holder = _holders(store, network).get(pool.parse_address(wish.address))
    if holder:
        raise ConflictError(f"address {wish.address} is in use by {holder}")
    return pool.parse_address(wish.address)


def free_address(store: Store, network: Network) -> int:
    """An address that nobody has; [tx]. ConflictError when there is none."""
    within = pool.parse_cidr(network.ip_range) if network.ip_range else None
    free = pool.choose_address(pool.parse_cidr(network.subnet), _holders(store, network), within)
    if free is None:
        span = network.ip_range or network.subnet
        raise ConflictError(f"network {network.name} has no free address in {span}")
    return free


def _holders(store: Store, network: Network) -> dict[int, str]:
    """Who has which address, in words: containers, builds that are under way, and the gateway."""
    rows = store.db.execute(
        "SELECT address, 'container ' || name FROM endpoints JOIN containers ON containers.id = container_id "
        "WHERE network_id = ?1 UNION ALL SELECT address, 'a build' FROM build_leases WHERE network_id = ?1",
        (network.id,),
    )
    holders = {pool.parse_address(address): who for address, who in rows}
    return {**holders, pool.parse_address(network.gateway): f"the gateway of network {network.name}"}


def drop_dead_leases(store: Store) -> None:
    """Give back the addresses of builds that were killed; [tx]."""
    for row in store.db.execute("SELECT DISTINCT pid, pid_start FROM build_leases").fetchall():
        if not procfs.alive(row["pid"], row["pid_start"]):
            store.db.execute("DELETE FROM build_leases WHERE pid = ? AND pid_start = ?", tuple(row))
