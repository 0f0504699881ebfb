from __future__ import annotations

from typing import Any

import pytest

from devbox.errors import ConflictError, DevboxError, NotFoundError, StateError, UsageError
from devbox.model.network import PREDEFINED, EndpointWish
from devbox.network import endpoints, networks
from tests.unit.network.conftest import World


def names(world: World) -> list[str]:
    return [network.name for network in networks.every(world.store)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("-a", {}),
        ("a b", {}),
        ("a\n", {}),
        ("a" * 129, {}),
        ("bridge", {}),
        ("container", {}),
        ("net", {"driver": "overlay"}),
        ("net", {"subnet": "10.0.0.0"}),
        ("net", {"subnet": "10.0.0.1/24"}),
        ("net", {"subnet": "fd00::/64"}),
        ("net", {"gateway": "10.0.0.1"}),
        ("net", {"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}),
        ("net", {"subnet": "10.0.0.0/24", "gateway": "10.0.0.255"}),
        ("net", {"subnet": "10.0.0.0/24", "ip_range": "10.0.0.0/16"}),
        ("net", {"subnet": "10.0.0.0/24", "ip_range": "10.0.1.0/25"}),
        ("net", {"options": {"nosuch": "1"}}),
        ("net", {"options": {networks.MTU_OPTION: "1"}}),
        ("net", {"options": {networks.MASQUERADE_OPTION: "perhaps"}}),
        ("net", {"options": {networks.HOST_BINDING_OPTION: "localhost"}}),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(world: World, name: str, values: dict[str, Any]) -> None:
    with pytest.raises((UsageError, ConflictError)):
        networks.create(world.store, name, **values)
    assert names(world) == ["bridge", "host", "none"]


def test_a_network_is_found_by_name_id_and_prefix(world: World) -> None:
    identity = world.network("back", "10.1.0.0/16")
    for reference in ("back", identity, identity[:10]):
        assert networks.get(world.store, reference).name == "back"
    for reference in ("nosuch", "", "zz", "*"):
        with pytest.raises(NotFoundError, match="no such network"):
            networks.get(world.store, reference)


def test_predefined_networks_stay(world: World) -> None:
    for name in PREDEFINED:
        with pytest.raises(StateError, match="pre-defined"):
            networks.remove(world.store, name)


def test_a_network_in_use_names_its_members(world: World) -> None:
    world.network("back", "10.1.0.0/16")
    web = world.container("web", running=True, networks=("back",))
    world.place(web, "back", "10.1.0.2")
    with pytest.raises(ConflictError, match="network back has active endpoints: web"):
        networks.remove(world.store, "back")
    assert networks.prune(world.store, lambda _: True) == []


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (EndpointWish("nosuch"), "no such network: nosuch"),
        (EndpointWish("host"), "cannot be joined"),
        (EndpointWish("bridge", ("db",)), "aliases are supported for containers in user defined networks only"),
        (EndpointWish("bridge", (), "172.17.0.9"), "user-defined networks only"),
        (EndpointWish("pooled", (), "10.1.0.9"), "subnet of your own"),
        (EndpointWish("mine", (), "10.3.0.9"), "does not lie in 10.2.0.0/16"),
        (EndpointWish("mine", (), "10.2.255.255"), "does not lie in"),
        (EndpointWish("mine", (), "10.2.0"), "not an IPv4 address"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_early(world: World, wish: EndpointWish, message: str) -> None:
    world.network("pooled", "10.1.0.0/16")
    world.network("mine", "10.2.0.0/16", own=True)
    with pytest.raises(DevboxError, match=message):
        endpoints.check(world.store, wish)


def test_endpoints_come_back_in_the_order_of_their_interfaces(world: World) -> None:
    web = world.container("web")
    for number in (10, 2, 0):
        world.network(f"n{number}", f"10.{number}.0.0/16")
        world.place(web, f"n{number}", f"10.{number}.0.2", interface=f"eth{number}", aliases='["a"]')
    found = endpoints.of(world.store, web.id)
    assert [endpoint.interface for endpoint in found] == ["eth0", "eth2", "eth10"]
    assert found[0].aliases == ("a",)
    assert len({endpoints.identity(endpoint) for endpoint in found}) == 3
