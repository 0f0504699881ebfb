"""A guest without a VM: a real sshd in a network and mount namespace, with a store and a devbox of its own.

The caller's devbox is a copy of this checkout, so that tests may change it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox.machine.guest.processes import descendants

CHECKOUT = Path(__file__).parents[3]
ENTRY = (sys.executable, "-P", "-m", "devbox")
OWN = ("/var/tmp/devbox-carried", "/run/devbox-host")
"""places of a machine that two guests on one host may not have in common"""
_SERVE = (
    f"read -r _; for own in {' '.join(OWN)}; do mkdir -p $own && mount -t tmpfs none $own || exit 1; done; "
    'mount --bind "$1" /etc/passwd && exec /usr/sbin/sshd -D -e -f "$2" <&-'
)
"""root has the login shell there that a test wants; it begins when the network is there"""


_numbers = itertools.count()
"""several guests live at the same time"""


class Guest:
    """The sshd, and what a caller has to know of it."""

    def __init__(self, home: Path, shell: str = "/bin/bash") -> None:
        self.home = home
        self.root, self.installed = home / "root", home / "guest"
        self.shell = shell
        self.process: subprocess.Popen[bytes] | None = None
        number = next(_numbers)
        network = free_network()
        self.host_address, self.address = str(network[1]), (str(network[2]), 22)
        self.link = f"dbt{os.getpid()}-{number}"
        for name in ("host", "other", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
        self.key = home / "user"

    def host_key(self, name: str = "host") -> str:
        return " ".join((self.home / f"{name}.pub").read_text().split()[:2])

    def fingerprint(self, name: str) -> str:
        return subprocess.check_output(["ssh-keygen", "-lf", self.home / f"{name}.pub"], text=True).split()[1]

    def start(self, key: str = "host", *lines: str) -> None:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        passwd = self.home / "passwd"
        passwd.write_text(
            f"root:*:0:0:root:{self.home}:{self.shell}\nsshd:*:100:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        config = self.home / "sshd_config"
        settings = [
            f"HostKey {self.home / key}",
            f"AuthorizedKeysFile {self.home / 'user.pub'}",
            *("StrictModes no", "PermitRootLogin prohibit-password", "PasswordAuthentication no", "UsePAM no"),
            *("PidFile none", "UseDNS no", *lines),
            f"SetEnv DEVBOX_ROOT={self.root} DEVBOX_GUEST={self.installed}",
        ]
        config.write_text("\n".join(settings) + "\n")
        with (self.home / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--net", "sh", "-c", _SERVE, "-", passwd, config],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._plug_in(self.process.pid)
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.close()
        wait_until(self._listens)

    def become(self, shell: str) -> None:
        """Another login shell from now on."""
        passwd = self.home / "passwd"
        passwd.write_text(passwd.read_text().replace(f":{self.shell}\n", f":{shell}\n"))
        self.shell = shell

    def _plug_in(self, pid: int) -> None:
        wait_until(lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("address", "add", f"{self.host_address}/30", "dev", self.link)
        ip("link", "set", self.link, "up")
        for words in ("link set lo up", f"address add {self.address[0]}/30 dev eth0", "link set eth0 up"):
            subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *words.split()], check=True)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(self.address, 1):
            return True
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "sshd.log").read_text()
        return False

    def cut(self) -> None:
        """Nothing goes through any more, and nobody is told."""
        ip("link", "set", self.link, "down")

    def mend(self) -> None:
        ip("link", "set", self.link, "up")

    def servers(self) -> list[int]:
        """sshd's own processes, the listener first."""
        assert self.process is not None
        return [self.process.pid, *(pid for pid in descendants(self.process.pid) if name_of(pid) == "sshd")]

    def agents(self) -> list[int]:
        """Agents, and the commands that they run."""
        marker = f"{self.installed}/"
        return [pid for pid, line in processes() if line.startswith(marker) and "internal agent" in line]

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A command typed in the guest."""
        assert self.process is not None
        enter = ["nsenter", "-t", str(self.process.pid), "-n", "-m", "env", f"DEVBOX_ROOT={self.root}"]
        done = subprocess.run([*enter, *words], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, f"{words}: {done.returncode}: {done.stderr.decode(errors='replace')}"
        return done

    def devbox(self, *words: str) -> str:
        """devbox as it was shipped, typed in the guest."""
        return self.run(str(self.installed / "devbox"), *words).stdout.decode()

    def stop(self) -> None:
        """End the listener, the connections and what they run."""
        if self.process is None:
            return
        for pid in reversed(self.servers()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)
        self.process = None
        subprocess.run(["ip", "link", "del", self.link], check=False, capture_output=True)


class Host:
    """Runs devbox as a caller whose machine `lab` is the guest."""

    def __init__(self, guest: Guest, home: Path) -> None:
        self.guest, self.home = guest, home
        self.code = home / "code"
        self.env = {
            **os.environ,
            "HOME": str(home),
            "PYTHONPATH": str(self.code),
            "DEVBOX_MACHINE": "lab",
            "DEVBOX_ROOT": str(home / "never-used"),
            **{f"XDG_{name.upper()}_HOME": str(home / name) for name in ("config", "data", "state", "cache")},
            "XDG_RUNTIME_DIR": str(home / "run"),
        }
        (home / "run").mkdir(parents=True, mode=0o700)
        (home / "run").chmod(0o700)
        shutil.copytree(CHECKOUT / "devbox", self.code / "devbox")
        subprocess.run([sys.executable, "-m", "compileall", "-q", self.code], check=True)
        self.configure()

    def configure(self, **changes: str) -> None:
        host, port = self.guest.address
        wishes = {
            "address": f"ssh://root@{host}:{port}",
            "key": str(self.guest.key),
            "host_key": self.guest.host_key(),
            **changes,
        }
        file = self.home / "config" / "devbox" / "machines.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {json.dumps(value)}" for key, value in wishes.items() if value]
        file.write_text("[machines.lab]\n" + "\n".join(lines) + "\n")

    def __call__(
        self,
        *args: str | bytes,
        input: str | bytes | None = None,  # noqa: A002
        check: bool = True,
        timeout: float = 60,
        env: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> subprocess.CompletedProcess[str]:
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            [*ENTRY, *args],
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            env=self.env | (env or {}),
            timeout=timeout,
            check=False,
            **{"cwd": self.home, **kwargs},
        )
        text = subprocess.CompletedProcess(
            done.args,
            done.returncode,
            done.stdout.decode(errors="surrogateescape"),
            done.stderr.decode(errors="surrogateescape"),
        )
        assert "Traceback" not in text.stderr, text.stderr
        if check:
            assert text.returncode == 0, f"{args}: {text.returncode}: {text.stdout}{text.stderr}{self.log()}"
        return text

    def out(self, *args: str | bytes, **kwargs: Any) -> str:
        return self(*args, **kwargs).stdout

    def fails(self, *args: str | bytes, code: int = 125, **kwargs: Any) -> str:
        done = self(*args, check=False, **kwargs)
        assert done.returncode == code, f"{args}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr

    def popen(self, *args: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.line(*args), **{"env": self.env, "cwd": self.home, **kwargs})

    def line(self, *args: str) -> list[str]:
        return [*ENTRY, *args]

    @property
    def place(self) -> Path:
        return self.home / "data/devbox/machines/lab"

    def log(self) -> str:
        """What the broker had to say."""
        path = self.place / "broker.log"
        return path.read_text() if path.exists() else ""

    def brokers(self) -> list[int]:
        marker = f"HOME={self.home}".encode()
        found = []
        for pid, line in processes():
            with contextlib.suppress(OSError):
                if "internal broker" in line and marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return found

    def end_broker(self) -> None:
        for pid in self.brokers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not self.brokers())


def free_network() -> ipaddress.IPv4Network:
    """Four addresses of those for benchmarks that nobody has here: another run of these tests may be going on."""
    taken = subprocess.check_output(["ip", "-4", "-o", "address"], text=True)
    while True:
        network = ipaddress.IPv4Network((0xC6120000 + 4 * random.randrange(1 << 15), 30))
        if not any(f" {address}/" in taken for address in network):
            return network


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def processes() -> list[tuple[int, str]]:
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append((int(pid), line))
    return found


def name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def commands(host: Host) -> list[int]:
    """What the agents run now."""
    agents = host.guest.agents()
    return [pid for pid in agents if any(pid in descendants(other) for other in agents if other != pid)]


@contextlib.contextmanager
def serving(shell: str = "/bin/bash", *lines: str) -> Iterator[Host]:
    if os.geteuid() != 0:
        pytest.skip("it takes root to serve root")
    home = Path(tempfile.mkdtemp(prefix="devbox-ssh-", dir="/var/tmp"))
    guest = Guest(home, shell)
    try:
        guest.start("host", *lines)
        host = Host(guest, home / "caller")
        try:
            host("machine", "up", "lab")
            yield host
            _clean(guest)
        finally:
            host.end_broker()
    finally:
        guest.stop()
        subprocess.run(["umount", "-q", "-R", guest.root], check=False)
        shutil.rmtree(home)
    wait_until(lambda: not [line for _, line in processes() if str(home) in line])


def _clean(guest: Guest) -> None:
    """Nothing may be left of what was done there."""
    if not guest.root.exists():
        return
    if guest.process is None:
        guest.start()
    guest.mend()
    guest.devbox("system", "reset", "--force")


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """One guest for the whole run, with the image busybox in it."""
    with serving() as host:
        host("bootstrap", "busybox")
        yield host
