"""Published ports: claimed in the state file, and held by sockets that conmon keeps open."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket  # `socket` costs a command 3 ms and adds nothing that is needed here
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from devbox.errors import ConflictError, HostError, UsageError
from devbox.model.container import Container
from devbox.model.network import Endpoint, PortBinding, PortWish
from devbox.network import gate, networks
from devbox.store.database import Store

ANY = "0.0.0.0"
_LOCAL = "127.0.0.1"
_RANDOM_FIRST, _RANDOM_END = 49153, 65536


class _Holder(NamedTuple):
    host_address: str
    name: str


def claim(store: Store, container: Container, endpoints: Sequence[Endpoint]) -> tuple[PortBinding, ...]:
    """Take the ports that a container publishes, -P included; [tx].

    Raises ConflictError naming the container that has one of them, UsageError where nothing can be published.
    """
    wishes = _wishes(container)
    if not wishes:
        return ()
    default = _default_address(store, container, endpoints)
    bindings: list[PortBinding] = []
    asked: list[gate.Port] = []
    for wish in wishes:
        wish = wish._replace(host_address=default) if wish.host_address == ANY else wish
        here = _here(store, wish)
        binding = _take(store, container, here, wish.host_address)
        if binding not in bindings:
            bindings.append(binding)
            asked.append((binding.protocol, wish.host_address, binding.host_port))
    gate.ask(asked)
    return tuple(bindings)


def published(store: Store) -> list[tuple[str, str, int, str]]:
    """Every published port as the host of a machine needs it: protocol, address asked for, port, address here."""
    from devbox.model.codec import load_config

    rows = store.db.execute(
        "SELECT protocol, host_port, host_address, container_port, config_json FROM ports "
        "JOIN containers ON containers.id = container_id"
    )
    found = []
    for protocol, port, here, inside, config in rows:
        wishes = [wish for wish in load_config(config).ports if wish.protocol == protocol]
        asked = (wish.host_address for wish in wishes if wish.container_port == inside)
        found.append((protocol, next((address for address in asked if address != ANY), here), port, here))
    return found


def of(store: Store, container_id: str) -> tuple[PortBinding, ...]:
    """The ports that a container has published now, by container port."""
    rows = store.db.execute(
        "SELECT container_port, protocol, host_port, host_address FROM ports WHERE container_id = ? "
        "ORDER BY container_port, protocol, host_address, host_port",
        (container_id,),
    )
    return tuple(PortBinding(*row) for row in rows)


def hold(bindings: Iterable[PortBinding]) -> list[int]:
    """Bind every port, so that no other program can; the sockets are the caller's to pass on and to close.

    Raises ConflictError naming the process that has one of them.
    """
    held: list[int] = []
    try:
        for binding in bindings:
            held.append(_bind(binding.protocol, binding.host_address, binding.host_port))
    except OSError as error:
        for fd in held:
            os.close(fd)
        raise _refusal(binding, error) from error
    return held


def _wishes(container: Container) -> tuple[PortWish, ...]:
    config = container.config
    if not config.publish_all:
        return config.ports
    chosen = {(wish.container_port, wish.protocol) for wish in config.ports}
    exposed = (text.partition("/") for text in config.exposed)
    rest = [(int(number), "udp" if protocol == "udp" else "tcp") for number, _, protocol in exposed]
    return config.ports + tuple(
        PortWish(number, "udp" if protocol == "udp" else "tcp")
        for number, protocol in sorted(rest)
        if (number, protocol) not in chosen
    )


def _default_address(store: Store, container: Container, endpoints: Sequence[Endpoint]) -> str:
    """The host address of a port that was published without one."""
    outward = next((endpoint for endpoint in endpoints if endpoint.gateway), None)
    if outward:
        return networks.host_binding(networks.by_id(store, outward.network_id))
    if endpoints:
        raise UsageError(
            f"container {container.name} cannot publish ports: its networks are internal",
            hint="connect it to a network that is not internal as well",
        )
    raise UsageError(f"a container with network {container.config.network_mode} cannot publish ports")


def _here(store: Store, wish: PortWish) -> PortWish:
    """In a machine an address may be one of its host's, which then comes in by 127.0.0.1."""
    if wish.host_address == ANY or not os.path.isdir(store.root.hosts):
        return wish
    try:
        os.close(_bind("udp", wish.host_address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return wish._replace(host_address=_LOCAL)
    return wish


def _take(store: Store, container: Container, wish: PortWish, asked: str) -> PortBinding:
    taken = _holders(store, wish.protocol)
    if wish.host_port and not wish.host_port_end:
        clash = _clash(taken.get(wish.host_port, ()), wish.host_address)
        if clash:
            raise ConflictError(
                f"port {wish.host_port}/{wish.protocol} is taken by container {clash.name}",
                hint=f"stop it with 'devbox stop {clash.name}', or publish another port",
            )
        return _record(store, container, wish, wish.host_port)
    for port in _candidates(wish):
        if not _clash(taken.get(port, ()), wish.host_address) and _is_free(wish, port, asked):
            return _record(store, container, wish, port)
    span = f"{wish.host_port}-{wish.host_port_end}" if wish.host_port else f"{_RANDOM_FIRST}-{_RANDOM_END - 1}"
    raise ConflictError(f"no port of {span}/{wish.protocol} is free")


def _holders(store: Store, protocol: str) -> dict[int, list[_Holder]]:
    rows = store.db.execute(
        "SELECT host_port, host_address, name FROM ports JOIN containers ON containers.id = container_id "
        "WHERE protocol = ?",
        (protocol,),
    )
    found: dict[int, list[_Holder]] = {}
    for port, address, name in rows:
        found.setdefault(port, []).append(_Holder(address, name))
    return found


def _clash(taken: Iterable[_Holder], address: str) -> _Holder | None:
    return next(
        (other for other in taken if ANY in (address, other.host_address) or other.host_address == address), None
    )


def _candidates(wish: PortWish) -> Iterator[int]:
    if wish.host_port:
        yield from range(wish.host_port, wish.host_port_end + 1)
        return
    # a random start keeps two roots that choose at the same moment apart
    start = _RANDOM_FIRST + int.from_bytes(os.urandom(2), "big") % (_RANDOM_END - _RANDOM_FIRST)
    yield from range(start, _RANDOM_END)
    yield from range(_RANDOM_FIRST, start)


def _is_free(wish: PortWish, port: int, asked: str) -> bool:
    try:
        os.close(_bind(wish.protocol, wish.host_address, port))
        gate.ask([(wish.protocol, asked, port)])
    except ConflictError:
        return False
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return False
        raise _refusal(PortBinding(wish.container_port, wish.protocol, port, wish.host_address), error) from error
    return True


def _record(store: Store, container: Container, wish: PortWish, port: int) -> PortBinding:
    store.db.execute(
        "INSERT INTO ports (protocol, host_address, host_port, container_id, container_port) "
        "VALUES (?, ?, ?, ?, ?)",
        (wish.protocol, wish.host_address, port, container.id, wish.container_port),
    )
    return PortBinding(wish.container_port, wish.protocol, port, wish.host_address)


def _bind(protocol: str, address: str, port: int) -> int:
    kind = _socket.SOCK_STREAM if protocol == "tcp" else _socket.SOCK_DGRAM
    endpoint = _socket.socket(_socket.AF_INET, kind | _socket.SOCK_CLOEXEC)
    try:
        if protocol == "tcp":
            # what a former owner left in TIME_WAIT is no obstacle; a listener still is
            endpoint.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        else:
            endpoint.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 0)
        endpoint.bind((address, port))
        if protocol == "tcp":
            endpoint.listen(1)
    except OSError:
        endpoint.close()
        raise
    return endpoint.detach()


def _refusal(binding: PortBinding, error: OSError) -> Exception:
    from devbox.network import holders

    what = f"port {binding.host_port}/{binding.protocol}"
    if error.errno == errno.EADDRINUSE:
        holder = holders.of_port(binding.protocol, binding.host_port) or "another process"
        return ConflictError(f"{what} is taken by {holder}", hint="stop it, or publish another port")
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            f"{binding.host_address} is not an address of this machine", hint="'ip address' lists them"
        )
    return HostError(f"cannot publish {what}: {os.strerror(error.errno or 0).lower()}")
