"""Networks that users make: names, addresses, isolation, connecting and disconnecting, links."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.islands import HOST, OUTSIDE, Island, eventually, island


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    with island(tmp_path_factory.mktemp("user")) as made:
        yield made


@pytest.fixture
def clean(land: Island) -> Iterator[Island]:
    """The island, with no container or network before and after."""
    yield land
    names = [row[0] for row in land.query("SELECT name FROM containers")]
    if names:
        land("rm", "-f", *names)
    land("network", "prune", "-f")
    assert eventually(lambda: len(land.interfaces()) <= 1), land.interfaces()


def sleeper(land: Island, name: str, *flags: str) -> int:
    land("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
    return land.pid(name)


def routes(land: Island, pid: int) -> str:
    return land.run("ip", "route", pid=pid).stdout


def check(land: Island) -> str:
    return land.python("from devbox.network import check; print(check.find(store))").strip()


def test_names_resolve_and_follow_a_restart(clean: Island) -> None:
    clean("network", "create", "back")
    web = clean.serve("web", "--network", "back", "--network-alias", "www")
    near = sleeper(clean, "near", "--network", "back")
    path = clean.root / "containers" / clean.id("near") / "hosts"
    inode = path.stat().st_ino
    address = clean.address("web", "back")
    assert f"{address}\tweb www {web}" in clean.hosts("near")
    clean("stop", "-t", "0", "web")
    assert not any("web" in line for line in clean.hosts("near"))
    sleeper(clean, "squatter", "--network", "back")
    assert clean.address("squatter", "back") == address
    clean("start", "web")
    assert f"{clean.address('web', 'back')}\tweb www {web}" in clean.hosts("near")
    assert path.stat().st_ino == inode
    inside = clean.run("cat", f"/proc/{near}/root/etc/hosts").stdout
    assert "web www" in inside


def test_a_static_address_is_kept_and_a_clash_is_refused(clean: Island) -> None:
    clean("network", "create", "--subnet", "10.55.0.0/24", "--ip-range", "10.55.0.128/25", "mine")
    sleeper(clean, "web", "--network", "mine", "--ip", "10.55.0.9")
    assert clean.address("web", "mine") == "10.55.0.9"
    assert "address 10.55.0.9 is in use by container web" in clean.fails(
        "run", "--network", "mine", "--ip", "10.55.0.9", "busybox", "true"
    )
    sleeper(clean, "next", "--network", "mine")
    assert clean.address("next", "mine") == "10.55.0.129"  # the gateway took the first of the range
    for network, word in (("bridge", "user-defined networks only"), ("mine", "does not lie in")):
        assert word in clean.fails("run", "--network", network, "--ip", "10.66.0.9", "busybox", "true")
    clean("network", "create", "pooled")
    message = clean.fails("run", "--network", "pooled", "--ip", "172.18.0.9", "busybox", "true")
    assert "subnet of your own" in message


def test_networks_are_apart(clean: Island) -> None:
    for name in ("one", "two"):
        clean("network", "create", name)
    clean.serve("web", "--network", "one")
    address = clean.address("web", "one")
    inside, other, default = (
        sleeper(clean, name, "--network", network)
        for name, network in (("a", "one"), ("b", "two"), ("c", "bridge"))
    )
    assert clean.fetch(f"http://{address}/hostname", pid=inside)
    for pid in (other, default, clean.outside):
        assert not clean.fetch(f"http://{address}/hostname", pid=pid, seconds=0.3)


def test_an_internal_network_has_no_outside(clean: Island) -> None:
    clean("network", "create", "--internal", "inner")
    near, web = sleeper(clean, "near", "--network", "inner"), clean.serve("web", "--network", "inner")
    assert clean.fetch(f"http://{clean.address('web', 'inner')}/hostname", pid=near) == web
    assert "default" not in routes(clean, near)
    gateway = clean.query("SELECT gateway FROM networks WHERE name = 'inner'")[0][0]
    clean.run("ip", "route", "add", "default", "via", gateway, pid=near, check=True)
    with clean.echo(7000, "out", pid=clean.outside):
        assert not clean.ask(OUTSIDE, 7000, pid=near, seconds=0.3)
    message = clean.fails("run", "--network", "inner", "-p", "8080:80", "busybox", "true")
    assert "its networks are internal" in message


def test_several_networks_and_live_connections(clean: Island) -> None:
    clean("network", "create", "--subnet", "10.56.0.0/24", "one")
    clean("network", "create", "--subnet", "10.57.0.0/24", "two")
    pid = sleeper(clean, "app", "--network", "one")
    web = clean.serve("web", "--network", "two")
    clean("network", "connect", "--ip", "10.57.0.77", "--alias", "frontend", "two", "app")
    assert "10.57.0.77" in clean.run("ip", "-4", "address", "show", "eth1", pid=pid).stdout
    assert clean.fetch(f"http://{clean.address('web', 'two')}/hostname", pid=pid) == web
    assert any("\tapp frontend " in line for line in clean.hosts("web"))
    assert any("\tweb " in line for line in clean.hosts("app"))
    assert "default via 10.56.0.1 dev eth0" in routes(clean, pid)
    clean("network", "disconnect", "one", "app")
    assert "default via 10.57.0.1 dev eth1" in routes(clean, pid)
    assert not any("10.56.0." in line for line in clean.hosts("app"))
    assert "eth0" not in clean.run("ip", "link", pid=pid).stdout
    clean("restart", "-t", "0", "app")
    assert "10.57.0.77/24" in clean.run("ip", "-4", "address", "show", "eth0", pid=clean.pid("app")).stdout
    assert "already connected" in clean.fails("network", "connect", "two", "app")
    assert "is not connected to network one" in clean.fails("network", "disconnect", "one", "app")
    clean("network", "disconnect", "--force", "one", "app")


def test_connecting_a_stopped_container_counts_at_its_start(clean: Island) -> None:
    clean("network", "create", "--subnet", "10.56.0.0/24", "one")
    clean("create", "--name", "app", "busybox", "sleep", "1000")
    clean("network", "connect", "one", "app")
    clean("start", "app")
    assert "10.56.0.2/24" in clean.run("ip", "-4", "address", "show", "eth1", pid=clean.pid("app")).stdout
    assert "default via 172." in routes(clean, clean.pid("app"))


def test_a_network_that_went_while_its_member_was_stopped_can_be_left(clean: Island) -> None:
    for name in ("back", "front"):
        clean("network", "create", name)
    clean("create", "--name", "near", "--network", "back", "--network", "front", "busybox", "sleep", "1000")
    clean("network", "rm", "back", "front")
    message = clean.fails("start", "near")
    assert "network back of container near is gone" in message
    assert "'devbox network disconnect back near'" in message
    assert "nor is container near connected" in clean.fails("network", "disconnect", "-f", "nosuch", "near")
    clean("network", "disconnect", "-f", "back", "near")
    assert "network front of container near is gone" in clean.fails("start", "near")
    clean("network", "disconnect", "front", "near")
    clean("start", "near")
    assert json.loads(clean("inspect", "-f", "{{json .NetworkSettings.Networks}}", "near")) == {}
    clean("network", "connect", "bridge", "near")
    assert "default via" in routes(clean, clean.pid("near"))


def test_joining_and_leaving_are_events(clean: Island) -> None:
    clean("network", "create", "back")
    clean("run", "--name", "near", "--network", "back", "busybox", "true")
    clean("network", "disconnect", "back", "near")
    shown = clean(
        "events",
        "--since",
        "1m",
        "--until",
        "0s",
        "-f",
        "network=back",
        "--format",
        "{{.Action}} {{.Actor.Attributes.container}}",
    )
    near = clean.id("near")
    assert shown.split("\n")[-4:] == [
        "create <no value>",
        *(f"{what} {near}" for what in ("connect", "disconnect", "disconnect")),
    ]


def test_published_ports_move_when_their_network_is_left(clean: Island) -> None:
    clean("network", "create", "one")
    web = clean.serve("web", "-p", "8080:80", "--network", "one")
    clean("network", "connect", "bridge", "web")
    assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == web
    clean("network", "disconnect", "one", "web")
    assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == web
    clean("network", "disconnect", "bridge", "web")
    assert not clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside, seconds=0.3)


@pytest.mark.parametrize("mode", ["none", "host"])
def test_a_container_without_a_network_of_its_own_joins_none(clean: Island, mode: str) -> None:
    sleeper(clean, "alone", "--network", mode)
    assert f"has network {mode} and no other" in clean.fails("network", "connect", "bridge", "alone")
    assert f"has network {mode} and no other" in clean.fails("network", "disconnect", "bridge", "alone")


def test_modes(clean: Island) -> None:
    alone = sleeper(clean, "alone", "--network", "none")
    assert clean.run("ip", "-br", "link", pid=alone).stdout.split()[0] == "lo"
    near = sleeper(clean, "near", "--network", "host")
    assert os.readlink(f"/proc/{near}/ns/net") == os.readlink(f"/proc/{clean.host}/ns/net")
    web = clean.serve("web")
    joined = sleeper(clean, "joined", "--network", "container:web")
    assert clean.fetch("http://127.0.0.1/hostname", pid=joined) == web
    assert clean.hosts("joined") == clean.hosts("web")


def test_what_is_refused_has_no_effect(clean: Island) -> None:
    before = (clean.interfaces(), clean.query("SELECT name FROM networks"))
    for words in (
        ("--subnet", "10.0.0.1/24", "x"),
        ("--subnet", "198.18.0.0/16", "x"),  # the wire lies in it
        ("--driver", "overlay", "x"),
        ("-o", "nosuch=1", "x"),
        ("bridge",),
        ("a b",),
    ):
        clean.fails("network", "create", *words)
    assert (clean.interfaces(), clean.query("SELECT name FROM networks")) == before
    clean("network", "create", "--subnet", "10.58.0.0/16", "x")
    assert "already exists" in clean.fails("network", "create", "x")
    message = clean.fails("network", "create", "--subnet", "10.58.1.0/24", "y")
    assert "overlaps 10.58.0.0/16 of network x" in message
    assert "no such network: nosuch" in clean.fails("run", "--network", "nosuch", "busybox", "true")
    sleeper(clean, "web", "--network", "x")
    assert "active endpoints: web" in clean.fails("network", "rm", "x")
    assert "pre-defined" in clean.fails("network", "rm", "bridge")


def test_a_list_and_an_inspection_are_dockers(clean: Island) -> None:
    identity = clean("network", "create", "--subnet", "10.56.0.0/24", "--label", "team=red", "one")
    sleeper(clean, "web", "--network", "one")
    assert clean("network", "ls", "-q", "--no-trunc", "--filter", "label=team=red") == identity
    assert clean("network", "ls", "--filter", "type=custom", "--format", "{{.Name}} {{.Driver}}") == "one bridge"
    (document,) = json.loads(clean("network", "inspect", "one"))
    assert document["IPAM"]["Config"] == [{"Subnet": "10.56.0.0/24", "Gateway": "10.56.0.1"}]
    assert document["Labels"] == {"team": "red"}
    assert document["Containers"][clean.id("web")]["IPv4Address"] == "10.56.0.2/24"
    assert document["Containers"][clean.id("web")]["MacAddress"] == "02:42:0a:38:00:02"
    assert clean("network", "prune", "-f") == ""
    clean("rm", "-f", "web")
    assert clean("network", "prune", "-f", "--filter", "label!=team") == ""
    assert clean("network", "prune", "-f") == "Deleted Networks:\none"


def test_links_are_as_recorded_and_follow_a_restart(clean: Island) -> None:
    sleeper(clean, "redis", "-e", "PASS=s3cret", "--expose", "6379", "--expose", "6380/udp")
    short = clean.id("redis")[:12]
    web = sleeper(clean, "web", "--link", "redis:db")
    first = clean.address("redis")
    environment = clean.run("cat", f"/proc/{web}/environ").stdout.split("\0")
    assert [line for line in environment if line.startswith("DB_")] == [
        f"DB_PORT=tcp://{first}:6379",
        f"DB_PORT_6379_TCP=tcp://{first}:6379",
        f"DB_PORT_6379_TCP_ADDR={first}",
        "DB_PORT_6379_TCP_PORT=6379",
        "DB_PORT_6379_TCP_PROTO=tcp",
        f"DB_PORT_6380_UDP=udp://{first}:6380",
        f"DB_PORT_6380_UDP_ADDR={first}",
        "DB_PORT_6380_UDP_PORT=6380",
        "DB_PORT_6380_UDP_PROTO=udp",
        "DB_NAME=/web/db",
        "DB_ENV_PASS=s3cret",
    ]
    own = f"{clean.address('web')}\t{clean.id('web')[:12]}"
    assert clean.hosts("web") == [f"{first}\tdb {short} redis", own]
    clean("stop", "-t", "0", "redis")
    assert clean.hosts("web") == [own]
    sleeper(clean, "squatter")
    clean("start", "redis")
    assert clean.address("redis") != first
    assert clean.hosts("web") == [f"{clean.address('redis')}\tdb {short} redis", own]


def test_links_between_running_containers(clean: Island) -> None:
    web = clean.serve("web")
    near = sleeper(clean, "near")
    clean("link", "near", "web:db")
    assert any(line.endswith(f"\tdb {web} web") for line in clean.hosts("near"))
    assert "has a link db already" in clean.fails("link", "near", "web:db")
    clean("unlink", "near", "db")
    assert not any("db" in line for line in clean.hosts("near"))
    assert "has no link db" in clean.fails("unlink", "near", "db")
    assert clean.run("cat", f"/proc/{near}/root/etc/hosts").stdout.splitlines()[6:] == clean.hosts("near")


def test_link_errors_are_dockers(clean: Island) -> None:
    message = clean.fails("run", "--link", "nosuch:db", "busybox", "true")
    assert "could not get container for nosuch: no such container: nosuch" in message
    clean("create", "--name", "st", "busybox", "true")
    message = clean.fails("run", "--name", "web", "--link", "st:x", "busybox", "true")
    assert "cannot link to a non running container: /st AS /web/x" in message
    sleeper(clean, "near")
    assert "non running container: /st AS /near/x" in clean.fails("link", "near", "st:x")
    assert clean.query("SELECT alias FROM links WHERE consumer_id = ?", clean.id("near")) == []
    clean("network", "create", "side")
    sleeper(clean, "far", "--network", "side")
    assert "no network in common" in clean.fails("link", "near", "far:x")


def test_sixteen_want_one_address_and_one_gets_it(clean: Island) -> None:
    clean("network", "create", "--subnet", "10.56.0.0/24", "one")
    command = ("run", "-d", "--network", "one", "--ip", "10.56.0.9", "busybox", "sleep", "1000")
    racers = [clean.popen(*command) for _ in range(16)]
    ends = [racer.communicate(timeout=60)[1] for racer in racers]
    assert sorted(racer.returncode for racer in racers) == [0] + [125] * 15, ends
    assert sum("address 10.56.0.9 is in use by container" in end for end in ends) == 15


def test_sixteen_at_once_get_sixteen_addresses(clean: Island) -> None:
    racers = [clean.popen("run", "-d", "busybox", "sleep", "1000") for _ in range(16)]
    ends = [racer.communicate(timeout=60)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 16, ends
    found = {row[0] for row in clean.query("SELECT address FROM endpoints")}
    assert len(found) == 16
    assert check(clean) == "[]"


def test_a_namespace_that_lingers_does_not_answer_for_its_heir(clean: Island) -> None:
    clean.serve("old")
    address = clean.address("old")
    assert clean.fetch(f"http://{address}/hostname")  # the bridge knows now where that address lives
    keeper = subprocess.Popen(clean.command("sleep", "100", pid=clean.pid("old")))
    old = os.readlink(f"/proc/{clean.pid('old')}/ns/net")
    try:
        assert eventually(lambda: os.readlink(f"/proc/{keeper.pid}/ns/net") == old)
        clean("rm", "-f", "old")
        new = clean.serve("new")
        assert clean.address("new") == address
        assert [clean.fetch(f"http://{address}/hostname", seconds=0.5) for _ in range(5)] == [new] * 5
    finally:
        keeper.kill()
        keeper.wait()


KILLED = """
import os, signal, sys
from devbox.network import endpoints, plumbing
from devbox.container import records
from devbox.store.database import Store
from devbox.system.netlink import Netlink
left = int(sys.argv[2])
real = Netlink.request
def request(self, *args):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *args)
Netlink.request = request
with Store.open() as store:
    container = records.get(store, sys.argv[1])
    with store.transaction():
        places = endpoints.allocate(store, container)
    netns = plumbing.netns_new()
    plumbing.connect(store, netns, places)
