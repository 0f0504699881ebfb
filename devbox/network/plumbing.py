"""Network namespaces and the interfaces in them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Sequence

from devbox.errors import HostError
from devbox.model.network import Endpoint, Network
from devbox.network import bridges, networks, pool
from devbox.store.database import Store
from devbox.system.interfaces import Interfaces, Subnet
from devbox.system.namespaces import network_of

_IPV6_OFF = "/proc/sys/net/ipv6/conf/default/disable_ipv6"


def netns_new() -> int:
    """A new network namespace with lo up, as a descriptor that alone keeps it alive."""
    try:
        with network_of(None), Interfaces() as inside:
            inside.set_up("lo")
            if os.path.exists(_IPV6_OFF):
                with open(_IPV6_OFF, "w") as file:  # of interfaces to come: networks are IPv4 only so far
                    file.write("1")
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise HostError(f"cannot make a network namespace: {reason}", hint="run devbox as root") from error


def connect(store: Store, netns: int, endpoints: Sequence[Endpoint]) -> None:
    """Make the endpoints' interfaces in a namespace: 1 ms each.

    Raises HostError with nothing left behind. The pairs vanish with the namespace, whatever happens to us.
    """
    outward = default_endpoint(endpoints)
    with Interfaces() as host:
        try:
            with network_of(netns):
                inside = Interfaces()
            with inside:
                for endpoint in endpoints:
                    _add_pair(host, networks.by_id(store, endpoint.network_id), endpoint, netns)
                    _bring_up(inside, endpoint, default_route=endpoint == outward)
        except OSError as error:
            for endpoint in endpoints:
                host.delete_link(endpoint.host_interface)
            raise HostError(f"cannot connect the container to its network: {error.strerror}") from error


def attach(store: Store, netns: int, endpoint: Endpoint, *, default_route: bool) -> None:
    """Add an interface to a running container's namespace."""
    gateway = endpoint.gateway if default_route else ""
    connect(store, netns, (endpoint._replace(gateway=gateway),))


def cut_off(endpoints: Sequence[Endpoint]) -> None:
    """Silence interfaces whose addresses are given back: a namespace outlives its last process by some 30 ms."""
    if endpoints:
        with Interfaces() as host:
            for endpoint in endpoints:
                host.set_down(endpoint.host_interface)


def detach(endpoint: Endpoint) -> None:
    """Take an endpoint's interface away from its container; absent is fine."""
    with Interfaces() as host:
        host.delete_link(endpoint.host_interface)


def route_by(netns: int, gateway: str) -> None:
    """Give a running container a default route, after the interface of its former one is gone."""
    with network_of(netns):
        inside = Interfaces()
    with inside:
        inside.add_default_route(pool.parse_address(gateway))


def replug(network: Network, endpoints: Sequence[Endpoint]) -> None:
    """Put the host's ends of running containers back on a bridge that was made anew."""
    with Interfaces() as host:
        bridge = bridges.index_of(host, network)
        for endpoint in endpoints:
            if host.link(endpoint.host_interface):
                host.plug(endpoint.host_interface, bridge)


def default_endpoint(endpoints: Sequence[Endpoint]) -> Endpoint | None:
    """The endpoint that the default route leads through: the first whose network has an outside."""
    return next((endpoint for endpoint in endpoints if endpoint.gateway), None)


def _add_pair(host: Interfaces, network: Network, endpoint: Endpoint, netns: int) -> None:
    """The two ends of a cable: one is a port of the network's bridge, the other lies in the namespace."""
    host.add_veth(
        endpoint.host_interface,
        bridges.index_of(host, network),
        networks.mtu(network),
        peer=endpoint.interface,
        peer_mac=bytes.fromhex(endpoint.mac.replace(":", "")),
        netns=netns,
    )


def _bring_up(inside: Interfaces, endpoint: Endpoint, *, default_route: bool) -> None:
    index = inside.set_up(endpoint.interface)
    inside.add_address(index, Subnet(pool.parse_address(endpoint.address), endpoint.prefix_length))
    if default_route:
        inside.add_default_route(pool.parse_address(endpoint.gateway))
