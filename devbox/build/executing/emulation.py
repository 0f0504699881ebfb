"""Whether this machine runs programs of another architecture: by itself, or by an interpreter of binfmt_misc."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import re

from devbox.image import config
from devbox.system import process

_REGISTERED = "/proc/sys/fs/binfmt_misc"
_NATIVE = {"amd64": ("386",), "arm64": ("arm",), "ppc64le": (), "s390x": ()}
"""what a processor runs besides its own programs"""
_HEADERS = {
    # class (1: 32 bits, 2: 64), byte order, e_machine
    "386": (1, "little", 3),
    "amd64": (2, "little", 62),
    "arm": (1, "little", 40),
    "arm64": (2, "little", 183),
    "loong64": (2, "little", 258),
    "mips64le": (2, "little", 8),
    "ppc64le": (2, "little", 21),
    "riscv64": (2, "little", 243),
    "s390x": (2, "big", 22),
}
_QEMU = {"386": "i386", "amd64": "x86_64", "arm64": "aarch64", "loong64": "loongarch64", "mips64le": "mips64el"}
_PROGRAM = 2
"""e_type of a program"""


def runs(architecture: str) -> bool:
    """Whether a container with programs of an architecture would run."""
    own = config.architecture()
    return architecture == own or architecture in _NATIVE.get(own, ()) or _interpreted(architecture)


def advice(architecture: str) -> str:
    """What to do where it does not."""
    program = f"qemu-{_QEMU.get(architecture, architecture)}-static"
    lets = (
        f"{program} is installed, but not registered with binfmt_misc: systemctl restart systemd-binfmt"
        if process.path_of(program)
        else "'apt-get install qemu-user-static' lets it"
    )
    return f"{lets}; or make the files in a stage FROM --platform=$BUILDPLATFORM, and COPY them"


def _interpreted(architecture: str) -> bool:
    """Whether the kernel has an interpreter that it opened at registration: one that a container need not have."""
    if architecture not in _HEADERS or not os.path.isdir(_REGISTERED):
        return False
    header = _header(*_HEADERS[architecture])
    entries = sorted(set(os.listdir(_REGISTERED)) - {"register", "status"})
    return _read(f"{_REGISTERED}/status") == "enabled" and any(
        _takes(_read(f"{_REGISTERED}/{entry}"), header) for entry in entries
    )


def _header(bits: int, order: str, machine: int) -> bytes:
    """The first 20 bytes of a program."""
    ident = b"\x7fELF" + bytes((bits, 1 if order == "little" else 2, 1)) + bytes(9)
    fields = (_PROGRAM, machine)
    return ident + b"".join(field.to_bytes(2, "little" if order == "little" else "big") for field in fields)


def _takes(entry: str, header: bytes) -> bool:
    """Whether an entry of binfmt_misc is for programs that begin so."""
    fields = dict(re.findall(r"^(flags:|offset|magic|mask) (.*)$", entry, re.MULTILINE))
    magic = bytes.fromhex(fields.get("magic", ""))
    mask = bytes.fromhex(fields.get("mask", "")) or b"\xff" * len(magic)
    if not entry.startswith("enabled\n") or "F" not in fields.get("flags:", "") or not magic:
        return False
    begin = int(fields.get("offset", "0"))
    seen = header[begin : begin + len(magic)]
    return len(seen) == len(magic) and all(a & m == b & m for a, b, m in zip(seen, magic, mask, strict=True))


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip("\n") if path.endswith("/status") else file.read()
    except OSError:
        return ""  # it was just taken away
