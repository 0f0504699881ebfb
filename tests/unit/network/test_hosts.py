from __future__ import annotations

import os
from pathlib import Path

import pytest

from devbox.model.network import EndpointWish
from devbox.network import endpoints, hosts, links, networks
from devbox.system.files import write_in_place
from tests.unit.network.conftest import World


def test_a_consumers_file_is_as_recorded(world: World) -> None:
    redis = world.container("redis", running=True)
    web = world.container("web", running=True)
    world.place(redis, "bridge", "172.17.0.2")
    world.place(web, "bridge", "172.17.0.4")
    links.add(world.store, web.id, "redis", "db")
    hosts.refresh(world.store, web.id)
    assert world.hosts(web) == [f"172.17.0.2\tdb {redis.id[:12]} redis", f"172.17.0.4\t{web.id[:12]}"]
    hosts.refresh(world.store, redis.id)
    assert world.hosts(redis) == [f"172.17.0.2\t{redis.id[:12]}"]


def test_a_consumer_follows_its_target_in_the_same_file(world: World) -> None:
    redis = world.container("redis", running=True)
    web = world.container("web", running=True)
    world.place(redis, "bridge", "172.17.0.2")
    world.place(web, "bridge", "172.17.0.4")
    links.add(world.store, web.id, "redis", "db")
    hosts.refresh(world.store, web.id)
    path = Path(world.store.root.container(web.id), "hosts")
    inode = path.stat().st_ino
    endpoints.release(world.store, redis.id)
    hosts.refresh_peers(world.store, redis.id)
    assert world.hosts(web) == [f"172.17.0.4\t{web.id[:12]}"]
    world.place(redis, "bridge", "172.17.0.9")
    hosts.refresh_peers(world.store, redis.id)
    assert world.hosts(web)[0] == f"172.17.0.9\tdb {redis.id[:12]} redis"
    assert path.stat().st_ino == inode


def test_members_of_a_user_network_know_each_other(world: World) -> None:
    world.network("back", "10.1.0.0/16")
    one = world.container("one", running=True, networks=("back",))
    two = world.container("two", running=True, networks=(EndpointWish("back", ("db",)),), hostname="box")
    world.place(one, "back", "10.1.0.2")
    world.place(two, "back", "10.1.0.3", aliases='["db"]')
    hosts.refresh(world.store, one.id)
    assert world.hosts(one) == [
        f"10.1.0.2\t{one.id[:12]} one",
        f"10.1.0.3\ttwo db {two.id[:12]}",
    ]
    hosts.refresh(world.store, two.id)
    assert world.hosts(two)[0] == f"10.1.0.3\tbox two db {two.id[:12]}"
    endpoints.release(world.store, two.id)
    hosts.refresh_peers(world.store, two.id)
    assert world.hosts(one) == [f"10.1.0.2\t{one.id[:12]} one"]


def test_the_default_bridge_tells_no_names(world: World) -> None:
    one = world.container("one", running=True)
    two = world.container("two", running=True)
    world.place(one, "bridge", "172.17.0.2")
    world.place(two, "bridge", "172.17.0.3")
    hosts.refresh(world.store, one.id)
    assert world.hosts(one) == [f"172.17.0.2\t{one.id[:12]}"]


def test_added_hosts_come_first_and_the_domain_is_part_of_the_name(world: World) -> None:
    added = ("db:10.9.9.9", "six:fd00::1", "up:host-gateway")
    web = world.container("web", extra_hosts=added, hostname="box", domainname="example.org")
    world.place(web, "bridge", "172.17.0.2")
    hosts.refresh(world.store, web.id)
    assert world.hosts(web) == [
        "10.9.9.9\tdb",
        "fd00::1\tsix",
        f"{networks.get(world.store, 'bridge').gateway}\tup",
        "172.17.0.2\tbox.example.org box",
    ]
    assert Path(world.store.root.container(web.id), "hostname").read_text() == "box\n"


def test_a_container_without_network_has_the_standard_lines_only(world: World) -> None:
    alone = world.container("alone", networks=(), network_mode="none")
    hosts.refresh(world.store, alone.id)
    assert world.hosts(alone) == []


def test_the_hosts_network_has_the_machines_file(world: World) -> None:
    near = world.container("near", networks=(), network_mode="host", extra_hosts=("db:10.9.9.9",))
    hosts.refresh(world.store, near.id)
    text = Path(world.store.root.container(near.id), "hosts").read_text()
    assert text.startswith(Path("/etc/hosts").read_text())
    assert text.endswith("10.9.9.9\tdb\n")


def test_a_joined_namespace_has_the_others_file(world: World) -> None:
    web = world.container("web", running=True)
    world.place(web, "bridge", "172.17.0.2")
    side = world.container("side", running=True, networks=(), network_mode=f"container:{web.id}")
    hosts.refresh(world.store, side.id)
    assert world.hosts(side) == [f"172.17.0.2\t{web.id[:12]}"]
    endpoints.release(world.store, web.id)
    world.place(web, "bridge", "172.17.0.7")
    hosts.refresh_peers(world.store, web.id)
    assert world.hosts(side) == [f"172.17.0.7\t{web.id[:12]}"]


def test_a_peer_whose_directory_is_gone_stops_nobody(world: World) -> None:
    world.network("back", "10.1.0.0/16")
    trio = [world.container(name, running=True, networks=("back",)) for name in ("one", "two", "three")]
    for number, container in enumerate(trio):
        world.place(container, "back", f"10.1.0.{number + 2}")
    os.rmdir(world.store.root.container(trio[0].id))
    hosts.refresh_peers(world.store, trio[1].id)
    assert len(world.hosts(trio[2])) == 3


@pytest.mark.parametrize("before", [b"", b"short", b"a much longer text than what follows\n" * 9])
def test_in_place_means_the_same_inode(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(before)
    inode = path.stat().st_ino
    write_in_place(str(path), b"new content\n")
    assert path.read_bytes() == b"new content\n"
    assert path.stat().st_ino == inode


def test_what_is_right_already_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(b"same\n")
    os.utime(path, (0, 0))
    write_in_place(str(path), b"same\n")
    assert path.stat().st_mtime == 0


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "hosts").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        write_in_place(str(tmp_path / "hosts"), b"evil")
    assert (tmp_path / "victim").read_text() == "precious"
