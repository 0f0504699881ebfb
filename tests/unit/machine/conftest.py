"""A machine whose vagrant is a fake, and an SSH server that only shows its key."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import paramiko
import pytest

from devbox.machine import places
from devbox.machine.drivers.driver import Progress
from devbox.machine.drivers.vagrant_driver import VagrantDriver
from devbox.machine.settings import MachineSettings

FAKES = Path(__file__).parents[2] / "fakes"


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here has an agent at its other end."""
    monkeypatch.setenv("DEVBOX_NO_BROKER", "1")


class Machine(NamedTuple):
    fake: Path
    driver: VagrantDriver
    told: list[Progress]

    def report(self, progress: Progress) -> None:
        self.told.append(progress)

    @property
    def calls(self) -> list[str]:
        return (self.fake / "calls").read_text().splitlines()

    def phases(self) -> list[str]:
        return [progress.phase for progress in self.told if not progress.text]

    def server(self, key: paramiko.PKey) -> contextlib.AbstractContextManager[int]:
        return serving(key, self.fake / "port")


@contextlib.contextmanager
def serving(key: paramiko.PKey, port_file: Path) -> Iterator[int]:
    """An SSH server on loopback that shows a host key; nobody can log in."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(key)
                with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                    transport.start_server(server=paramiko.ServerInterface())

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        port_file.write_text(str(port))
        try:
            yield port
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.fixture(scope="session")
def keys() -> tuple[paramiko.PKey, paramiko.PKey]:
    return paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    fake = tmp_path / "fake"
    fake.mkdir()
    monkeypatch.setenv("FAKE_VAGRANT", str(fake))
    monkeypatch.setenv("PATH", f"{FAKES}:{os.environ['PATH']}")
    for name in ("config", "data", "state", "runtime"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = MachineSettings("work", "libvirt", box="some/box", connection="session")
    return Machine(fake, VagrantDriver(places.machine("work"), settings), [])
