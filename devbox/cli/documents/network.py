"""`devbox network inspect` in docker's shape."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import Any

from devbox.cli.documents import listed, mapped
from devbox.cli.units import rfc3339
from devbox.model.network import Endpoint, Network
from devbox.network import endpoints, networks
from devbox.store.database import Store


def document(store: Store, network: Network) -> dict[str, Any]:
    """The whole document; Containers are those that run."""
    names = {row["id"]: row["name"] for row in store.db.execute("SELECT id, name FROM containers")}
    members = {each.container_id: _member(names, each) for each in endpoints.on(store, network.id)}
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": mapped({}), "Config": _addresses(network)},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": mapped(members),
        "Options": mapped(_options(network)),
        "Labels": mapped(network.labels),
    }


def _addresses(network: Network) -> Any:
    if not network.subnet:
        return listed(())
    ip_range = {"IPRange": network.ip_range} if network.ip_range else {}
    return [{"Subnet": network.subnet, **ip_range, "Gateway": network.gateway}]


def _member(names: dict[str, str], endpoint: Endpoint) -> dict[str, Any]:
    return {
        "Name": names.get(endpoint.container_id, ""),
        "EndpointID": endpoints.identity(endpoint),
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{endpoint.prefix_length}",
        "IPv6Address": "",
    }


def _options(network: Network) -> dict[str, str]:
    options = dict(network.options)
    if network.driver == "bridge":
        options["com.docker.network.bridge.name"] = network.bridge
    if network.name == networks.DEFAULT:
        options["com.docker.network.bridge.default_bridge"] = "true"
    return options
