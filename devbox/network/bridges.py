"""Bridges on the host, made when they are needed and told from half-made ones by being up."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os

from devbox.errors import ConflictError, HostError, UsageError
from devbox.model.network import Network
from devbox.network import naming, pool, resolv
from devbox.store.database import Store
from devbox.system.interfaces import Interfaces, Subnet
from devbox.system.locks import locked

_SYSCTL = "/proc/sys/net"


def host_lock() -> contextlib.AbstractContextManager[int]:
    """Held while a subnet or an interface name is chosen and taken. Always the innermost lock."""
    return locked(naming.HOST_LOCK)


def interfaces() -> set[str]:
    """Names of all interfaces of this machine."""
    with Interfaces() as netlink:
        return {link.name for link in netlink.links()}


def choose(store: Store, network: Network, *, prefer: str = "") -> Network:
    """The network with subnet and gateway filled in; under the host lock.

    A subnet that was asked for must overlap no other; ConflictError, also when all are taken.
    """
    taken = _taken(store, network)
    if network.subnet:
        subnet = pool.parse_subnet(network.subnet)
        _check_ours(store, network, subnet)
        _check_free(network, subnet, taken)
    else:
        preferred = pool.parse_subnet(prefer) if prefer else None
        free = preferred and not pool.overlapping(preferred, taken)
        chosen = preferred if preferred and free else pool.choose_subnet(taken)
        if chosen is None:
            raise ConflictError(
                "every subnet of the default pools is in use", hint="choose one yourself with --subnet"
            )
        subnet = chosen
    gateway = network.gateway or pool.format_address(_first(network, subnet))
    return network._replace(subnet=pool.format_subnet(subnet), gateway=gateway)


def is_up(network: Network) -> bool:
    """Whether the bridge is there, whole."""
    with Interfaces() as netlink:
        found = netlink.link(network.bridge)
    if found is None or not found.up:
        return False
    if not network.internal:
        _enable_forwarding()
    return True


def make(network: Network, mtu: int) -> None:
    """Create the bridge; under the host lock. One that a killed process left half made is made anew."""
    subnet = pool.parse_subnet(network.subnet)
    with Interfaces() as netlink:
        found = netlink.link(network.bridge)
        if found and found.up:
            return
        if found:
            netlink.delete_link(network.bridge)
        _check_free(network, subnet, _on_host(netlink))
        try:
            index = netlink.add_bridge(network.bridge, b"\x02\x42" + os.urandom(4), mtu)
            _switch_on(f"ipv6/conf/{network.bridge}/disable_ipv6", missing_is_fine=True)
            _switch_on(f"ipv4/conf/{network.bridge}/route_localnet")
            netlink.add_address(index, Subnet(pool.parse_address(network.gateway), subnet.prefix_length))
            if not network.internal:
                _enable_forwarding()
            netlink.set_up(network.bridge)
        except OSError as error:
            netlink.delete_link(network.bridge)
            raise HostError(f"cannot make the bridge {network.bridge}: {error.strerror}") from error


def delete(network: Network) -> None:
    """Delete the bridge; absent is fine."""
    with Interfaces() as netlink:
        netlink.delete_link(network.bridge)


def index_of(netlink: Interfaces, network: Network) -> int:
    """The interface index of its bridge."""
    found = netlink.link(network.bridge)
    if found is None:
        raise HostError(f"the bridge {network.bridge} of network {network.name} is gone", hint="try again")
    return found.number


def _first(network: Network, subnet: Subnet) -> int:
    within = pool.parse_cidr(network.ip_range) if network.ip_range else None
    gateway = pool.choose_address(subnet, (), within)
    return pool.hosts(subnet)[0] if gateway is None else gateway


def _taken(store: Store, network: Network) -> list[Subnet]:
    rows = store.db.execute("SELECT subnet FROM networks WHERE subnet <> '' AND id <> ?", (network.id,))
    taken = [pool.parse_cidr(row["subnet"]) for row in rows]
    with Interfaces() as netlink:
        return taken + _on_host(netlink) + _nameservers()


def _on_host(netlink: Interfaces) -> list[Subnet]:
    return netlink.routes() + [subnet for _, subnet in netlink.addresses()]


def _nameservers() -> list[Subnet]:
    """A network over the machine's nameserver would hide it."""
    found = []
    for text in resolv.nameservers():
        with contextlib.suppress(UsageError):  # of IPv6, or nonsense
            found.append(Subnet(pool.parse_address(text), 32))
    return found


def _check_ours(store: Store, network: Network, subnet: Subnet) -> None:
    for row in store.db.execute("SELECT name, subnet FROM networks WHERE subnet <> '' AND id <> ?", (network.id,)):
        if pool.overlapping(subnet, [pool.parse_cidr(row["subnet"])]):
            raise ConflictError(
                f"subnet {pool.format_subnet(subnet)} of network {network.name} overlaps {row['subnet']} "
                f"of network {row['name']}",
                hint="take another one: 'devbox network inspect' shows those of networks",
            )


def _check_free(network: Network, subnet: Subnet, taken: list[Subnet]) -> None:
    clash = pool.overlapping(subnet, taken)
    if clash:
        raise ConflictError(
            f"subnet {pool.format_subnet(subnet)} of network {network.name} overlaps "
            f"{pool.format_subnet(clash[0])}, which is in use on this machine",
            hint="'ip route' and 'devbox network ls' show what is taken",
        )


def forwards() -> bool:
    """Whether this machine passes packets on from one interface to another."""
    with open(f"{_SYSCTL}/ipv4/ip_forward") as file:
        return file.read(1) == "1"


def _enable_forwarding() -> None:
    if not forwards():
        _switch_on("ipv4/ip_forward")


def _switch_on(name: str, *, missing_is_fine: bool = False) -> None:
    try:
        with open(f"{_SYSCTL}/{name}", "w") as file:
            file.write("1")
    except FileNotFoundError:
        if not missing_is_fine:
            raise
    except OSError as error:
        raise HostError(f"cannot set net/{name}: {os.strerror(error.errno or 0).lower()}") from error
