"""Connecting containers to networks and to each other, and taking them apart again, running or not."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Sequence

from devbox.errors import ConflictError, HostError, NotFoundError, StateError
from devbox.model.network import Endpoint, EndpointWish, Network
from devbox.network import endpoints, firewall, hosts, links, members, networks, plumbing
from devbox.network.members import Member
from devbox.store.database import Store


def connect(store: Store, container_id: str, wish: EndpointWish, aliases: Sequence[tuple[str, str]] = ()) -> None:
    """Let a container join one more network, at once when it runs; `aliases` are (target, alias) links.

    The caller holds its operation lock. Raises what `endpoints.check` does, StateError for a container whose
    network is not its own, ConflictError when it is connected already.
    """
    member = _own_network(store, container_id)
    network = endpoints.check(store, wish)
    if _wish_for(member, network):
        raise ConflictError(f"container {member.name} is already connected to network {network.name}")
    wishes = (*member.config.endpoints, wish._replace(network=network.name))
    with store.transaction():
        members.write_config(store, member.id, member.config._replace(endpoints=wishes))
        for target, alias in aliases:
            links.add(store, member.id, target, alias)
        endpoint = endpoints.add(store, member.id, wish) if member.running else None
    if endpoint:
        _attach(store, member, endpoint)
        firewall.ensure(store)
        hosts.refresh(store, member.id)
        hosts.refresh_peers(store, member.id)


def disconnect(store: Store, container_id: str, reference: str, *, force: bool = False) -> None:
    """Take a container off a network; the caller holds its operation lock.

    Raises NotFoundError when it is not connected, unless `force`. A network that was removed while the container
    was stopped is forgotten.
    """
    member = _own_network(store, container_id)
    try:
        network = networks.get(store, reference)
    except NotFoundError:
        _forget(store, member, reference)
        return
    wish = _wish_for(member, network)
    if wish is None:
        if force:
            return
        raise NotFoundError(f"container {member.name} is not connected to network {network.name}")
    peers = hosts.peers(store, member.id)
    before = endpoints.of(store, member.id)
    gone = [endpoint for endpoint in before if endpoint.network_id == network.id]
    wishes = tuple(other for other in member.config.endpoints if other != wish)
    with store.transaction():
        members.write_config(store, member.id, member.config._replace(endpoints=wishes))
        for endpoint in gone:
            endpoints.remove(store, endpoint)
        if not gone:
            endpoints.announce(store, "disconnect", network, member.id)
    firewall.ensure(store)
    for endpoint in gone:
        _detach(member, endpoint, before)
    if gone:
        hosts.refresh_all(store, [member.id, *peers])


def link(store: Store, consumer_id: str, target: str, alias: str) -> None:
    """Link a container to another, at once when it runs; the caller holds its operation lock.

    Raises what `links.add` does, StateError when a running consumer cannot reach the target.
    """
    consumer = members.by_id(store, consumer_id)
    with store.transaction():
        made = links.add(store, consumer.id, target, alias)
        if consumer.running:
            wished = [wish.network for wish in consumer.config.endpoints]
            links.check_target(store, consumer.name, wished, made)
        attributes = {"name": consumer.name, "target": made.target_id, "alias": alias}
        store.event("container", "link", consumer.id, attributes)
    if consumer.running:
        hosts.refresh_all(store, [consumer.id, *hosts.peers(store, consumer.id)])


def unlink(store: Store, consumer_id: str, alias: str) -> None:
    """Remove a link, at once when the consumer runs; its caller holds the operation lock."""
    consumer = members.by_id(store, consumer_id)
    with store.transaction():
        links.remove(store, consumer.id, alias)
        store.event("container", "unlink", consumer.id, {"name": consumer.name, "alias": alias})
    if consumer.running:
        hosts.refresh_all(store, [consumer.id, *hosts.peers(store, consumer.id)])


def _own_network(store: Store, container_id: str) -> Member:
    member = members.by_id(store, container_id)
    mode = member.config.network_mode.partition(":")[0]
    if mode in ("host", "none", "container"):
        raise StateError(
            f"container {member.name} has network {member.config.network_mode} and no other",
            hint="create it anew with --network and the name of a network",
        )
    return member


def _forget(store: Store, member: Member, reference: str) -> None:
    wishes = tuple(wish for wish in member.config.endpoints if wish.network != reference)
    if wishes == member.config.endpoints:
        raise NotFoundError(
            f"there is no network {reference}, nor is container {member.name} connected to one of that name",
            hint=f"'devbox inspect {member.name}' shows its networks",
        )
    with store.transaction():
        members.write_config(store, member.id, member.config._replace(endpoints=wishes))


def _wish_for(member: Member, network: Network) -> EndpointWish | None:
    for wish in member.config.endpoints:
        if wish.network in (network.name, network.id):
            return wish
    return None


def _attach(store: Store, member: Member, endpoint: Endpoint) -> None:
    others = [other for other in endpoints.of(store, member.id) if other != endpoint]
    needs_route = plumbing.default_endpoint(others) is None
    try:
        netns = os.open(f"/proc/{member.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # it has just ended; the address goes with its end
    try:
        plumbing.attach(store, netns, endpoint, default_route=needs_route)
    except HostError:
        with store.transaction():
            members.write_config(store, member.id, member.config)
            endpoints.remove(store, endpoint)
        raise
    finally:
        os.close(netns)


def _detach(member: Member, gone: Endpoint, before: Sequence[Endpoint]) -> None:
    plumbing.detach(gone)
    following = plumbing.default_endpoint([endpoint for endpoint in before if endpoint != gone])
    if gone != plumbing.default_endpoint(before) or following is None:
        return
    try:
        netns = os.open(f"/proc/{member.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        plumbing.route_by(netns, following.gateway)
    finally:
        os.close(netns)
