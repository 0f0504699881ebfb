"""nftables: changes go through nft(8), one transaction a call; what is there is read by netlink"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import binascii
import errno
import struct
from collections.abc import Iterable

from devbox.errors import HostError
from devbox.system import process
from devbox.system.netlink import (
    NETLINK_NETFILTER,
    NLM_F_DUMP,
    Message,
    Netlink,
    attribute,
    attributes,
)

DROP = 0
_SUBSYSTEM = 10 << 8
_GETCHAIN, _GETRULE, _GETSETELEM = _SUBSYSTEM | 4, _SUBSYSTEM | 7, _SUBSYSTEM | 13
_IPV4 = bytes((2, 0, 0, 0))
_TABLE, _CHAIN_OR_SET = 1, 2
_ELEMENTS = _HANDLE = 3
_CHAIN_NAME, _CHAIN_POLICY = 3, 5


def apply(script: str) -> None:
    """Run one transaction; HostError with nft's own words when the kernel refuses it."""
    try:
        process.run(["nft", "-f", "-"], stdin=script.encode())
    except process.ProcessError as error:
        first = error.output.partition("\n")[0]
        raise HostError(f"cannot change the firewall: {first}", hint="'nft list ruleset' shows it") from error


def fingerprint(table: str, sets: Iterable[str]) -> int:
    """A number that changes with any rule or set element of an `ip` table; 0 without rules or table."""
    with Netlink(NETLINK_NETFILTER) as netlink:
        rules = _dump(netlink, _GETRULE, _IPV4 + _name(_TABLE, table))
        if not rules:
            return 0
        total = binascii.crc32(b"".join(message.body[4:] for message in rules))
        for name in sets:
            body = _IPV4 + _name(_TABLE, table) + _name(_CHAIN_OR_SET, name)
            total = binascii.crc32(b"".join(sorted(_elements(_dump(netlink, _GETSETELEM, body)))), total)
    return total


def chain_policy(table: str, chain: str) -> int | None:
    """The policy of a base chain of an `ip` table (DROP or 1 for accept); None when there is no such chain."""
    body = _IPV4 + _name(_TABLE, table) + _name(_CHAIN_NAME, chain)
    with Netlink(NETLINK_NETFILTER) as netlink:
        try:
            answer = netlink.request(_GETCHAIN, 0, body)[0]
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
    policy = dict(attributes(answer.body[4:])).get(_CHAIN_POLICY)
    return struct.unpack(">I", policy)[0] if policy else None


def mentioned(table: str, chain: str, words: Iterable[str]) -> set[str]:
    """Those of the names (of chains or interfaces) that rules of a chain of an `ip` table have in them."""
    rules = _rules(table, chain)
    return {word for word in words if any(word.encode() + b"\0" in rule for rule in rules)}


def rules_with(table: str, chain: str, word: str) -> list[int]:
    """Handles of the rules of a chain of an `ip` table that have a name in them."""
    rules = [rule for rule in _rules(table, chain) if word.encode() + b"\0" in rule]
    return [int.from_bytes(dict(attributes(rule))[_HANDLE], "big") for rule in rules]


def _rules(table: str, chain: str) -> list[bytes]:
    body = _IPV4 + _name(_TABLE, table) + _name(_CHAIN_OR_SET, chain)
    with Netlink(NETLINK_NETFILTER) as netlink:
        return [message.body[4:] for message in _dump(netlink, _GETRULE, body)]


def _name(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def _dump(netlink: Netlink, kind: int, body: bytes) -> list[Message]:
    try:
        return netlink.request(kind, NLM_F_DUMP, body)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return []
        raise


def _elements(messages: Iterable[Message]) -> list[bytes]:
    found: list[bytes] = []
    for message in messages:
        listed = dict(attributes(message.body[4:])).get(_ELEMENTS, b"")
        found.extend(element for _, element in attributes(listed))
    return found
