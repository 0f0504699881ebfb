"""docker's inspect document of a network."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import Any

from devbox.cli.units import rfc3339
from devbox.model.network import Network
from devbox.network import endpoints, networks
from devbox.store.database import Store


def document(store: Store, network: Network) -> dict[str, Any]:
    """What `network inspect` shows."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": {}, "Config": _addresses(network)},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": _members(store, network),
        "Options": _options(network),
        "Labels": dict(network.labels),
    }


def _addresses(network: Network) -> list[dict[str, str]]:
    if network.driver != "bridge":
        return []
    config = {"Subnet": network.subnet}
    if network.ip_range:
        config["IPRange"] = network.ip_range
    return [config | {"Gateway": network.gateway}]


def _members(store: Store, network: Network) -> dict[str, dict[str, str]]:
    names = {row["id"]: row["name"] for row in store.db.execute("SELECT id, name FROM containers")}
    return {
        endpoint.container_id: {
            "Name": names.get(endpoint.container_id, ""),
            "EndpointID": endpoints.identity(endpoint),
            "MacAddress": endpoint.mac,
            "IPv4Address": f"{endpoint.address}/{endpoint.prefix_length}",
            "IPv6Address": "",
        }
        for endpoint in endpoints.on(store, network.id)
    }


def _options(network: Network) -> dict[str, str]:
    options = dict(network.options)
    if network.driver == "bridge":
        options["com.docker.network.bridge.name"] = network.bridge
    if network.name == networks.DEFAULT:
        options["com.docker.network.bridge.default_bridge"] = "true"
    return options
