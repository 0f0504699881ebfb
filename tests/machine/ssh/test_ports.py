"""A port that is published in the machine is open on this host, as long as it is published."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.machine.ssh.conftest import Host, serving, wait_until

SERVER = ("busybox", "sh", "-c", "echo $1 >/tmp/index.html; exec httpd -f -h /tmp", "-", "hello")

ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 7))
while True:
    server.sendto(*server.recvfrom(65536))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Host]:
    with serving() as host:
        host("bootstrap", "busybox")
        yield host


@pytest.fixture
def box(lab: Host) -> Iterator[Host]:
    yield lab
    names = lab.out("ps", "-aq").split()
    if names:
        lab("rm", "-f", *names)
    wait_until(lambda: not listening(lab))


def get(port: int, address: str = "127.0.0.1") -> str:
    with urllib.request.urlopen(f"http://{address}:{port}/index.html", timeout=5) as answer:
        return str(answer.read().decode())


def serves(port: int) -> bool:
    try:
        return get(port) == "hello\n"
    except OSError:
        return False


def listening(host: Host) -> set[str]:
    """The addresses at which the broker listens."""
    found = set()
    for pid in host.brokers():
        lines = subprocess.run(["ss", "-lntuHp"], capture_output=True, text=True, check=True).stdout.splitlines()
        found |= {line.split()[4] for line in lines if f"pid={pid}," in line}
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_it_is_open_when_run_returns_and_closed_when_the_container_goes(box: Host) -> None:
    port = free_port()
    box("run", "-d", "--name", "web", "-p", f"{port}:80", *SERVER)
    assert listening(box) == {f"127.0.0.1:{port}"}
    wait_until(lambda: serves(port))
    box("stop", "-t", "0", "web")
    wait_until(lambda: not listening(box), 10)
    box("start", "web")
    wait_until(lambda: serves(port))
    box.guest.run("sh", "-c", f"kill $(cat {box.guest.root}/run/containers/*/pidfile)")
    box.guest.run("pkill", "-9", "-x", "httpd")
    wait_until(lambda: not listening(box), 10)


def test_a_clash_is_an_error_of_run_that_names_the_holder(box: Host) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        told = box.fails("run", "--name", "web", "-p", f"{port}:80", *SERVER)
        assert f"port {port}/tcp of this host is taken by " in told
        assert f"(pid {os.getpid()})" in told
    assert box.out("ps", "-aq") == ""
    box("run", "-d", "-p", f"{port}:80", *SERVER)
    wait_until(lambda: serves(port))


def test_any_free_port_is_free_on_both_sides(box: Host) -> None:
    first = free_port()
    with socket.create_server(("127.0.0.1", first)):
        box("run", "-d", "--name", "web", "-p", f"{first}-{first + 5}:80", "-p", "81", *SERVER)
    chosen = {int(line.rpartition(":")[2]) for line in box.out("port", "web").splitlines()}
    assert first not in chosen
    assert {int(address.rpartition(":")[2]) for address in listening(box)} == chosen


def test_the_address_asked_for_is_the_hosts(box: Host) -> None:
    port = free_port()
    address = box.guest.host_address
    box("run", "-d", "--restart", "always", "--name", "web", "-p", f"{address}:{port}:80", *SERVER)
    assert listening(box) == {f"{address}:{port}"}
    wait_until(lambda: get(port, address) == "hello\n")
    assert not serves(port)
    told = box.fails("run", "--rm", "-p", f"192.0.2.7:{port + 1}:80", "busybox", "true")
    assert "192.0.2.7 is not an address of this host" in told


def test_datagrams(box: Host) -> None:
    port = free_port()
    box("run", "-d", "--name", "echo", "-p", f"{port}:7/udp", "busybox", "sleep", "100")
    pid = box.out("inspect", "-f", "{{.State.Pid}}", "echo").strip()
    echo = subprocess.Popen(["nsenter", "-t", pid, "-n", sys.executable, "-c", ECHO])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, echo:
        client.settimeout(0.5)
        client.connect(("127.0.0.1", port))

        def answered() -> bool:
            client.send(b"x" * 1200)
            try:
                return client.recv(2000) == b"x" * 1200
            except OSError:
                return False

        wait_until(answered)
        echo.kill()


def test_a_connection_is_closed_one_way_at_a_time_and_a_closed_port_resets(box: Host) -> None:
    port = free_port()
    script = "while :; do nc -l -p 80 -e sh -c 'cat; echo end'; done"
    box("run", "-d", "--name", "cat", "-p", f"{port}:80", "-p", f"{port + 1}:81", "busybox", "sh", "-c", script)
    data = os.urandom(200_000)

    def echoed() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client, client.makefile("rb") as answer:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return answer.read() == data + b"end\n"
        except OSError:
            return False

    wait_until(echoed)
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port + 1), 5) as client:
        client.recv(1)


def test_ports_come_back_after_the_broker_or_the_connection_was_lost(box: Host) -> None:
    port = free_port()
    box("run", "-d", "--name", "web", "-p", f"{port}:80", *SERVER)
    wait_until(lambda: serves(port))
    for pid in box.guest.servers()[1:]:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: serves(port))
    (broker,) = box.brokers()
    os.kill(broker, signal.SIGKILL)
    assert not serves(port)
    box("ps")
    wait_until(lambda: serves(port))


def test_without_a_broker_it_is_said_that_they_are_not_open(box: Host) -> None:
    box.end_broker()
    done = box("run", "-d", "-p", f"{free_port()}:80", *SERVER, env={"DEVBOX_NO_BROKER": "1"})
    assert "open in the machine only" in done.stderr
