"""A machine of its own for tests of the network: a namespace in which devbox runs, and another one outside of it.

`outside` (198.18.7.2) is a neighbour of `host` (198.18.7.1) on one wire and sends everything through it. Nothing
that a test does to rules, routes or settings there is seen by the machine that the tests run on.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOST, OUTSIDE = "198.18.7.1", "198.18.7.2"
FETCH = (
    "import sys, urllib.request; page = urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2]));"
    "sys.stdout.write(page.read().decode())"
)
ASK = (
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(float(sys.argv[3]));"
    "s.sendto(b'hello', (sys.argv[1], int(sys.argv[2]))); sys.stdout.write(s.recv(99).decode())"
)
ECHO = (
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', int(sys.argv[1])));"
    "print('ready', flush=True)\n"
    "while True:\n"
    "    data, peer = s.recvfrom(99); s.sendto(sys.argv[2].encode() + b' ' + peer[0].encode(), peer)"
)


class Island:
    """Runs devbox in a network namespace of its own, with its own DEVBOX_ROOT."""

    def __init__(self, root: Path, host: int, outside: int) -> None:
        self.root = root
        self.host = host
        self.outside = outside
        self.env = {**os.environ, "DEVBOX_ROOT": str(root)}

    def command(self, *args: str, pid: int = 0) -> list[str]:
        """A command line that runs in the network namespace of a process, or in the host's."""
        return ["nsenter", f"--net=/proc/{pid or self.host}/ns/net", "--", *args]

    def run(self, *args: str, pid: int = 0, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*args, pid=pid), capture_output=True, text=True, timeout=60, **kwargs)

    def __call__(self, *args: str, check: bool = True) -> str:
        done = self.run(sys.executable, "-m", "devbox", *args, env=self.env)
        assert "Traceback" not in done.stderr, done.stderr
        assert not check or done.returncode == 0, f"{' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def fails(self, *args: str) -> str:
        done = self.run(sys.executable, "-m", "devbox", *args, env=self.env)
        assert done.returncode == 125, f"{' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr

    def python(self, code: str) -> str:
        """Run code with an open `store` in the host's namespace."""
        code = "from devbox.store.database import Store\nwith Store.open() as store: " + code
        done = self.run(sys.executable, "-c", code, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def popen(self, *args: str) -> subprocess.Popen[str]:
        command = self.command(sys.executable, "-m", "devbox", *args)
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.root / "state.db")) as db:
            return db.execute(statement, values).fetchall()

    def pid(self, name: str) -> int:
        return int(self.query("SELECT pid FROM containers WHERE name = ?", name)[0][0])

    def id(self, name: str) -> str:
        return str(self.query("SELECT id FROM containers WHERE name = ?", name)[0][0])

    def address(self, name: str, network: str = "bridge") -> str:
        statement = (
            "SELECT address FROM endpoints JOIN containers ON containers.id = container_id "
            "JOIN networks ON networks.id = network_id WHERE containers.name = ? AND networks.name = ?"
        )
        return str(self.query(statement, name, network)[0][0])

    def hosts(self, name: str) -> list[str]:
        """The lines of a container's hosts file after the standard ones."""
        return (self.root / "containers" / self.id(name) / "hosts").read_text().splitlines()[6:]

    def serve(self, name: str, *flags: str) -> str:
        """A container whose web server answers with its own short id, which is returned."""
        container = self("run", "-d", "--name", name, *flags, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
        assert eventually(lambda: self.fetch("http://127.0.0.1/hostname", pid=self.pid(name)))
        return container[:12]

    def fetch(self, url: str, *, pid: int = 0, seconds: float = 1.0) -> str:
        """What a web server answers to a process's network namespace, "" for a failure of any kind."""
        return self.run(sys.executable, "-c", FETCH, url, str(seconds), pid=pid).stdout.strip()

    def ask(self, address: str, port: int, *, pid: int = 0, seconds: float = 1.0) -> str:
        """What a UDP service answers, "" for nothing."""
        return self.run(sys.executable, "-c", ASK, address, str(port), str(seconds), pid=pid).stdout

    @contextlib.contextmanager
    def echo(self, port: int, word: str, *, pid: int = 0) -> Iterator[None]:
        """A UDP service in a namespace, which answers with the word and the address that asked."""
        command = self.command(sys.executable, "-c", ECHO, str(port), word, pid=pid)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                server.kill()

    def interfaces(self) -> set[str]:
        """What devbox has made on the host's side."""
        names = self.run("ip", "-br", "link").stdout.split("\n")
        return {line.split("@")[0].split()[0] for line in names if line} - {"lo", "wire"}


def eventually(condition: Any, seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


@contextlib.contextmanager
def island(root: Path) -> Iterator[Island]:
    """An island with an image `busybox`, taken down to the last interface at the end."""
    with _namespace() as host, _namespace() as outside:
        made = Island(root, host, outside)
        _wire(made)
        made.python(
            "from devbox.image.bases import busybox; "
            "busybox.bootstrap(store, ('docker.io/library/busybox:latest',))"
        )
        try:
            yield made
        finally:
            made("system", "reset", "--force")
        assert eventually(lambda: not made.interfaces()), made.interfaces()
        assert "devbox" not in made.run("nft", "list", "tables").stdout


@contextlib.contextmanager
def _namespace() -> Iterator[int]:
    with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as sleeper:
        home = os.readlink("/proc/self/ns/net")
        try:
            assert eventually(lambda: os.readlink(f"/proc/{sleeper.pid}/ns/net") != home)
            yield sleeper.pid
        finally:
            sleeper.kill()


def _wire(made: Island) -> None:
    host = f"link set lo up\nlink add wire type veth peer name wire netns {made.outside}\n"
    host += f"addr add {HOST}/24 dev wire\nlink set wire up\n"
    outside = f"link set lo up\naddr add {OUTSIDE}/24 dev wire\nlink set wire up\nroute add default via {HOST}\n"
    made.run("ip", "-batch", "-", input=host, check=True)
    made.run("ip", "-batch", "-", input=outside, pid=made.outside, check=True)
