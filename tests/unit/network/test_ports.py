from __future__ import annotations

import os
import socket

import pytest

from devbox.errors import ConflictError, UsageError
from devbox.model.container import Container
from devbox.model.network import PortBinding, PortWish
from devbox.network import endpoints, holders, ports
from tests.unit.network.conftest import World


def placed(world: World, name: str, address: str = "172.17.0.2", **config: object) -> Container:
    container = world.container(name, running=True, **config)
    world.place(container, "bridge", address)
    return container


def claim(world: World, container: Container) -> tuple[PortBinding, ...]:
    with world.store.transaction():
        return ports.claim(world.store, container, endpoints.of(world.store, container.id))


def test_a_claim_is_kept_until_it_is_released(world: World) -> None:
    web = placed(world, "web", ports=(PortWish(80, "tcp", 8080), PortWish(53, "udp", 8080, 0, "127.0.0.1")))
    claimed = claim(world, web)
    assert claimed == (PortBinding(80, "tcp", 8080, "0.0.0.0"), PortBinding(53, "udp", 8080, "127.0.0.1"))
    assert ports.of(world.store, web.id) == (claimed[1], claimed[0])
    endpoints.release(world.store, web.id)
    assert ports.of(world.store, web.id) == ()


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [
        ("0.0.0.0", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
    ],
)
def test_a_clash_names_the_container(world: World, first: str, second: str, clash: bool) -> None:
    claim(world, placed(world, "first", ports=(PortWish(80, "tcp", 8080, 0, first),)))
    other = placed(world, "second", "172.17.0.3", ports=(PortWish(80, "tcp", 8080, 0, second),))
    if not clash:
        assert claim(world, other)
        return
    with pytest.raises(ConflictError, match="port 8080/tcp is taken by container first"):
        claim(world, other)
    assert ports.of(world.store, other.id) == ()


def test_tcp_and_udp_do_not_clash(world: World) -> None:
    wishes = (PortWish(53, "tcp", 8053), PortWish(53, "udp", 8053))
    assert len(claim(world, placed(world, "dns", ports=wishes))) == 2


def test_a_random_port_is_free_and_another_one_each_time(world: World) -> None:
    web = placed(world, "web", ports=tuple(PortWish(port) for port in range(80, 90)))
    numbers = {binding.host_port for binding in claim(world, web)}
    assert len(numbers) == 10
    assert all(49153 <= number <= 65535 for number in numbers)


def test_any_port_of_a_range_passes_over_those_taken(world: World) -> None:
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        low = foreign.getsockname()[1]
        wish = PortWish(80, "tcp", low, low, "127.0.0.1")
        with pytest.raises(ConflictError, match=f"no port of {low}-{low}/tcp is free"):
            claim(world, placed(world, "web", ports=(wish,)))


def test_all_exposed_ports_are_published_beside_the_chosen(world: World) -> None:
    web = placed(
        world, "web", publish_all=True, exposed=("443/tcp", "53/udp", "80/tcp"), ports=(PortWish(80, "tcp", 8080),)
    )
    claimed = claim(world, web)
    assert [(binding.container_port, binding.protocol) for binding in claimed] == [
        (80, "tcp"),
        (53, "udp"),
        (443, "tcp"),
    ]
    assert claimed[0].host_port == 8080


def test_where_nothing_can_be_published_it_is_refused(world: World) -> None:
    world.network("inside", "10.1.0.0/16", internal=True)
    wish = (PortWish(80, "tcp", 8080),)
    closed = world.container("closed", networks=("inside",), ports=wish)
    world.place(closed, "inside", "10.1.0.2")
    with pytest.raises(UsageError, match="networks are internal"):
        claim(world, closed)
    with pytest.raises(UsageError, match="network none cannot publish"):
        claim(world, world.container("alone", networks=(), network_mode="none", ports=wish))


def test_held_ports_are_taken_and_the_foreign_holder_is_named() -> None:
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", 0))
        foreign.listen()
        number = foreign.getsockname()[1]
        free = PortBinding(80, "udp", number, "127.0.0.1")
        with pytest.raises(ConflictError, match=rf"port {number}/tcp is taken by .* \(pid {os.getpid()}\)"):
            ports.hold((free, PortBinding(80, "tcp", number, "127.0.0.1")))
        held = ports.hold((free,))  # what was bound before the failure was given back
        os.close(held[0])


def test_a_held_port_cannot_be_bound_by_others() -> None:
    held = ports.hold((PortBinding(80, "tcp", 0, "127.0.0.1"),))
    with socket.socket(fileno=held[0]) as ours, socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(ours.getsockname())
        assert not os.get_inheritable(ours.fileno())


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match=r"198\.51\.100\.7 is not an address of this machine"):
        ports.hold((PortBinding(80, "tcp", 8080, "198.51.100.7"),))


def test_nobody_holds_a_free_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert holders.of_port("tcp", probe.getsockname()[1]) == ""
