"""Connections that the kernel remembers: a UDP flow keeps going where it went, whatever the rules say now."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
from collections.abc import Collection

from devbox.system.netlink import NLA_F_NESTED, NLM_F_DUMP, attribute, attributes, netfilter

_SUBSYSTEM = 1 << 8
_GET, _DELETE = _SUBSYSTEM | 1, _SUBSYSTEM | 2
_IPV4 = bytes((2, 0, 0, 0))
_TUPLE_ORIGINAL, _TUPLE_PROTOCOL = 1, 2
_PROTOCOL_NUMBER, _DESTINATION_PORT = 1, 3
_UDP = 17


def forget_udp(ports: Collection[int]) -> None:
    """Make the kernel judge the next packet to any of these UDP ports anew."""
    for message in netfilter().request(_GET, NLM_F_DUMP, _IPV4):
        flow = dict(attributes(message.body[4:])).get(_TUPLE_ORIGINAL, b"")
        if _udp_port(flow) in ports:
            with contextlib.suppress(FileNotFoundError):
                netfilter().request(_DELETE, 0, _IPV4 + attribute(_TUPLE_ORIGINAL | NLA_F_NESTED, flow))


def _udp_port(flow: bytes) -> int:
    protocol = dict(attributes(dict(attributes(flow)).get(_TUPLE_PROTOCOL, b"")))
    if protocol.get(_PROTOCOL_NUMBER) != bytes((_UDP,)):
        return 0
    return int.from_bytes(protocol.get(_DESTINATION_PORT, b""), "big")
