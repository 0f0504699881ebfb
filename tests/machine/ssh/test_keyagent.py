"""The SSH agent of the caller, asked from builds and containers in a machine: a real one with a real key."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.ssh.conftest import Host, wait_until

ASKS = ("ssh-add", "-l")
NEEDED = "RUN --mount=type=ssh ssh-add -l > /known; cat /known"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables by which an ssh-agent with one key is found."""
    path, key = tmp_path / "agent", tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "of-ann", "-f", key], check=True)
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    variables = {"SSH_AUTH_SOCK": str(path)}
    wait_until(
        lambda: subprocess.run(["ssh-add", "-q", key], env=os.environ | variables, check=False).returncode == 0
    )
    yield variables
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def client(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with the real ssh-add and its libraries."""
    context = tmp_path_factory.mktemp("client")
    program = shutil.which("ssh-add")
    assert program
    linked = subprocess.check_output(["ldd", program], text=True)
    for path in (program, *(word for word in linked.split() if word.startswith("/"))):
        place = context / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    (context / "Dockerfile").write_text("FROM busybox\nCOPY . /\n")
    host("build", "-q", "-t", "client", str(context))
    yield "client"
    host("rmi", "client")


def sockets(host: Host) -> list[str]:
    """Where the machine listens, with modes."""
    return (
        host.guest.run("find", "/run/devbox-host", "-type", "s", "-printf", "%p %m\n").stdout.decode().splitlines()
    )


def test_a_container_asks_it_where_it_was_mounted(host: Host, client: str, agent: dict[str, str]) -> None:
    run = ("run", "--rm", "-e", "SSH_AUTH_SOCK=/agent", "-v")
    for source in (agent["SSH_AUTH_SOCK"], "/run/host-services/ssh-auth.sock"):
        assert "of-ann (ED25519)" in host.out(*run, f"{source}:/agent", client, *ASKS, env=agent)
    alone = agent | {"DEVBOX_NO_BROKER": "1"}
    assert "of-ann" in host.out(*run, "/run/host-services/ssh-auth.sock:/agent", client, *ASKS, env=alone)
    told = host.fails(*run, "/run/host-services/ssh-auth.sock:/agent", client, *ASKS, env={"SSH_AUTH_SOCK": ""})
    assert "no SSH agent runs here" in told


def test_nobody_else_has_it(host: Host, client: str, agent: dict[str, str]) -> None:
    host.end_broker()
    wait_until(lambda: not host.guest.agents())
    assert "SSH_AUTH_SOCK" not in host.out("run", "--rm", client, "env", env=agent)
    host.fails("run", "--rm", client, *ASKS, code=2, env=agent)
    assert sockets(host) == [], "it is not even listened for"
    host("run", "--rm", "-v", f"{agent['SSH_AUTH_SOCK']}:/agent", client, "true", env=agent)
    (made,) = sockets(host)
    assert made.endswith(" 600")
    host.end_broker()
    wait_until(lambda: not sockets(host))


def test_a_build_asks_it_only_where_a_step_wants_it(host: Host, client: str, agent: dict[str, str]) -> None:
    build = ("build", "--no-cache", "--progress", "plain", "-")
    said = host(*build, "--ssh", "default", input=f"FROM {client}\n{NEEDED}\n", env=agent).stderr
    assert "of-ann (ED25519)" in said
    said = host(*build, input=f"FROM {client}\nRUN ssh-add -l; true\n", env=agent).stderr
    assert "of-ann" not in said


def test_many_ask_at_once_and_an_agent_that_ends_is_an_answer(
    host: Host, client: str, agent: dict[str, str]
) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do ssh-add -l & done; wait"
    run = ("run", "--rm", "-e", "SSH_AUTH_SOCK=/agent", "-v", f"{agent['SSH_AUTH_SOCK']}:/agent", client)
    assert host.out(*run, "sh", "-c", script, env=agent).count("of-ann") == 8
    Path(agent["SSH_AUTH_SOCK"]).unlink()
    assert "communication with agent failed" in host.fails(*run, *ASKS, code=1, env=agent)
