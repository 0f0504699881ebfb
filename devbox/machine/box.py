"""Box files: known by their content, checked before Vagrant unpacks them."""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile

from devbox.errors import NotFoundError, RefusedError

_QCOW2 = b"QFI\xfb"
_HEADER = 104
_EXTERNAL_DATA = 1 << 2


def digest(path: str) -> str:
    """The sha256 of a file; NotFoundError when it is not there."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise NotFoundError(f"there is no box file {path}", hint="provision/box.sh builds one") from None


def check(path: str, wanted: str) -> str:
    """Check a box file against a sha256 (unless "") and for disk images that lead elsewhere; its sha256."""
    found = digest(path)
    if wanted and found != wanted:
        raise RefusedError(f"{path} is not the box that the settings name: its sha256 is {found}, not {wanted}")
    try:
        with tarfile.open(path) as box:
            for member in box:
                if member.isfile() and member.name.endswith(".img"):
                    stream = box.extractfile(member)
                    assert stream is not None
                    _check_image(f"{os.path.basename(path)}:{member.name}", stream.read(_HEADER))
    except tarfile.TarError as error:
        raise RefusedError(f"{path} is no box: {error}") from error
    return found


def _check_image(name: str, header: bytes) -> None:
    """A qcow2 that names another file would show the guest that file of the host."""
    if len(header) < _HEADER or header[:4] != _QCOW2:
        return
    version, backing = struct.unpack(">IQ", header[4:16])
    incompatible = struct.unpack(">Q", header[72:80])[0] if version >= 3 else 0
    if backing:
        raise RefusedError(f"the disk image {name} has a backing file")
    if incompatible & _EXTERNAL_DATA:
        raise RefusedError(f"the disk image {name} keeps its data in another file")
