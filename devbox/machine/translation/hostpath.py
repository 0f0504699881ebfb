"""Paths as people type them on the host, whichever system it runs; pure, so that Windows is testable on Linux."""

from __future__ import annotations

import ntpath
import posixpath
import re

from devbox.errors import UsageError

_DRIVE = re.compile(r"[A-Za-z]:")
_UNIX_DRIVE = re.compile(r"//?(?:mnt/|cygdrive/)?([A-Za-z])(?=/|$)")
"""/c/src and //c/src of MSYS and docker, /mnt/c/src of WSL, /cygdrive/c/src"""
_PRIVATE = ("/private/tmp", "/private/var", "/private/etc")
"""on macOS /tmp, /var and /etc are links to these"""


def absolute(path: str, cwd: str, platform: str) -> str:
    """The normalised absolute form of a path; links stay. UsageError for one that names no place."""
    if "\0" in path:
        raise UsageError(f"a path cannot have a NUL in it: {path!r}")
    if platform == "win32":
        return _windows(path, cwd)
    found = "/" + posixpath.normpath(posixpath.join(cwd, path)).lstrip("/")
    if platform == "darwin" and any(found == each or found.startswith(each + "/") for each in _PRIVATE):
        found = found.removeprefix("/private")
    return found


def is_absolute(path: str, platform: str) -> bool:
    """Whether it names a place without a working directory, in any of the platform's ways."""
    if platform == "win32":
        return path.startswith(("/", "\\")) or bool(_DRIVE.match(path))
    return path.startswith("/")


def parts(path: str, platform: str) -> tuple[str, ...]:
    """The names of an absolute path, a drive or UNC share being the first."""
    if platform == "win32":
        drive, rest = ntpath.splitdrive(path)
        return (drive, *(name for name in rest.split("\\") if name))
    return tuple(name for name in path.split("/") if name)


def key(path: str, platform: str) -> tuple[str, ...]:
    """The names as the platform's usual file system compares them."""
    names = parts(path, platform)
    if platform == "win32":
        return tuple(name.casefold() for name in names)
    if platform == "darwin":
        import unicodedata

        return tuple(unicodedata.normalize("NFC", name).casefold() for name in names)
    return names


def join(path: str, name: str, platform: str) -> str:
    """A name in a directory."""
    return ntpath.join(path, name) if platform == "win32" else posixpath.join(path, name)


def split(path: str, platform: str) -> tuple[str, str]:
    """The directory and the last name."""
    return ntpath.split(path) if platform == "win32" else posixpath.split(path)


def default_guest(path: str, platform: str) -> str:
    r"""Where an absolute path of the host is in a machine: the same on Unix, /mnt/c/src for C:\src."""
    if platform != "win32":
        return path
    drive, *names = parts(path, platform)
    if drive.startswith("\\\\"):
        return "/" + "/".join(("mnt", "unc", *(part for part in drive.split("\\") if part), *names))
    return "/" + "/".join(("mnt", drive[0].lower(), *names))


def _windows(path: str, cwd: str) -> str:
    if unix := _UNIX_DRIVE.match(path):
        path = f"{unix[1]}:{path[unix.end() :] or '/'}"
    path = path.replace("/", "\\")
    if path.startswith("\\\\.\\"):
        raise UsageError(f"{path} is a device or a named pipe, which a machine cannot see")
    if path.upper().startswith("\\\\?\\UNC\\"):
        path = "\\\\" + path[8:]
    path = path.removeprefix("\\\\?\\")
    drive, rest = ntpath.splitdrive(path)
    here = ntpath.splitdrive(cwd)[0]
    if not drive:
        path = here + rest if rest.startswith("\\") else ntpath.join(cwd, rest)
    elif _DRIVE.fullmatch(drive) and not rest.startswith("\\"):
        if drive.upper() != here.upper():
            raise UsageError(
                f"{path} is relative to a directory of drive {drive.upper()} that is not the present one",
                hint=f"write it with a backslash: {drive}\\{rest}",
            )
        path = ntpath.join(cwd, rest)
    path = ntpath.normpath(path)
    return path[0].upper() + path[1:] if _DRIVE.match(path) else path
