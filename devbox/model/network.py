"""Networks, endpoints, published ports and links."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Protocol = Literal["tcp", "udp"]

PREDEFINED = ("bridge", "host", "none")
"""networks that always exist; names resolve on none of them"""


class EndpointWish(NamedTuple):
    """A network that a container joins when it starts."""

    network: str
    """name"""
    aliases: tuple[str, ...] = ()
    address: str = ""
    """--ip; empty: any from the pool"""
    mac: str = ""


class PortWish(NamedTuple):
    """One published port as asked for; ranges are expanded before this."""

    container_port: int
    protocol: Protocol = "tcp"
    host_port: int = 0
    """0: any free one"""
    host_port_end: int = 0
    """not 0: any free one in host_port..host_port_end (docker's `-p 8000-8010:80`)"""
    host_address: str = "0.0.0.0"


class PortBinding(NamedTuple):
    """A published port that is claimed."""

    container_port: int
    protocol: Protocol
    host_port: int
    host_address: str


class Network(NamedTuple):
    """A row of the `networks` table."""

    id: str
    name: str
    driver: str
    """"bridge", "host" or "null" """
    created: float
    subnet: str = ""
    """CIDR"""
    gateway: str = ""
    bridge: str = ""
    """interface name"""
    internal: bool = False
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    ip_range: str = ""
    """CIDR within the subnet that addresses are taken from; empty: all of it"""
    own_subnet: bool = False
    """the user gave the subnet, so that --ip makes sense"""


class Endpoint(NamedTuple):
    """A row of the `endpoints` table: a container's place on a network while it runs."""

    network_id: str
    container_id: str
    address: str
    """IPv4 without prefix length"""
    prefix_length: int
    gateway: str
    mac: str
    interface: str
    """name inside the container: eth0, eth1, ..."""
    host_interface: str
    """name of the veth end on the bridge"""
    aliases: tuple[str, ...] = ()


class Link(NamedTuple):
    """`--link target:alias`, or `devbox link`."""

    consumer_id: str
    target_id: str
    alias: str
