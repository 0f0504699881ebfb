"""Subnets and addresses to give away (pure). Addresses are integers, which `ipaddress` would take 4 ms to wrap."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Collection, Iterable, Iterator

from devbox.errors import UsageError
from devbox.system.interfaces import Subnet

_PREFIX_SHORTEST = 8
_PREFIX_LONGEST = 30


def _candidates() -> Iterator[Subnet]:
    """docker's default address pools, in its order."""
    for second in range(17, 32):
        yield Subnet(172 << 24 | second << 16, 16)
    for third in range(0, 256, 16):
        yield Subnet(192 << 24 | 168 << 16 | third << 8, 20)


def choose_subnet(taken: Collection[Subnet]) -> Subnet | None:
    """The first candidate that overlaps nothing that is taken."""
    return next((subnet for subnet in _candidates() if not overlapping(subnet, taken)), None)


def overlapping(subnet: Subnet, others: Iterable[Subnet]) -> list[Subnet]:
    """Those that share an address with the subnet."""
    return [other for other in others if _common(subnet, other)]


def _common(one: Subnet, other: Subnet) -> bool:
    shift = 32 - min(one.prefix_length, other.prefix_length)
    return one.address >> shift == other.address >> shift


def contains(subnet: Subnet, address: int) -> bool:
    """Whether an address lies in a subnet."""
    return _common(subnet, Subnet(address, 32))


def hosts(subnet: Subnet) -> range:
    """All addresses but the network's own and the broadcast address."""
    return range(subnet.address + 1, subnet.address + (1 << (32 - subnet.prefix_length)) - 1)


def choose_address(subnet: Subnet, used: Collection[int], within: Subnet | None = None) -> int | None:
    """The lowest address that nobody uses, taken from `within` when that is given."""
    allowed = hosts(subnet)
    if within:
        end = within.address + (1 << (32 - within.prefix_length))
        allowed = range(max(allowed.start, within.address), min(allowed.stop, end))
    return next((address for address in allowed if address not in used), None)


def parse_address(text: str) -> int:
    """Dotted quad to integer; UsageError."""
    parts = text.split(".")
    if len(parts) != 4 or not all(re.fullmatch(r"0|[1-9][0-9]{0,2}", part) and int(part) < 256 for part in parts):
        hint = "networks are IPv4 only so far" if ":" in text else ""
        raise UsageError(f"{text!r} is not an IPv4 address", hint=hint)
    return int.from_bytes(bytes(map(int, parts)), "big")


def format_address(address: int) -> str:
    """Integer to dotted quad."""
    return ".".join(map(str, address.to_bytes(4, "big")))


def parse_subnet(text: str) -> Subnet:
    """ADDRESS/LENGTH that a network can have; UsageError."""
    subnet = parse_cidr(text)
    if not _PREFIX_SHORTEST <= subnet.prefix_length <= _PREFIX_LONGEST:
        raise UsageError(
            f"invalid subnet {text}", hint=f"the prefix length is {_PREFIX_SHORTEST} to {_PREFIX_LONGEST}"
        )
    if subnet.address >> 24 in (0, 127) or subnet.address >> 28 >= 14:
        raise UsageError(f"invalid subnet {text}", hint="this range has a meaning of its own, take a private one")
    return subnet


def parse_cidr(text: str) -> Subnet:
    """ADDRESS/LENGTH without host bits; UsageError."""
    address, slash, length = text.partition("/")
    if not slash or not re.fullmatch(r"[0-9]{1,2}", length) or int(length) > 32:
        hint = "networks are IPv4 only so far" if ":" in text else "write it as 10.20.0.0/16"
        raise UsageError(f"invalid subnet {text!r}", hint=hint)
    subnet = Subnet(parse_address(address), int(length))
    start = subnet.address >> (32 - subnet.prefix_length) << (32 - subnet.prefix_length)
    if start != subnet.address:
        raise UsageError(f"invalid subnet {text}", hint=f"did you mean {format_address(start)}/{length}")
    return subnet


def format_subnet(subnet: Subnet) -> str:
    """The text that `parse_cidr` reads."""
    return f"{format_address(subnet.address)}/{subnet.prefix_length}"
