"""resolv.conf of containers, made from the machine's as docker does."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.model.container import Container
from devbox.store.database import Store
from devbox.system.files import write_in_place

_MACHINE = "/etc/resolv.conf"
_SYSTEMD = "/run/systemd/resolve/resolv.conf"
_FALLBACK = ("8.8.8.8", "8.8.4.4")
"""docker's, when the machine has only a resolver on its own loopback, which no container can reach"""
_SIZE_MAX = 1 << 20


def write(store: Store, container: Container) -> None:
    """Write <container dir>/resolv.conf in place."""
    path = store.root.container(container.id) + "/resolv.conf"
    write_in_place(path, content(container, machine_lines(container)).encode())


def content(container: Container, machine: list[list[str]]) -> str:
    """The text: what the container's flags say, and the machine's lines for the rest (pure)."""
    config = container.config
    servers = config.dns or tuple(_servers(machine))
    if not config.dns and config.network_mode != "host":
        servers = tuple(server for server in servers if _is_reachable(server)) or _FALLBACK
    search = config.dns_search or tuple((_values(machine, "search") or [[]])[-1])
    options = config.dns_options or tuple(word for words in _values(machine, "options") for word in words)
    lines = [f"nameserver {server}" for server in servers]
    if search and search != (".",):
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"


def machine_lines(container: Container) -> list[list[str]]:
    """The words of the machine's resolv.conf; systemd's full one where the other only names its stub."""
    lines = _read(_MACHINE)
    servers = _servers(lines)
    if container.config.network_mode != "host" and servers and all(map(_is_loopback, servers)):
        return _read(_SYSTEMD) or lines
    return lines


def nameservers() -> list[str]:
    """Addresses of the machine's own."""
    return _servers(_read(_MACHINE))


def _servers(lines: list[list[str]]) -> list[str]:
    return [words[0] for words in _values(lines, "nameserver") if words]


def _values(lines: list[list[str]], word: str) -> list[list[str]]:
    return [words[1:] for words in lines if words[0] == word]


def _is_reachable(server: str) -> bool:
    """Networks are IPv4 only so far."""
    return ":" not in server and not _is_loopback(server)


def _is_loopback(server: str) -> bool:
    return server.startswith("127.") or server == "::1"


def _read(path: str) -> list[list[str]]:
    try:
        with open(path, errors="replace") as file:
            text = file.read(_SIZE_MAX)
    except FileNotFoundError:
        return []
    lines = (line.split() for line in text.splitlines())
    return [words for words in lines if words and not words[0].startswith(("#", ";"))]
