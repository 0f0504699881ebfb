"""Published ports: from everywhere they should be reached, and from nowhere else."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator

import pytest

from tests.engine.islands import HOST, OUTSIDE, Island, eventually, island


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    with island(tmp_path_factory.mktemp("ports")) as made:
        yield made


@pytest.fixture
def clean(land: Island) -> Iterator[Island]:
    """The island, with no container before and after."""
    yield land
    names = [row[0] for row in land.query("SELECT name FROM containers")]
    if names:
        land("rm", "-f", *names)
    assert land.query("SELECT * FROM ports") == []
    assert land.query("SELECT * FROM endpoints") == []


def gateway(land: Island) -> str:
    return str(land.query("SELECT gateway FROM networks WHERE name = 'bridge'")[0][0])


def test_a_port_is_reached_from_everywhere(clean: Island) -> None:
    clean("network", "create", "side")
    web = clean.serve("web", "-p", "8080:80")
    clean("run", "-d", "--name", "near", "busybox", "sleep", "1000")
    clean("run", "-d", "--name", "far", "--network", "side", "busybox", "sleep", "1000")
    places = {
        "outside": (clean.outside, HOST),
        "loopback": (clean.host, "127.0.0.1"),
        "own address": (clean.host, HOST),
        "bridge address": (clean.host, gateway(clean)),
        "itself": (clean.pid("web"), HOST),
        "itself by the bridge": (clean.pid("web"), gateway(clean)),
        "a neighbour": (clean.pid("near"), HOST),
        "another network": (clean.pid("far"), HOST),
    }
    reached = {
        place: clean.fetch(f"http://{address}:8080/hostname", pid=pid) for place, (pid, address) in places.items()
    }
    assert reached == dict.fromkeys(places, web)
    clean("stop", "-t", "0", "web")
    assert not clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside, seconds=0.3)
    clean("rm", "-f", "far")
    clean("network", "rm", "side")


@pytest.mark.parametrize("calls", ["0", "1"])
def test_hairpin_works_whether_bridged_packets_meet_iptables_or_not(clean: Island, calls: str) -> None:
    setting = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    if clean.run("test", "-e", setting).returncode:
        pytest.skip("br_netfilter is not there")
    before = clean.run("cat", setting).stdout
    clean.run("sh", "-c", f"echo {calls} > {setting}", check=True)
    try:
        web = clean.serve("web", "-p", "8080:80")
        clean("run", "-d", "--name", "near", "busybox", "sleep", "1000")
        for name in ("web", "near"):
            assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.pid(name)) == web
    finally:
        clean.run("sh", "-c", f"echo {before.strip()} > {setting}", check=True)


def test_udp_is_reached_and_the_first_packet_after_a_restart_too(clean: Island) -> None:
    clean("run", "-d", "--name", "dns", "-p", "5300:53/udp", "busybox", "sleep", "1000")
    with clean.echo(53, "one", pid=clean.pid("dns")):
        assert clean.ask(HOST, 5300, pid=clean.outside) == f"one {OUTSIDE}"
        assert clean.ask("127.0.0.1", 5300).startswith("one ")
        assert clean.ask(HOST, 5300, pid=clean.pid("dns")).startswith("one ")
    clean("stop", "-t", "0", "dns")
    # its address goes to somebody else, and it comes back with another one
    clean("run", "-d", "--name", "squatter", "busybox", "sleep", "1000")
    with clean.echo(53, "squatter", pid=clean.pid("squatter")):
        clean("start", "dns")
        with clean.echo(53, "two", pid=clean.pid("dns")):
            assert clean.ask(HOST, 5300, pid=clean.outside) == f"two {OUTSIDE}"


def test_a_flow_that_never_pauses_follows_its_port(clean: Island) -> None:
    clean("run", "-d", "--name", "dns", "-p", "5300:53/udp", "busybox", "sleep", "1000")
    ask = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 4444));"
        "s.settimeout(1); s.sendto(b'x', (sys.argv[1], 5300)); sys.stdout.write(s.recv(99).decode())"
    )
    with clean.echo(53, "one", pid=clean.pid("dns")):
        assert clean.run(sys.executable, "-c", ask, HOST, pid=clean.outside).stdout.startswith("one")
    clean("stop", "-t", "0", "dns")
    clean("run", "-d", "--name", "squatter", "busybox", "sleep", "1000")
    clean("start", "dns")
    with clean.echo(53, "two", pid=clean.pid("dns")):
        assert clean.run(sys.executable, "-c", ask, HOST, pid=clean.outside).stdout.startswith("two")


def test_a_port_of_loopback_is_reached_from_nowhere_else(clean: Island) -> None:
    web = clean.serve("web", "-p", "127.0.0.1:8080:80")
    clean("run", "-d", "--name", "near", "busybox", "sleep", "1000")
    assert clean.fetch("http://127.0.0.1:8080/hostname") == web
    for pid in (clean.outside, clean.pid("near"), clean.pid("web")):
        for address in (HOST, gateway(clean)):
            assert not clean.fetch(f"http://{address}:8080/hostname", pid=pid, seconds=0.3)


def test_packets_to_loopback_do_not_come_in_by_the_wire(clean: Island) -> None:
    """A neighbour may send what no router would; without the first chain it would reach the container."""
    web = clean.serve("web", "-p", "127.0.0.1:8080:80")
    attack = (
        "ip addr flush dev lo; ip route flush table local dev lo; ip route add 127.0.0.1 via "
        f"{HOST} src {OUTSIDE}; echo 1 > /proc/sys/net/ipv4/conf/wire/route_localnet; "
        "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"
    )
    clean.run("sh", "-c", attack, pid=clean.outside, check=True)
    try:
        assert not clean.fetch("http://127.0.0.1:8080/hostname", pid=clean.outside, seconds=0.5)
        table = clean.run("nft", "list", "tables").stdout.split()[-1]
        clean.run("nft", "flush", "chain", "ip", table, "raw", check=True)
        assert clean.fetch("http://127.0.0.1:8080/hostname", pid=clean.outside) == web, "the test attacks nothing"
        clean("run", "--rm", "busybox", "true")  # mends it
        assert not clean.fetch("http://127.0.0.1:8080/hostname", pid=clean.outside, seconds=0.5)
    finally:
        back = "ip route del 127.0.0.1; ip addr add 127.0.0.1/8 dev lo"
        clean.run("sh", "-c", back, pid=clean.outside, check=True)


def test_the_machines_own_loopback_services_stay_its_own(clean: Island) -> None:
    """Bridges have route_localnet: a container must not reach 127.0.0.1 of the host by it."""
    clean("run", "-d", "--name", "near", "busybox", "sleep", "1000")
    near = clean.pid("near")
    attack = (
        f"ip addr flush dev lo; ip route flush table local dev lo; ip route add 127.0.0.1 via {gateway(clean)}; "
        "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"
    )
    clean.run("sh", "-c", attack, pid=near, check=True)
    with clean.echo(7000, "host"):
        assert clean.ask("127.0.0.1", 7000) == "host 127.0.0.1"
        assert not clean.ask("127.0.0.1", 7000, pid=near, seconds=0.5)


def test_what_is_not_published_is_not_reached_by_routing(clean: Island) -> None:
    clean.serve("web", "-p", "8080:80")
    web = clean.address("web")
    assert clean.fetch(f"http://{web}/hostname")
    assert not clean.fetch(f"http://{web}/hostname", pid=clean.outside, seconds=0.5)


def test_containers_reach_the_outside_with_the_hosts_address(clean: Island) -> None:
    clean("run", "-d", "--name", "near", "busybox", "sleep", "1000")
    with clean.echo(7000, "out", pid=clean.outside):
        assert clean.ask(OUTSIDE, 7000, pid=clean.pid("near")) == f"out {HOST}"


def test_ranges_random_ports_and_all(clean: Island) -> None:
    clean("run", "-d", "--name", "many", "-p", "9000-9002:90-92", "-p", "9000-9010:80", "busybox", "sleep", "9")
    found = clean.query("SELECT container_port, host_port FROM ports ORDER BY 1, 2")
    assert found == [(80, 9003), (90, 9000), (91, 9001), (92, 9002)]
    web = clean.serve("web", "-p", "127.0.0.1::80")
    (port,) = clean.query("SELECT host_port FROM ports WHERE host_address = '127.0.0.1'")[0]
    assert clean.fetch(f"http://127.0.0.1:{port}/hostname") == web
    clean("run", "-d", "--name", "all", "-P", "--expose", "80", "--expose", "53/udp", "busybox", "sleep", "9")
    assert len(clean.query("SELECT * FROM ports WHERE container_id = ?", clean.id("all"))) == 2


def test_a_clash_names_the_holder_and_leaves_nothing(clean: Island) -> None:
    clean.serve("web", "-p", "8080:80")
    message = clean.fails("run", "--name", "second", "-p", "8080:80", "busybox", "true")
    assert "port 8080/tcp is taken by container web" in message
    with clean.echo(5301, "foreign"):
        message = clean.fails("run", "--name", "third", "-p", "5301:53/udp", "busybox", "true")
    assert re.search(r"port 5301/udp is taken by python\S* \(pid \d+\)", message)
    held = clean.query("SELECT container_id FROM endpoints UNION SELECT container_id FROM ports")
    assert held == [(clean.id("web"),)]


def test_a_published_port_is_refused_to_other_programs(clean: Island) -> None:
    clean.serve("web", "-p", "8080:80")
    bind = "import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('', 8080)); s.listen()"
    assert "Address already in use" in clean.run(sys.executable, "-c", bind).stderr
    clean("rm", "-f", "web")
    assert clean.run(sys.executable, "-c", bind).returncode == 0


def test_a_flushed_table_is_mended_by_the_next_start(clean: Island) -> None:
    web = clean.serve("web", "-p", "8080:80")
    for harm in (("flush", "ruleset"), ("delete", "table", "ip", "{}"), ("flush", "map", "ip", "{}", "published")):
        table = clean.run("nft", "list", "tables").stdout.split()[-1]
        clean.run("nft", *(word.format(table) for word in harm), check=True)
        assert not clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside, seconds=0.3)
        clean("run", "--rm", "busybox", "true")
        assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == web


def test_other_tables_are_left_alone(clean: Island) -> None:
    clean.run("nft", "add", "table", "inet", "theirs", check=True)
    clean.run(
        "nft", "add", "chain", "inet", "theirs", "input", "{ type filter hook input priority 0; }", check=True
    )
    before = clean.run("nft", "list", "table", "inet", "theirs").stdout
    clean.serve("web", "-p", "8080:80")
    clean("rm", "-f", "web")
    assert clean.run("nft", "list", "table", "inet", "theirs").stdout == before
    clean.run("nft", "delete", "table", "inet", "theirs", check=True)


def test_iptables_that_drops_what_it_does_not_know_is_passed(clean: Island) -> None:
    """What docker does to the machine: policy DROP in FORWARD."""
    rules = (
        "add table ip filter\n"
        "add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }\n"
        "add rule ip filter FORWARD counter\n"
    )
    clean.run("nft", "-f", "-", input=rules, check=True)
    try:
        web = clean.serve("web", "-p", "8080:80")
        assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == web
        with clean.echo(7000, "out", pid=clean.outside):
            assert clean.ask(OUTSIDE, 7000, pid=clean.pid("web")) == f"out {HOST}"
        # it is no passage for others, nor past our own rules
        assert not clean.fetch(f"http://{clean.address('web')}/hostname", pid=clean.outside, seconds=0.3)
        if shutil.which("iptables-nft"):  # which must be able to read what we add
            listed = clean.run("iptables-nft", "-S").stdout
            assert "-P FORWARD DROP" in listed
            assert re.search(r"-A devbox_\w+ -i db\S+ -j ACCEPT", listed)
        clean.run("nft", "flush", "chain", "ip", "filter", "FORWARD", check=True)
        clean("run", "--rm", "busybox", "true")
        assert clean.fetch(f"http://{HOST}:8080/hostname", pid=clean.outside) == web
        clean("rm", "-f", "web")
        clean.python("from devbox.network.teardown import teardown; teardown(store)")
        assert "devbox" not in clean.run("nft", "list", "ruleset").stdout
    finally:
        clean.run("nft", "delete", "table", "ip", "filter", check=True)


def test_check_mends_what_a_docker_that_started_later_has_closed(clean: Island) -> None:
    web = clean.serve("web", "-p", "8080:80")
    url = f"http://{HOST}:8080/hostname"
    assert "the store is in order" in clean("check")
    chain = "FORWARD { type filter hook forward priority filter; policy drop; }"
    rules = f"add table ip filter\nadd chain ip filter {chain}"
    clean.run("nft", "-f", "-", input=rules, check=True)
    clean.run("sysctl", "-w", "net.ipv4.ip_forward=0", check=True)
    try:
        assert not clean.fetch(url, pid=clean.outside, seconds=0.5)
        found = clean("check", check=False)
        assert "published ports time out" in found
        assert "ip_forward is 0" in found
        assert clean("check", "--repair").count("repaired: ") == 2
        assert clean.fetch(url, pid=clean.outside) == web
        assert "the store is in order" in clean("check")
        clean("rm", "-f", "web")
        clean.python("from devbox.network.teardown import teardown; teardown(store)")
    finally:
        clean.run("nft", "delete", "table", "ip", "filter", check=True)


def test_sixteen_want_one_port_and_one_gets_it(clean: Island) -> None:
    clean("run", "--rm", "busybox", "true")
    command = ("run", "-d", "-p", "8080:80", "busybox", "sleep", "1000")
    racers = [clean.popen(*command) for _ in range(16)]
    ends = [racer.communicate(timeout=60) for racer in racers]
    winners = [racer for racer in racers if racer.returncode == 0]
    assert len(winners) == 1, [err for _, err in ends]
    for racer, (_, err) in zip(racers, ends, strict=True):
        assert racer.returncode in (0, 125)
        assert racer.returncode == 0 or "port 8080/tcp is taken by" in err
    assert len(clean.query("SELECT * FROM endpoints")) == 1
    assert eventually(lambda: len(clean.interfaces() - {"wire"}) == 2), clean.interfaces()
