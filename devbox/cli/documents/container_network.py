"""The NetworkSettings of a container's document, and its links."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import Any

from devbox.cli.documents import listed, mapped
from devbox.model.container import Container
from devbox.model.network import Endpoint, EndpointWish, Network, PortBinding
from devbox.network import endpoints, networks, ports
from devbox.store.database import Store

_NO_ADDRESS = {
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
}


def links(store: Store, container: Container) -> list[str]:
    """docker's HostConfig.Links: "/redis:/web/db"."""
    rows = store.db.execute(
        "SELECT name, alias FROM links JOIN containers ON containers.id = target_id "
        "WHERE consumer_id = ? ORDER BY links.rowid",
        (container.id,),
    )
    return [f"/{row['name']}:/{container.name}/{row['alias']}" for row in rows]


def settings(store: Store, container: Container) -> dict[str, Any]:
    """docker's NetworkSettings; the addresses at the top are those on the default bridge."""
    known = {network.name: network for network in networks.every(store)}
    joined = {endpoint.network_id: endpoint for endpoint in endpoints.of(store, container.id)}
    places = {name: _place(container, known.get(name), wish, joined) for name, wish in _wishes(container)}
    return {
        "Bridge": "",
        "SandboxID": container.id if container.pid else "",
        "SandboxKey": f"/proc/{container.pid}/ns/net" if container.pid else "",
        "Ports": mapped(_ports(container, ports.of(store, container.id)) if container.pid else {}),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": listed(()),
        "SecondaryIPv6Addresses": listed(()),
        **{field: places.get("bridge", _NO_ADDRESS)[field] for field in _NO_ADDRESS},
        "Networks": mapped(places),
    }


def _wishes(container: Container) -> list[tuple[str, EndpointWish | None]]:
    config = container.config
    if config.endpoints:
        return [(wish.network, wish) for wish in config.endpoints]
    return [(config.network_mode, None)] if config.network_mode in ("host", "none") else []


def _place(
    container: Container, network: Network | None, wish: EndpointWish | None, joined: dict[str, Endpoint]
) -> dict[str, Any]:
    endpoint = joined.get(network.id) if network else None
    aliases = wish.aliases if wish else ()
    user_defined = network is not None and networks.is_user_defined(network)
    return {
        "IPAMConfig": {"IPv4Address": wish.address} if wish and wish.address else None,
        "Links": listed(()),
        "Aliases": listed(aliases),
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": network.id if network else "",
        **(_address(endpoint) if endpoint else _NO_ADDRESS),
        "DNSNames": listed((container.name, *aliases, container.id[:12]) if user_defined else ()),
    }


def _address(endpoint: Endpoint) -> dict[str, Any]:
    return {
        **_NO_ADDRESS,
        "EndpointID": endpoints.identity(endpoint),
        "Gateway": endpoint.gateway,
        "IPAddress": endpoint.address,
        "IPPrefixLen": endpoint.prefix_length,
        "MacAddress": endpoint.mac,
    }


def _ports(container: Container, bindings: tuple[PortBinding, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {text: listed(()) for text in container.config.exposed}
    for each in bindings:
        key = f"{each.container_port}/{each.protocol}"
        binding = {"HostIp": each.host_address, "HostPort": str(each.host_port)}
        found[key] = [*(found.get(key) or ()), binding]
    return found
