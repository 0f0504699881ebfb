"""The environment and hosts lines that a link gives to its consumer, as docker makes them (pure)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_NOT_PASSED_ON = ("PATH", "HOME", "HOSTNAME")
STANDARD_HOSTS = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)


class Target(NamedTuple):
    """What a consumer is told of a linked container."""

    address: str
    env: Sequence[str]
    """what was set for it and by its image, "NAME=value" """
    exposed: Sequence[str]
    """"6379/tcp" """


class _Port(NamedTuple):
    protocol: str
    number: int


def environment(consumer: str, alias: str, target: Target) -> tuple[str, ...]:
    """The variables of one link, in docker's order; variables whose name a shell cannot hold are left out."""
    prefix = re.sub(r"[^A-Z0-9_]", "_", alias.upper())
    ports = sorted(_Port(proto, int(number)) for number, _, proto in (e.partition("/") for e in target.exposed))
    lines = []
    if ports:
        lowest = min(ports, key=lambda port: (port.number, port.protocol))
        lines.append(f"{prefix}_PORT={_url(target, lowest)}")
    lines.extend(_ranges(prefix, target, ports))
    for port in ports:
        name = f"{prefix}_PORT_{port.number}_{port.protocol.upper()}"
        lines.append(f"{name}={_url(target, port)}")
        lines.append(f"{name}_ADDR={target.address}")
        lines.append(f"{name}_PORT={port.number}")
        lines.append(f"{name}_PROTO={port.protocol}")
    lines.append(f"{prefix}_NAME=/{consumer}/{alias}")
    lines.extend(_passed_on(prefix, target.env))
    return tuple(lines)


def _url(target: Target, port: _Port) -> str:
    return f"{port.protocol}://{target.address}:{port.number}"


def _ranges(prefix: str, target: Target, ports: Sequence[_Port]) -> Iterable[str]:
    """Three or more ports in a row are also described as a range."""
    index = 0
    while index < len(ports):
        end = index
        while end + 1 < len(ports) and ports[end + 1] == (ports[end].protocol, ports[end].number + 1):
            end += 1
        if end - index >= 2:
            first, last = ports[index], ports[end]
            name = f"{prefix}_PORT_{first.number}_{first.protocol.upper()}"
            yield f"{name}_START={_url(target, first)}"
            yield f"{name}_PORT_START={first.number}"
            yield f"{name}_END={_url(target, last)}"
            yield f"{name}_PORT_END={last.number}"
        index = end + 1


def _passed_on(prefix: str, env: Sequence[str]) -> Iterable[str]:
    for line in env:
        name, equals, value = line.partition("=")
        if equals and name not in _NOT_PASSED_ON and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
            yield f"{prefix}_ENV_{name}={value}"


def hosts_file(lines: Iterable[tuple[str, Sequence[str]]]) -> str:
    """docker's hosts file: the standard lines, then (address, names) pairs in the order given.

    Addresses and names are ours or were checked when they were parsed; one that could break out of its line is
    a mistake of the caller and raises ValueError.
    """
    text = STANDARD_HOSTS
    for address, names in lines:
        for word in (address, *names):
            if not word or not word.isprintable() or set(word) & set(" #"):
                raise ValueError(f"not a host name or address: {word!r}")
        text += f"{address}\t{' '.join(names)}\n"
    return text
