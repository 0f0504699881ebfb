from __future__ import annotations

import pytest

from devbox.errors import ConflictError, NotFoundError, StateError, UsageError
from devbox.network import links
from tests.unit.network.conftest import World


def test_a_link_gives_the_recorded_variables(world: World) -> None:
    redis = world.container("redis", running=True, env=("PATH=/bin", "PASS=s3cret"), exposed=("6379/tcp",))
    web = world.container("web", running=True)
    world.place(redis, "bridge", "172.17.0.2")
    world.place(web, "bridge", "172.17.0.4")
    links.add(world.store, web.id, "redis", "db")
    assert links.environment(world.store, web.id) == (
        "DB_PORT=tcp://172.17.0.2:6379",
        "DB_PORT_6379_TCP=tcp://172.17.0.2:6379",
        "DB_PORT_6379_TCP_ADDR=172.17.0.2",
        "DB_PORT_6379_TCP_PORT=6379",
        "DB_PORT_6379_TCP_PROTO=tcp",
        "DB_NAME=/web/db",
        "DB_ENV_PASS=s3cret",
    )


def test_on_a_user_network_a_link_is_an_alias_only(world: World) -> None:
    world.network("back", "10.1.0.0/16")
    redis = world.container("redis", running=True, networks=("back",), exposed=("6379/tcp",))
    web = world.container("web", running=True, networks=("back",))
    world.place(redis, "back", "10.1.0.2")
    world.place(web, "back", "10.1.0.3")
    links.add(world.store, web.id, "redis", "db")
    assert links.environment(world.store, web.id) == ()
    assert [link.address for link in links.resolve(world.store, web.id)] == ["10.1.0.2"]


def test_the_default_bridge_counts_when_both_are_shared(world: World) -> None:
    world.network("back", "10.1.0.0/16")
    both = ("back", "bridge")
    redis = world.container("redis", running=True, networks=both)
    web = world.container("web", running=True, networks=both)
    for number, container in enumerate((redis, web), 2):
        world.place(container, "back", f"10.1.0.{number}", interface="eth0")
        world.place(container, "bridge", f"172.17.0.{number}", interface="eth1")
    links.add(world.store, web.id, "redis", "db")
    assert links.environment(world.store, web.id) == ("DB_NAME=/web/db",)
    assert len(links.resolve(world.store, web.id)) == 1


def test_errors_are_dockers(world: World) -> None:
    web = world.container("web")
    world.container("st")
    with pytest.raises(NotFoundError, match="could not get container for nosuch: no such container: nosuch"):
        links.add(world.store, web.id, "nosuch", "db")
    links.add(world.store, web.id, "st", "x")
    with pytest.raises(StateError, match="cannot link to a non running container: /st AS /web/x"):
        links.check_running(world.store, web)


def test_a_target_on_another_network_is_refused_at_start(world: World) -> None:
    world.network("back", "10.1.0.0/16")
    redis = world.container("redis", running=True, networks=("back",))
    world.place(redis, "back", "10.1.0.2")
    web = world.container("web")
    links.add(world.store, web.id, "redis", "db")
    with pytest.raises(StateError, match="no network in common"):
        links.check_running(world.store, web)


def test_an_alias_is_used_once_and_can_be_removed(world: World) -> None:
    web, other = world.container("web"), world.container("other")
    world.container("redis")
    links.add(world.store, web.id, "redis", "db")
    with pytest.raises(ConflictError, match="container web has a link db already"):
        links.add(world.store, web.id, other.id[:12], "db")
    links.remove(world.store, web.id, "db")
    assert links.of(world.store, web.id) == ()
    with pytest.raises(NotFoundError, match="container web has no link db"):
        links.remove(world.store, web.id, "db")


@pytest.mark.parametrize("alias", ["a b", "a\nb", "-a", "", "a/b", "ä", "a" * 64])
def test_an_alias_that_could_inject_is_refused(world: World, alias: str) -> None:
    web = world.container("web")
    world.container("redis")
    with pytest.raises(UsageError, match="invalid link"):
        links.add(world.store, web.id, "redis", alias) if alias else links.add(world.store, web.id, "", "")
    assert links.of(world.store, web.id) == ()


def test_no_container_is_linked_to_itself_or_to_one_without_a_network(world: World) -> None:
    web = world.container("web")
    world.container("near", networks=(), network_mode="host")
    with pytest.raises(UsageError, match="linked to itself"):
        links.add(world.store, web.id, "web", "me")
    with pytest.raises(UsageError, match="container near has network host"):
        links.add(world.store, web.id, "near", "x")


def test_links_go_with_either_end(world: World) -> None:
    web, redis = world.container("web"), world.container("redis")
    links.add(world.store, web.id, "redis", "db")
    world.store.db.execute("DELETE FROM containers WHERE id = ?", (redis.id,))
    assert links.of(world.store, web.id) == ()


def test_targets_are_started_before_their_consumers(world: World) -> None:
    web, api, db = (world.container(name) for name in ("web", "api", "db"))
    links.add(world.store, web.id, "api", "api")
    links.add(world.store, api.id, "db", "db")
    links.add(world.store, db.id, "web", "round")  # a circle, which must end
    assert links.targets_first(world.store, [web.id, db.id]) in ([db.id, web.id], [web.id, db.id])
    links.remove(world.store, db.id, "round")
    assert links.targets_first(world.store, [web.id, api.id, db.id]) == [db.id, api.id, web.id]
    assert links.targets_first(world.store, [web.id]) == [web.id]
