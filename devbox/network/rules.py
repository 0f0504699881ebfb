"""The nft table of a root, as text (pure). It is one table of family ip; other tables are left alone.

raw          packets to or from 127/8 that did not come from lo are dropped before anything sees them:
             bridges have route_localnet, and without this a neighbour could reach what only localhost may
prerouting,  a connection to an address of this machine and a published port goes to the container;
output       output does so for programs of this machine
postrouting  what leaves a network takes the host's address; so does what comes from 127.0.0.1, and what a
             container sends to its own network by a published port, since the answer must come back here
forward      into a network go answers, its own traffic and published ports, nothing else
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import struct
from collections.abc import Sequence
from typing import NamedTuple

from devbox.network import pool
from devbox.system import nft


class Side(NamedTuple):
    """A network as its rules see it."""

    bridge: str
    subnet: str
    internal: bool
    masquerade: bool


class Published(NamedTuple):
    """A published port; `host_address` 0.0.0.0 stands for every address of this machine."""

    protocol: str
    host_address: str
    host_port: int
    address: str
    port: int


FOREIGN_TABLE, FOREIGN_CHAIN = "filter", "FORWARD"
"""of iptables, whether docker's or a user's"""
_SETS = {
    "bridges": "type ifname;",
    "internal": "type ifname;",
    "same": "type ifname . ifname;",
    "outgoing": "type ipv4_addr; flags interval;",
    "own": "type ifname . ipv4_addr; flags interval;",
}
_MAPS = {
    "published": "type inet_proto . inet_service : ipv4_addr . inet_service;",
    "published_at": "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;",
}
SETS = (*_SETS, *_MAPS)
_CHAINS = {
    "translate": "",
    "raw": "type filter hook prerouting priority raw;",
    "prerouting": "type nat hook prerouting priority dstnat;",
    "output": "type nat hook output priority -100;",
    "postrouting": "type nat hook postrouting priority srcnat;",
    "forward": "type filter hook forward priority filter;",
}
_RULES = """\
raw iifname != "lo" ip daddr 127.0.0.0/8 drop
raw iifname != "lo" ip saddr 127.0.0.0/8 drop
prerouting fib daddr type local jump translate
output fib daddr type local jump translate
translate dnat ip to ip daddr . meta l4proto . th dport map @published_at
translate dnat ip to meta l4proto . th dport map @published
postrouting ip saddr 127.0.0.0/8 oifname @bridges masquerade
postrouting oifname . ip saddr @own ct status dnat masquerade
postrouting ip saddr @outgoing oifname != @bridges masquerade
forward ct state established,related accept
forward iifname . oifname @same accept
forward iifname @internal drop
forward oifname @internal drop
forward oifname @bridges ct status dnat accept
forward oifname @bridges drop
"""


def whole(table: str, sides: Sequence[Side], published: Sequence[Published]) -> str:
    """One transaction that makes the table what it should be, whether and whatever it was.

    Chains are emptied instead of deleted, which would make the kernel wait.
    """
    lines = [f"add table ip {table}"]
    lines += [f"add set ip {table} {name} {{ {kind} }}" for name, kind in _SETS.items()]
    lines += [f"add map ip {table} {name} {{ {kind} }}" for name, kind in _MAPS.items()]
    lines += [f"add chain ip {table} {name} {{ {hook} }}" for name, hook in _CHAINS.items()]
    lines.append(f"flush table ip {table}")
    lines += [f"flush set ip {table} {name}" for name in _SETS]
    lines += [f"flush map ip {table} {name}" for name in _MAPS]
    for name, elements in _members(sides).items():
        if elements:
            lines.append(f"add element ip {table} {name} {{ {', '.join(elements)} }}")
    lines += [f"add element ip {table} {element(port)}" for port in published]
    lines += [f"add rule ip {table} {rule}" for rule in _RULES.splitlines()]
    return "\n".join(lines) + "\n"


def element(port: Published) -> str:
    """The map and element of a published port, in nft's language."""
    target = f"{port.address} . {port.port}"
    if port.host_address == "0.0.0.0":
        return f"published {{ {port.protocol} . {port.host_port} : {target} }}"
    return f"published_at {{ {port.host_address} . {port.protocol} . {port.host_port} : {target} }}"


def packed(port: Published) -> nft.Element:
    """The same as the kernel has it."""
    key = bytes((6 if port.protocol == "tcp" else 17, 0, 0, 0)) + struct.pack(">HH", port.host_port, 0)
    value = _packed_address(port.address) + struct.pack(">HH", port.port, 0)
    if port.host_address == "0.0.0.0":
        return nft.Element("published", key, value)
    return nft.Element("published_at", _packed_address(port.host_address) + key, value)


def _packed_address(text: str) -> bytes:
    return pool.parse_address(text).to_bytes(4, "big")


def passage(chain: str, sides: Sequence[Side], *, jumps: bool) -> str:
    """Let our traffic pass the chain in which docker and iptables drop what nobody accepted.

    A packet that our own forward chain has dropped stays dropped: every table has a say.
    """
    lines = [f"add chain ip {FOREIGN_TABLE} {chain}", f"flush chain ip {FOREIGN_TABLE} {chain}"]
    for side in sides:
        lines.append(f'add rule ip {FOREIGN_TABLE} {chain} iifname "{side.bridge}" accept')
        lines.append(f'add rule ip {FOREIGN_TABLE} {chain} oifname "{side.bridge}" accept')
    if not jumps:
        lines.append(f"insert rule ip {FOREIGN_TABLE} {FOREIGN_CHAIN} jump {chain}")
    return "\n".join(lines) + "\n"


def no_passage(chain: str, handles: Sequence[int]) -> str:
    """Take the passage away; `handles` are the rules that jump to it."""
    lines = [f"delete rule ip {FOREIGN_TABLE} {FOREIGN_CHAIN} handle {handle}" for handle in handles]
    lines += [f"flush chain ip {FOREIGN_TABLE} {chain}", f"delete chain ip {FOREIGN_TABLE} {chain}"]
    return "\n".join(lines) + "\n"


def _members(sides: Sequence[Side]) -> dict[str, list[str]]:
    return {
        "bridges": [f'"{side.bridge}"' for side in sides],
        "internal": [f'"{side.bridge}"' for side in sides if side.internal],
        "same": [f'"{side.bridge}" . "{side.bridge}"' for side in sides],
        "outgoing": [side.subnet for side in sides if side.masquerade],
        "own": [f'"{side.bridge}" . {side.subnet}' for side in sides],
    }
