"""What can go wrong between the two sides, and what is told and left of it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from devbox.machine.guest.processes import descendants
from tests.machine.ssh.conftest import Host, commands, name_of, serving, wait_until

REPORTED = 15.0
ALONE = {"DEVBOX_NO_BROKER": "1"}
LOST = "the connection to the machine was lost"


@pytest.fixture(scope="module")
def guest_to_break() -> Iterator[Host]:
    with serving() as host:
        host("bootstrap", "busybox")
        yield host


@pytest.fixture
def broken(guest_to_break: Host) -> Iterator[Host]:
    """A guest with an image and the container `stays`; made whole again after each test."""
    host = guest_to_break
    host("run", "-d", "--name", "stays", "busybox", "sleep", "100")
    yield host
    if host.guest.process is None:
        host.guest.start()
    host.guest.key.chmod(0o600)
    host.configure()
    host.end_broker()
    host("machine", "up", "lab")
    host("rm", "-f", *host.out("ps", "-aq").split())


def sessions(host: Host) -> list[int]:
    """sshd's processes but the listener."""
    return host.guest.servers()[1:]


def begin(host: Host, *words: str, **env: str) -> subprocess.Popen[str]:
    """A command that has begun in the machine, where the agent's own come and go."""
    before = {*commands(host)}
    process = subprocess.Popen(
        host.line(*words),
        env=host.env | env,
        cwd=host.home,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while not _lasting(host, before):
        assert process.poll() is None, end(process)
        time.sleep(0.05)
    return process


def _lasting(host: Host, before: set[int]) -> set[int]:
    """New commands that are still there a moment later."""
    new = {*commands(host)} - before
    time.sleep(0.3 if new else 0)
    return new & {*commands(host)}


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, told = process.communicate(timeout=REPORTED + 5)
    assert "Traceback" not in told
    return process.returncode, told


def test_a_lost_connection_leaves_nothing_and_sends_nothing_twice(broken: Host) -> None:
    broken("volume", "create", "vol")
    script = "echo once >>/v/runs; sleep 100"
    running = [
        begin(broken, "run", "--rm", "-v", "vol:/v", "busybox", "sh", "-c", script),
        begin(broken, "exec", "stays", "sleep", "10123"),
        begin(broken, "logs", "-f", "stays"),
        begin(broken, "wait", "stays"),
    ]
    wait_until(lambda: "sleep 10123" in broken.guest.run("ps", "ax").stdout.decode())
    for pid in sessions(broken):
        os.kill(pid, signal.SIGKILL)
    for process in running:
        code, told = end(process)
        assert (code, LOST in told) == (125, True), told
    wait_until(lambda: not broken.guest.agents())
    assert "sleep 10123" not in broken.guest.run("ps", "ax").stdout.decode()
    assert broken.out("ps", "--format", "{{.Names}}").split()[-1] == "stays"
    runs = ("run", "--rm", "-v", "vol:/v", "busybox", "cat", "/v/runs")
    assert broken.out(*runs) == "once\n"


def test_a_machine_that_is_switched_off_is_gone(broken: Host) -> None:
    waits = begin(broken, "wait", "stays")
    broken.guest.stop()
    code, told = end(waits)
    assert (code, "gone" in told) == (125, True), told  # or silence, when the last packets were lost
    assert f" at {broken.guest.address[0]}:22: " in broken.fails("ps")


def test_silence_is_told_of_in_time_unless_it_was_ours(broken: Host) -> None:
    """Three at once, as each takes its time: a frozen server, a frozen agent, and a client that was stopped."""
    servers = [pid for pid in sessions(broken) if name_of(pid) == "sshd"]
    waits = begin(broken, "wait", "stays")
    before = {*broken.guest.agents()}
    alone = begin(broken, "wait", "stays", DEVBOX_NO_BROKER="1")
    agents = [pid for pid in {*broken.guest.agents()} - before if descendants(pid)]
    words = ("run", "--rm", "busybox", "sh", "-c", "sleep 14; echo late")
    running = {*commands(broken)}
    with broken.popen(*words, stdout=subprocess.PIPE, env=broken.env | ALONE) as stopped:
        wait_until(lambda: _lasting(broken, running))
        stopped.send_signal(signal.SIGSTOP)
        for pid in (*servers, *agents):
            os.kill(pid, signal.SIGSTOP)
        since = time.monotonic()
        try:
            for process in (waits, alone):
                code, told = end(process)
                assert (code, "has not answered for 12 s" in told) == (125, True), told
                assert time.monotonic() - since < REPORTED
        except BaseException:
            stopped.kill()  # which would be waited for
            raise
        finally:
            for pid in (*servers, *agents):
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.stdout is not None
        assert (stopped.stdout.read(), stopped.wait(30)) == (b"late\n", 0)
    assert "stays" in broken.out("ps")


def test_a_cut_that_is_mended_in_time_is_not_noticed(broken: Host) -> None:
    with broken.popen("run", "--rm", "busybox", "sh", "-c", "sleep 2; echo late", stdout=subprocess.PIPE) as run:
        time.sleep(1)
        broken.guest.cut()
        time.sleep(3)
        broken.guest.mend()
        assert run.stdout is not None
        assert (run.stdout.read(), run.wait(15)) == (b"late\n", 0)


def test_new_keys_in_the_middle_of_a_stream(broken: Host) -> None:
    broken.end_broker()
    broken.guest.stop()
    broken.guest.start("host", "RekeyLimit 1M")
    broken("start", "stays")
    data = random.Random(2).randbytes(12 << 20)
    line = broken.line("exec", "-i", "stays", "cat")
    done = subprocess.run(line, input=data, capture_output=True, env=broken.env, check=True, timeout=120)
    assert done.stdout == data
    broken.guest.stop()


def test_another_host_key_is_refused_before_anything_is_sent(broken: Host) -> None:
    guest = broken.guest
    broken.end_broker()
    guest.stop()
    guest.start("other")
    (guest.home / "sshd.log").write_text("")
    for env in ({}, ALONE):
        told = broken.fails("ps", env=env)
        assert guest.fingerprint("host") in told
        assert guest.fingerprint("other") in told
    assert "Accepted" not in (guest.home / "sshd.log").read_text()
    assert guest.fingerprint("other") in broken.fails("machine", "up", "lab")
    guest.stop()


def test_an_unknown_host_key_is_refused_with_what_to_write(broken: Host) -> None:
    broken.end_broker()
    shutil.rmtree(broken.place)
    broken.configure(host_key="")
    told = broken.fails("machine", "up", "lab")
    assert f'host_key = "{broken.guest.fingerprint("host")}"' in told
    ssh = broken.home / ".ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "known_hosts").write_text(f"{broken.guest.address[0]} {broken.guest.host_key()}\n")
    broken("machine", "up", "lab")
    broken("ps")


def test_a_key_that_does_not_open_or_that_others_may_read(broken: Host) -> None:
    guest = broken.guest
    broken.end_broker()
    broken.configure(key=str(guest.home / "other"))
    broken("machine", "up", "lab")
    assert "does not serve us: Authentication failed" in broken.fails("ps")
    broken.configure()
    broken("machine", "up", "lab")
    guest.key.chmod(0o644)
    assert f"chmod 600 {guest.key}" in broken.fails("ps")
    guest.key.chmod(0o600)
    broken("ps")


def test_a_full_disk_in_the_machine_is_told_and_leaves_nothing(broken: Host) -> None:
    guest = broken.guest
    assert guest.process is not None
    enter = ["nsenter", "-t", str(guest.process.pid), "-m"]
    broken.end_broker()
    wait_until(lambda: not guest.agents())
    subprocess.run([*enter, "mount", "-t", "tmpfs", "-o", "size=200k", "none", guest.installed], check=True)
    try:
        assert "the machine cannot run devbox: No space left on device" in broken.fails("ps")
        assert _listed(enter, guest.installed) == ["lock"]
    finally:
        subprocess.run([*enter, "umount", guest.installed], check=True)
    broken("ps")


def test_a_broker_that_is_killed_is_started_again(broken: Host) -> None:
    waits = begin(broken, "wait", "stays")
    (broker,) = broken.brokers()
    os.kill(broker, signal.SIGKILL)
    code, told = end(waits)
    assert (code, LOST in told) == (125, True), told
    assert "stays" in broken.out("ps")
    assert broken.brokers() not in ([], [broker])
    wait_until(lambda: len([pid for pid in broken.guest.agents() if name_of(pid)]) == 1)


def _listed(enter: list[str], path: object) -> list[str]:
    return subprocess.check_output([*enter, "ls", "-A", str(path)], text=True).split()
