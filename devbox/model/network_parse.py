"""Values of -p, --expose, --link and --add-host."""

from __future__ import annotations

import re

from devbox.errors import UsageError
from devbox.model.network import PortWish, Protocol

ALIAS = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"
_PORTS = r"([0-9]{1,5})(?:-([0-9]{1,5}))?"
PORT_MAX = 65535


def parse_publish(text: str) -> tuple[PortWish, ...]:
    """Read [[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/tcp|udp]; a range becomes one wish for each port.

    Host port 0 is any free one, as none is.
    """
    option = f"-p {text}"
    body, protocol = _split_protocol(text, option)
    front, _, inside = body.rpartition(":")
    address, colon, outside = front.rpartition(":")
    if not colon and "." in front:
        raise _malformed(option, f"write -p {front}::{inside} for any free port of that address")
    first, last = _range(inside, option)
    low, high = _range(outside, option) if outside.strip("0") else (0, 0)
    host = _host_address(address, option) if address else "0.0.0.0"
    if low and first == last and high > low:
        return (PortWish(first, protocol, low, high, host),)
    if low and high - low != last - first:
        raise _malformed(option, "the ranges of host and container ports differ in length")
    ports = range(first, last + 1)
    return tuple(PortWish(port, protocol, low + port - first if low else 0, 0, host) for port in ports)


def parse_expose(text: str) -> tuple[str, ...]:
    """Read PORT[-PORT][/tcp|udp] as EXPOSE has it: "80/tcp", one for each port."""
    body, protocol = _split_protocol(text, f"--expose {text}")
    first, last = _range(body, f"--expose {text}")
    return tuple(f"{port}/{protocol}" for port in range(first, last + 1))


def parse_link(text: str) -> tuple[str, str]:
    """Read CONTAINER[:ALIAS] as (target, alias); the alias becomes a host name and part of a variable's name."""
    target, _, alias = text.partition(":")
    alias = alias or target.removeprefix("/")
    if not target or not re.fullmatch(ALIAS, alias):
        raise UsageError(f"invalid link {text!r}", hint="write it as CONTAINER or CONTAINER:ALIAS")
    return target, alias


def parse_add_host(text: str) -> str:
    """Read NAME:ADDRESS or NAME=ADDRESS, the address v4, v6 or "host-gateway"; returned with the colon."""
    separator = "=" if "=" in text.partition(":")[0] else ":"
    name, separator, address = text.partition(separator)
    if not separator or not re.fullmatch(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,252})", name):
        raise UsageError(f"invalid --add-host {text!r}", hint="write it as NAME:ADDRESS")
    if address != "host-gateway":
        import ipaddress

        try:
            ipaddress.ip_address(address.strip("[]"))
        except ValueError:
            raise UsageError(f"invalid address {address!r} in --add-host {text}") from None
    return f"{name}:{address}"


def _split_protocol(text: str, option: str) -> tuple[str, Protocol]:
    body, slash, name = text.partition("/")
    protocol = name.lower()
    if not slash or protocol == "tcp":
        return body, "tcp"
    if protocol == "udp":
        return body, "udp"
    raise _malformed(option, "the protocol is tcp or udp")


def _range(text: str, option: str) -> tuple[int, int]:
    match = re.fullmatch(_PORTS, text)
    if not match:
        raise _malformed(option, "write it as [[ADDRESS:]PORT:]PORT[/tcp|udp]")
    first = int(match[1])
    last = int(match[2] or match[1])
    if not 1 <= first <= last <= PORT_MAX:
        raise _malformed(option, f"ports are 1 to {PORT_MAX}, a range goes upwards")
    return first, last


def _host_address(text: str, option: str) -> str:
    if text.startswith("["):
        raise _malformed(option, "ports are published on IPv4 addresses only so far")
    import ipaddress

    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise _malformed(option, f"{text!r} is not an IPv4 address") from None


def _malformed(option: str, hint: str) -> UsageError:
    return UsageError(f"invalid port in {option!r}", hint=hint)
