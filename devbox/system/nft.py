"""nftables: nft(8) writes tables, netlink changes map elements and reads; every change is one transaction."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import binascii
import errno
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from devbox.errors import HostError
from devbox.system import process
from devbox.system.netlink import (
    NLA_F_NESTED,
    NLM_F_DUMP,
    Message,
    attribute,
    attributes,
    netfilter,
)

DROP = 0
_SUBSYSTEM = 10 << 8
_GETCHAIN, _GETRULE, _GETSETELEM = _SUBSYSTEM | 4, _SUBSYSTEM | 7, _SUBSYSTEM | 13
_NEWSETELEM, _DELSETELEM = _SUBSYSTEM | 12, _SUBSYSTEM | 14
_IPV4 = bytes((2, 0, 0, 0))
_TABLE, _CHAIN_OR_SET = 1, 2
_ELEMENTS = _HANDLE = 3
_CHAIN_NAME, _CHAIN_POLICY = 3, 5
_LIST_ELEMENT, _ELEMENT_KEY, _ELEMENT_DATA, _VALUE = 1, 1, 2, 1
_NLM_F_CREATE = 0x400


class Element(NamedTuple):
    """An element of a map as the kernel has it: the parts of key and value each padded to four bytes."""

    map: str
    key: bytes
    value: bytes


def apply(script: str) -> None:
    """Run one transaction; HostError with nft's own words when the kernel refuses it."""
    try:
        process.run(["nft", "-f", "-"], stdin=script.encode())
    except process.ProcessError as error:
        first = error.output.partition("\n")[0]
        raise HostError(f"cannot change the firewall: {first}", hint="'nft list ruleset' shows it") from error


def change_elements(table: str, gone: Sequence[Element], new: Sequence[Element]) -> None:
    """Replace elements of maps of an `ip` table, as one transaction; OSError when the kernel refuses it.

    It takes 0.1 ms, where nft(8) takes 5 to add an element and 20 to delete one.
    """
    messages = [
        (kind, flags, _IPV4 + _name(_TABLE, table) + _name(_CHAIN_OR_SET, name) + _listed(elements))
        for kind, flags, changed in ((_DELSETELEM, 0, gone), (_NEWSETELEM, _NLM_F_CREATE, new))
        for name, elements in _by_map(changed).items()
    ]
    netfilter().batch(_SUBSYSTEM >> 8, messages)


def fingerprint(table: str, sets: Iterable[str]) -> int:
    """A number that changes with any rule or set element of an `ip` table; 0 without rules or table."""
    rules = _dump(_GETRULE, _IPV4 + _name(_TABLE, table))
    if not rules:
        return 0
    total = binascii.crc32(b"".join(message.body[4:] for message in rules))
    for name in sets:
        body = _IPV4 + _name(_TABLE, table) + _name(_CHAIN_OR_SET, name)
        total = binascii.crc32(b"".join(sorted(_elements(_dump(_GETSETELEM, body)))), total)
    return total


def chain_policy(table: str, chain: str) -> int | None:
    """The policy of a base chain of an `ip` table (DROP or 1 for accept); None when there is no such chain."""
    body = _IPV4 + _name(_TABLE, table) + _name(_CHAIN_NAME, chain)
    try:
        answer = netfilter().request(_GETCHAIN, 0, body)[0]
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
    return [message.body[4:] for message in _dump(_GETRULE, body)]


def _by_map(elements: Iterable[Element]) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {}
    for element in elements:
        found.setdefault(element.map, []).append(element)
    return found


def _listed(elements: Iterable[Element]) -> bytes:
    listed = b""
    for element in elements:
        key = _nested(_ELEMENT_KEY, attribute(_VALUE, element.key))
        listed += _nested(_LIST_ELEMENT, key + _nested(_ELEMENT_DATA, attribute(_VALUE, element.value)))
    return _nested(_ELEMENTS, listed)


def _nested(kind: int, content: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, content)


def _name(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def _dump(kind: int, body: bytes) -> list[Message]:
    try:
        return netfilter().request(kind, NLM_F_DUMP, body)
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
