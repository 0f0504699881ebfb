"""Rows of ps, cell by cell, as docker 28 printed them."""

from __future__ import annotations

from typing import Any

import pytest

from devbox.cli.container_row import command_line, displayable, quoted, shorten, status
from devbox.model.container import Container, ContainerConfig
from devbox.model.network import PortBinding, Protocol

NOW = 100_000.0


def container(**fields: Any) -> Container:
    return Container("a" * 64, "web", NOW - 7300, "sha256:b", "busybox", ContainerConfig(), **fields)


UP = {"status": "running", "started": NOW - 5}


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, "Created"),
        ({"status": "running", "started": NOW - 330}, "Up 5 minutes"),
        ({"status": "running", "started": NOW - 330, "health": {"Status": "healthy"}}, "Up 5 minutes (healthy)"),
        (
            {"status": "running", "started": NOW - 5, "health": {"Status": "starting"}},
            "Up 5 seconds (health: starting)",
        ),
        ({**UP, "health": {"Status": "none"}}, "Up 5 seconds"),
        ({"status": "paused", "started": NOW - 330}, "Up 5 minutes (Paused)"),
        ({"status": "restarting", "exit_code": 3, "finished": NOW - 2}, "Restarting (3) 2 seconds ago"),
        ({"status": "exited", "finished": NOW - 7200}, "Exited (0) 2 hours ago"),
        ({"status": "exited", "exit_code": 137, "finished": NOW - 0.1}, "Exited (137) Less than a second ago"),
        ({"status": "removing"}, "Removal In Progress"),
        ({"status": "dead"}, "Dead"),
    ],
)
def test_status(fields: dict[str, Any], shown: str) -> None:
    assert status(container(**fields), NOW) == shown


def published(port: int, host: int, address: str = "0.0.0.0", protocol: Protocol = "tcp") -> PortBinding:
    return PortBinding(port, protocol, host, address)


def exposed(port: int, protocol: Protocol = "tcp") -> PortBinding:
    return PortBinding(port, protocol, 0, "")


@pytest.mark.parametrize(
    ("bindings", "shown"),
    [
        ([], ""),
        (
            [exposed(443), published(6379, 6379), published(80, 8080)],
            "443/tcp, 0.0.0.0:6379->6379/tcp, 0.0.0.0:8080->80/tcp",
        ),
        (
            [published(9000, 9000), published(9002, 9002), published(9001, 9001)],
            "0.0.0.0:9000-9002->9000-9002/tcp",
        ),
        ([published(9000, 9000), published(9002, 9002)], "0.0.0.0:9000->9000/tcp, 0.0.0.0:9002->9002/tcp"),
        ([published(53, 53, protocol="udp"), published(53, 53)], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"),
        (
            [published(80, 8080, "127.0.0.1"), *map(exposed, (9000, 9001, 9002))],
            "9000-9002/tcp, 127.0.0.1:8080->80/tcp",
        ),
        ([published(80, 1), published(80, 2)], "0.0.0.0:1->80/tcp, 0.0.0.0:2->80/tcp"),
    ],
)
def test_ports(bindings: list[PortBinding], shown: str) -> None:
    assert displayable(bindings) == shown


@pytest.mark.parametrize(
    ("entrypoint", "command", "line"),
    [
        ((), ("sh", "-c", "sleep 9; true"), "sh -c 'sleep 9; true'"),
        (("docker-entrypoint.sh",), ("redis-server",), "docker-entrypoint.sh redis-server"),
        (("a b",), (), "a b"),
        ((), (), ""),
    ],
)
def test_command(entrypoint: tuple[str, ...], command: tuple[str, ...], line: str) -> None:
    config = ContainerConfig(entrypoint=entrypoint, command=command)
    assert command_line(container()._replace(config=config)) == line


def test_long_texts_end_in_an_ellipsis() -> None:
    assert shorten("docker-entrypoint.sh redis-server", 20) == "docker-entrypoint.s…"
    assert shorten("x" * 20, 20) == "x" * 20


def test_quotes_are_go_s() -> None:
    assert quoted("sh -c 'echo \"hi\"\x1b[31m é'") == '"sh -c \'echo \\"hi\\"\\x1b[31m é\'"'
