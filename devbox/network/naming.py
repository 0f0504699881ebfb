"""Names of this root's interfaces and nft table: no two roots share one, and each is known for its root's."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import binascii
import os
import re

from devbox.store.root import STATE_DEFAULT, Root

HOST_LOCK = "/run/devbox/network.lock"
"""held while a subnet or an interface name is taken; shared by all roots of this machine"""


def table(root: Root) -> str:
    """The nft table."""
    own = _tag(root)
    return f"devbox_{own}" if own else "devbox"


def bridge(root: Root, number: int) -> str:
    """The name of a bridge; 0 is the default network's."""
    own = _tag(root)
    return f"db{own}-{number}" if own else f"devbox{number}"


def veth(root: Root) -> str:
    """A name, most likely unused, for the host's end of a pair: 15 characters, all that the kernel allows."""
    own = _tag(root)
    return f"v{own}{os.urandom(3).hex()}" if own else f"vdevbox{os.urandom(4).hex()}"


def is_ours(root: Root, interface: str) -> bool:
    """Whether an interface has a name that only this root gives."""
    own = _tag(root)
    if own:
        return bool(re.fullmatch(rf"db{own}-[0-9]+|v{own}[0-9a-f]{{6}}", interface))
    return bool(re.fullmatch(r"devbox[0-9]+|vdevbox[0-9a-f]{8}", interface))


def is_bridge(root: Root, interface: str) -> bool:
    """Whether it is named as a bridge of this root."""
    return is_ours(root, interface) and not interface.startswith("v")


def _tag(root: Root) -> str:
    path = os.path.realpath(root.state)
    return "" if path == STATE_DEFAULT else f"{binascii.crc32(os.fsencode(path)):08x}"
