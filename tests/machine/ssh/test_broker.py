"""The process that keeps the connection: one for all, nobody else's, gone when nobody needs it."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.machine.ssh.conftest import Host, serving, wait_until


@pytest.fixture(scope="module")
def alone() -> Iterator[Host]:
    """A guest whose broker and devbox tests may change."""
    with serving() as host:
        yield host


def test_many_commands_at_once_share_one(alone: Host) -> None:
    alone.end_broker()
    running = [alone.popen("ps", "-q", stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [process.wait(60) for process in running] == [0] * 6
    assert len(alone.brokers()) == 1
    assert len(alone.guest.agents()) == 1


def test_its_socket_is_its_users_only(alone: Host) -> None:
    alone("ps")
    path = alone.place / "broker"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    os.chown(path, 65534, 65534)
    assert f"{path} belongs to another user" in alone.fails("ps")
    os.chown(path, 0, 0)
    alone("ps")


def test_it_ends_when_it_was_idle_and_another_is_started(alone: Host) -> None:
    alone.end_broker()
    alone("ps", env={"DEVBOX_BROKER_IDLE": "0.5"})
    wait_until(lambda: not alone.brokers())
    assert not (alone.place / "broker").exists()
    wait_until(lambda: not alone.guest.agents())
    alone("ps")
    assert len(alone.brokers()) == 1


def test_nothing_needs_it(alone: Host) -> None:
    alone.end_broker()
    for _ in range(2):
        alone("ps", env={"DEVBOX_NO_BROKER": "1"})
    assert not alone.brokers()


def test_the_machine_gets_the_hosts_own_version_whenever_that_changes(alone: Host) -> None:
    alone("ps")
    first = alone.guest.devbox("--version").split()[-1]
    installed = (alone.guest.installed / "devbox").resolve().parent.parent
    (broker,) = alone.brokers()
    file = alone.code / "devbox/__init__.py"
    file.write_text(file.read_text().replace('__version__ = "', '__version__ = "77.'))
    alone("ps")
    assert alone.guest.devbox("--version") == f"devbox version 77.{first}\n"
    wait_until(lambda: alone.brokers() not in ([], [broker]) and len(alone.brokers()) == 1)
    alone.end_broker()
    file.write_text(file.read_text().replace('"77.', '"78.'))
    alone("ps")
    assert not installed.exists()


def test_bytecode_is_compiled_there_and_nothing_is_installed_twice(alone: Host) -> None:
    alone("ps")
    site = next(alone.guest.installed.glob("*/lib/python3*/site-packages"))
    sources = {path.stem for path in (site / "devbox/cli").glob("*.py")}
    assert sources == {path.name.split(".")[0] for path in (site / "devbox/cli/__pycache__").iterdir()}
    before = site.stat().st_ino
    alone.end_broker()
    began = time.monotonic()
    alone("ps")
    assert time.monotonic() - began < 5
    assert site.stat().st_ino == before
