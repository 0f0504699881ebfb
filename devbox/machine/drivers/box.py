"""Box files: found in metadata, fetched, known by their content, and checked before Vagrant unpacks them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import tarfile
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from devbox.errors import HostError, NotFoundError, RefusedError

NETWORK = ("https://", "http://")
_QCOW2 = b"QFI\xfb"
_VMDK = b"KDMV"
_VMDK_TEXT = b"# Disk DescriptorFile"
_HEADER = 104
_EXTERNAL_DATA = 1 << 2
_SHA256 = re.compile(r"[0-9a-f]{64}")
_METADATA_LIMIT = 1 << 20
_BLOCK = 1 << 20
_PATIENCE = 60.0
"""seconds in which a server must send something"""


class Box(NamedTuple):
    """A box as metadata names it."""

    url: str
    sha256: str


def is_metadata(place: str) -> bool:
    """Whether a setting names Vagrant's metadata, and not a box."""
    return place.endswith(".json") and (os.path.isabs(place) or place.startswith(NETWORK))


def found(place: str, provider: str, architecture: str) -> Box:
    """The newest box for a provider in metadata, a file or an address; RefusedError where there is none."""
    data = _small(place)
    try:
        document = json.loads(data)
        versions = sorted(document["versions"], key=lambda version: _number(version["version"]), reverse=True)
        for version in versions:
            for entry in version["providers"]:
                if entry["name"] == provider and entry.get("architecture", architecture) == architecture:
                    return _entry(place, entry)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"{place} is no metadata of a box: {error}") from error
    raise RefusedError(
        f"{place} has no box for the provider {provider} on {architecture}",
        hint="provision/box.sh builds one, or choose another provider",
    )


def _entry(place: str, entry: dict[str, Any]) -> Box:
    checksum = entry.get("checksum", "")
    if entry.get("checksum_type") != "sha256" or not _SHA256.fullmatch(checksum):
        raise RefusedError(f"{place} names a box without its sha256")
    url = str(entry["url"])
    if place.startswith(NETWORK) and not url.startswith(NETWORK):
        raise RefusedError(f"{place} names a box that is not on the network: {url}")
    return Box(url.removeprefix("file://"), checksum)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _small(place: str) -> bytes:
    try:
        with _opened(place) if place.startswith(NETWORK) else open(place, "rb") as stream:
            data: bytes = stream.read(_METADATA_LIMIT + 1)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {place}", hint="provision/box.sh makes it") from None
    if len(data) > _METADATA_LIMIT:
        raise RefusedError(f"{place} is too long for metadata of a box")
    return data


def fetch(url: str, sha256: str, path: str, told: Callable[[str], None]) -> None:
    """Bring a box here; RefusedError, and no file, when it is not the one with that sha256."""
    digest, size = hashlib.sha256(), 0
    try:
        with _opened(url) as stream, open(path, "wb") as file:
            while block := stream.read(_BLOCK):
                digest.update(block)
                file.write(block)
                if (size + len(block)) >> 25 != size >> 25:
                    told(f"{(size + len(block)) >> 20} MiB fetched")
                size += len(block)
        if digest.hexdigest() != sha256:
            raise RefusedError(
                f"{url} is not the box that was asked for: its sha256 is {digest.hexdigest()}, not {sha256}"
            )
    except BaseException as error:
        _remove(path)
        if isinstance(error, OSError):
            raise HostError(f"{url} cannot be fetched: {error}") from error
        raise


def _opened(url: str) -> IO[bytes]:
    import urllib.error
    import urllib.request

    try:
        stream: IO[bytes] = urllib.request.urlopen(url, timeout=_PATIENCE)
    except (urllib.error.URLError, ValueError) as error:
        raise HostError(f"{url} cannot be fetched: {getattr(error, 'reason', error)}") from error
    return stream


def _remove(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)


def digest(path: str) -> str:
    """The sha256 of a file; NotFoundError when it is not there."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise NotFoundError(f"there is no box file {path}", hint="provision/box.sh builds one") from None


def check(path: str, wanted: str) -> str:
    """Check a box file against a sha256 (unless "") and for what leads out of it; its sha256."""
    found = digest(path)
    if wanted and found != wanted:
        raise RefusedError(f"{path} is not the box that the settings name: its sha256 is {found}, not {wanted}")
    try:
        with tarfile.open(path) as box:
            for member in box:
                _check_member(f"{os.path.basename(path)}:{member.name}", box, member)
    except tarfile.TarError as error:
        raise RefusedError(f"{path} is no box: {error}") from error
    return found


def _check_member(name: str, box: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.isdir():
        return
    if not member.isfile() or member.name.startswith("/") or ".." in member.name.split("/"):
        raise RefusedError(f"{name} is not a plain file of the box")
    stream = box.extractfile(member)
    assert stream is not None
    head = stream.read(_HEADER)
    if head.startswith(_QCOW2):
        _check_qcow2(name, head)
    elif head.startswith(_VMDK):
        _check_vmdk(name, head, stream)
    elif head.startswith(_VMDK_TEXT):
        raise RefusedError(f"the disk image {name} keeps its data in another file")


def _check_qcow2(name: str, header: bytes) -> None:
    """One that names another file would show the guest that file of the host."""
    if len(header) < _HEADER:
        raise RefusedError(f"the disk image {name} is cut off")
    version, backing = struct.unpack(">IQ", header[4:16])
    incompatible = struct.unpack(">Q", header[72:80])[0] if version >= 3 else 0
    if backing:
        raise RefusedError(f"the disk image {name} has a backing file")
    if incompatible & _EXTERNAL_DATA:
        raise RefusedError(f"the disk image {name} keeps its data in another file")


def _check_vmdk(name: str, header: bytes, stream: IO[bytes]) -> None:
    offset, size = struct.unpack("<QQ", header[28:44])
    if size > 128:
        raise RefusedError(f"the disk image {name} has a description that is too long")
    stream.seek(offset * 512)
    if b"parentFileNameHint" in stream.read(size * 512):
        raise RefusedError(f"the disk image {name} has a parent")