"""


def test_a_start_killed_at_any_message_leaves_nothing(clean: Island) -> None:
    clean("network", "create", "one")
    clean("create", "--name", "app", "--network", "one", "busybox", "sleep", "1000")
    bridge = clean.query("SELECT bridge FROM networks WHERE name = 'one'")[0][0]
    for step in range(1, 100):
        clean.run("ip", "link", "delete", bridge)  # so that it is made anew, and killed half made
        done = clean.run(sys.executable, "-c", KILLED, "app", str(step), env=clean.env)
        clean.python("from devbox.network import check; check.repair(store)")
        assert check(clean) == "[]"
        assert {name for name in clean.interfaces() if name.startswith("v")} == set()
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert step > 10
    clean("start", "app")
    assert clean.run("ip", "-4", "address", "show", "eth0", pid=clean.pid("app")).stdout


def test_damage_is_found_and_repaired(clean: Island) -> None:
    web = clean.serve("web", "-p", "8080:80")
    (bridge, port) = clean.query("SELECT bridge, host_interface FROM endpoints JOIN networks ON id = network_id")[
        0
    ]
    prefix = bridge.partition("-")[0]
    for harm in (
        ("ip", "link", "delete", bridge),
        ("ip", "link", "set", port, "nomaster"),
        ("ip", "link", "add", f"{prefix}-77", "type", "bridge"),
        ("nft", "flush", "ruleset"),
    ):
        clean.run(*harm, check=True)
        assert check(clean) != "[]", harm
        clean.python("from devbox.network import check; check.repair(store)")
        assert check(clean) == "[]", harm
        assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == web, harm


def test_the_default_network_moves_out_of_the_way(clean: Island) -> None:
    sleeper(clean, "web")
    subnet, bridge = clean.query("SELECT subnet, bridge FROM networks WHERE name = 'bridge'")[0]
    clean("rm", "-f", "web")
    clean.run("ip", "link", "delete", bridge, check=True)  # as after a reboot
    clean.run("ip", "route", "add", subnet, "via", OUTSIDE, check=True)
    try:
        sleeper(clean, "web")
        assert clean.query("SELECT subnet FROM networks WHERE name = 'bridge'")[0][0] != subnet
    finally:
        clean.run("ip", "route", "delete", subnet, check=True)


def test_two_roots_never_meet(clean: Island, tmp_path: Path) -> None:
    other = Island(tmp_path / "other", clean.host, clean.outside)
    names = "('docker.io/library/busybox:latest',)"
    other.python(f"from devbox.image.bases import busybox; busybox.bootstrap(store, {names})")
    try:
        mine, theirs = clean.serve("web", "-p", "8080:80"), other.serve("web", "-p", "8081:80")
        assert clean.address("web").rsplit(".", 2)[0] != other.address("web").rsplit(".", 2)[0]
        for port, web in ((8080, mine), (8081, theirs)):
            assert clean.fetch(f"http://{HOST}:{port}/hostname", pid=clean.outside) == web
            for pid in (clean.pid("web"), other.pid("web")):
                assert clean.fetch(f"http://{HOST}:{port}/hostname", pid=pid) == web
        address = other.address("web")
        assert not clean.fetch(f"http://{address}/hostname", pid=clean.pid("web"), seconds=0.3)
        message = clean.fails("run", "-p", "8081:80", "busybox", "true")
        assert "port 8081/tcp is taken by conmon (pid " in message
    finally:
        other("system", "reset", "--force")
    assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == mine
    assert check(clean) == "[]"
