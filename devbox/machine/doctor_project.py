"""Files of a project that will break in a Linux container, before they do. Runs on every system."""

from __future__ import annotations

import os
import stat
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from devbox.model.finding import Finding

_SKIPPED = frozenset(
    (".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", "target", "vendor")
)
_SCRIPTS = (".sh", ".bash", ".env")
_MODULES = (".py", ".rb", ".pl")
_NAMED = ("Dockerfile", "Containerfile", "Makefile", "entrypoint", "gradlew", "mvnw")
_FILES_MAX = 50_000
_SHOWN = 10
_HEAD = 4096
_INDEX_MAX = 64 << 20
_SYNCED = ("iCloud Drive", "Mobile Documents", "OneDrive", "Dropbox", "Google Drive")
_TOPIC = "project"


class _Script(NamedTuple):
    path: str
    crlf: bool
    runs: bool
    """it begins with #!, and is no module of a language whose programs are often run by name"""
    may_run: bool


def findings(directory: str, *, modes: bool = os.name != "nt") -> Iterator[Finding]:
    """Look at the files below a directory; without `modes` the host has no executable bits to look at."""
    found: list[Finding] = list(_place(directory))
    scripts: list[_Script] = []
    seen = 0
    for parent, names in _directories(directory):
        found += _clashes(parent, names)
        scripts += filter(None, (_script(os.path.join(parent, name), name) for name in names))
        seen += len(names)
        if seen > _FILES_MAX:
            found.append(Finding(_TOPIC, "note", f"only the first {seen} files were looked at"))
            break
    found += _plain_links(directory)
    found += _carriage_returns([script.path for script in scripts if script.crlf])
    found += _not_executable([script.path for script in scripts if script.runs and not script.may_run and modes])
    yield from found or [Finding(_TOPIC, "ok", f"nothing in {directory} that breaks on Linux ({seen} files)")]


def _carriage_returns(paths: list[str]) -> Iterator[Finding]:
    for path in paths[:_SHOWN]:
        text = f"{path} has the line ends of Windows: Linux will not find the interpreter that it names"
        yield Finding(_TOPIC, "problem", text, _mend_ends(path))
    yield from _more(paths, "line ends of Windows")


def _not_executable(paths: list[str]) -> Iterator[Finding]:
    for path in paths[:_SHOWN]:
        text = f"{path} is a script that nobody may execute: a container says permission denied"
        yield Finding(_TOPIC, "warning", text, f"chmod +x {_quoted(path)}")
    yield from _more(paths, "no right to be executed")


def _plain_links(directory: str) -> Iterator[Finding]:
    """Links that git has written as files with the target's name in them, as it does on Windows."""
    paths = [os.path.join(directory, name) for name in _links(os.path.join(directory, ".git", "index"))]
    plain = [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    for path in plain[:_SHOWN]:
        git = f"git -C {_quoted(directory)}"
        mend = f"{git} config core.symlinks true, then {git} checkout -- {_quoted(path)}"
        yield Finding(_TOPIC, "problem", f"{path} is a symbolic link in git and a plain file here", mend)


def _links(index: str) -> Iterator[str]:
    """What git's index has as symbolic links; nothing of versions with compressed names."""
    try:
        with open(index, "rb") as file:
            data = file.read(_INDEX_MAX)
        magic, version, count = struct.unpack_from(">4sII", data)
        at = 12
        for _ in range(count if magic == b"DIRC" and version in (2, 3) else 0):
            mode, flags = struct.unpack_from(">24xI32xH", data, at)
            begin = at + (64 if flags & 0x4000 else 62)
            end = data.index(b"\0", begin)
            if mode == stat.S_IFLNK:
                yield os.fsdecode(data[begin:end])
            at += (end - at) // 8 * 8 + 8
    except (OSError, ValueError, struct.error):
        return


def _more(paths: list[str], what: str) -> Iterator[Finding]:
    if len(paths) > _SHOWN:
        yield Finding(_TOPIC, "note", f"{len(paths) - _SHOWN} more scripts with {what}")


def _place(directory: str) -> Iterator[Finding]:
    for name in _SYNCED:
        if name in directory:
            text = f"{directory} lies in {name}, which may put a placeholder where a container expects a file"
            yield Finding(_TOPIC, "warning", text)
    if os.name == "nt" and len(directory) > 200:
        yield Finding(
            _TOPIC, "warning", f"the path of {directory} is so long that files in it may not be reachable"
        )


def _directories(directory: str) -> Iterator[tuple[str, list[str]]]:
    for parent, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name not in _SKIPPED]
        yield parent, files + [name for name in directories if os.path.islink(os.path.join(parent, name))]


def _clashes(parent: str, names: list[str]) -> Iterator[Finding]:
    """Names that are one on macOS and Windows: whoever clones there gets one of the files."""
    folded = Counter(_folded(name) for name in names)
    for key, count in folded.items():
        if count > 1:
            both = sorted(name for name in names if _folded(name) == key)
            text = f"{' and '.join(both)} in {parent} are one file on macOS and Windows"
            mend = f"git -C {_quoted(parent)} mv {_quoted(both[0])} {_quoted('renamed-' + both[0])}"
            yield Finding(_TOPIC, "problem", text, mend)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _script(path: str, name: str) -> _Script | None:
    """What is read by a shell or an interpreter; None for other files."""
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            return None
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    interpreted = head.startswith(b"#!")
    if not interpreted and not name.endswith(_SCRIPTS) and not name.startswith(_NAMED):
        return None
    carriage = b"\r\n" in head and (interpreted or not name.startswith(("Dockerfile", "Containerfile")))
    runs = interpreted and not name.endswith(_MODULES)
    return _Script(path, carriage, runs, bool(mode & 0o111))


def _mend_ends(path: str) -> str:
    if os.name == "nt":
        return f'(Get-Content -Raw {_quoted(path)}) -replace "`r`n","`n" | Set-Content -NoNewline {_quoted(path)}'
    return f"perl -pi -e 's/\\r$//' {_quoted(path)}"


def _quoted(path: str) -> str:
    import shlex

    return f"'{path}'" if os.name == "nt" else shlex.quote(path)
