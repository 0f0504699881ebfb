"""Values of -v, --mount and volume options whose source is a path of the host."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from devbox.errors import UsageError
from devbox.machine import keyagent
from devbox.machine.translation import hostpath
from devbox.machine.translation.mountmap import MountMap, Share
from devbox.machine.translation.wish import NotSharedError, Wish
from devbox.model.mount_parse import fields, joined

_WINDOWS_VOLUME = re.compile(r"((?:\\\\\?\\)?[A-Za-z]:[^:]*|[^:]*)(?::(.*))?", re.DOTALL)
_MANGLED = re.compile(r"([A-Za-z]:[\\/][^;]*);(.*)", re.DOTALL)
"""what the shell of Git makes of /c/src:/src: C:\\src;C:\\Program Files\\Git\\src"""
_MANGLING = "the shell of Git rewrites what looks like a path: set MSYS_NO_PATHCONV=1"


class Mounts:
    """The values of one command."""

    def __init__(self, mapped: Callable[[str], str | None], wish: Wish) -> None:
        self._mapped = mapped
        self._wish = wish
        self._platform = wish.mapping.platform
        self.agents: dict[str, str] = {}
        """sockets of SSH agents that are mounted, by their path in the machine"""

    def translate(self, text: str, name: str) -> str:
        """One value of --mount, or of -v."""
        return self._mount(text) if name == "mount" else self._volume(text)

    def driver(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Options of a volume: the device of one that binds is a path of the host."""
        pairs = [tuple(value.partition("=")[::2]) for value in values]
        if not any(key == "o" and "bind" in value.split(",") for key, value in pairs):
            return values
        return tuple(
            f"device={self._source(rest, f'-o {value}')}" if key == "device" else value
            for value, (key, rest) in zip(values, pairs, strict=True)
        )

    def _volume(self, text: str) -> str:
        source, rest = self._split(text)
        if rest is None or not _is_path(source, self._platform):
            return text
        guest = self._source(source, f"-v {text}")
        if ":" in guest:
            raise UsageError(f"-v {text}: a path with a colon in it cannot be written so", hint="use --mount")
        return f"{guest}:{rest}"

    def _split(self, text: str) -> tuple[str, str | None]:
        """SOURCE and TARGET[:OPTIONS]; None where there is no source."""
        if self._platform != "win32":
            source, colon, rest = text.partition(":")
            return source, rest if colon else None
        if mangled := _MANGLED.fullmatch(text):
            return mangled[1], _unmangle(mangled[2], text, self._wish.environ)
        found = _WINDOWS_VOLUME.fullmatch(text)
        assert found  # it matches everything
        if found[2] is None and hostpath.is_absolute(text, "win32") and text[1:2] == ":":
            raise UsageError(f"-v {text}: the path in the container is missing", hint=f"write {text}:/TARGET")
        return found[1], found[2]

    def _mount(self, text: str) -> str:
        option = f"--mount {text}"
        values = fields(text, option)
        if "type=bind" not in (value.lower() for value in values):
            return text
        return joined(self._field(value, option) for value in values)

    def _field(self, value: str, option: str) -> str:
        key, _, source = value.partition("=")
        is_path = key.lower() in ("source", "src") and _is_path(source, self._platform)
        return f"source={self._source(source, option)}" if is_path else value

    def agent(self, path: str, option: str) -> str:
        """The path in the machine behind which is an SSH agent of this host."""
        path = hostpath.absolute(keyagent.check(path, option), self._wish.cwd, self._platform)
        guest = keyagent.place(self._wish.host, path)
        self.agents[guest] = path
        return guest

    def _source(self, source: str, option: str) -> str:
        own = self._wish.environ.get("SSH_AUTH_SOCK", "")
        if source == keyagent.DESKTOP or (own and source == own):
            return self.agent(own, option)
        guest = self._mapped(source)
        if guest is None:
            path = hostpath.absolute(source, self._wish.cwd, self._platform)
            raise _not_shared(path, option, self._wish)
        return guest


def _is_path(source: str, platform: str) -> bool:
    """A name is a volume's."""
    return source.startswith(".") or hostpath.is_absolute(source, platform)


def _unmangle(target: str, text: str, environ: Mapping[str, str]) -> str:
    root = environ.get("EXEPATH", "")
    root = ntpath.dirname(root) if ntpath.basename(root).lower() in ("bin", "cmd") else root
    path = ntpath.normpath(target)
    if not root or not path.lower().startswith(ntpath.normpath(root).lower() + "\\"):
        _refuse_mangled(text)
    return path[len(ntpath.normpath(root)) :].replace("\\", "/")


def _refuse_mangled(text: str) -> NoReturn:
    raise UsageError(f"-v {text} is two paths of Windows, not SOURCE:TARGET", hint=_MANGLING)


def _not_shared(path: str, option: str, wish: Wish) -> NotSharedError:
    shares = _with(path, wish)
    write = f"write {_line(shares, wish.mapping.platform)} to [machines.{wish.machine}] in {wish.settings}"
    return NotSharedError(
        f"{option}: {path} lies in no share of machine {wish.machine!r}",
        f"{write}, then devbox machine restart {wish.machine}; or let --share do both",
        shares,
    )


def _with(path: str, wish: Wish) -> tuple[Share, ...]:
    """The shares that are there, without those that the new one covers, and the new one."""
    platform = wish.mapping.platform
    wanted = path if wish.files.kind(path) == "directory" else hostpath.split(path, platform)[0]
    new = Share(wanted, hostpath.default_guest(wanted, platform))
    covered = MountMap(platform, (new,))
    return (*(share for share in wish.mapping.shares if covered.share(share.host) is None), new)


def _line(shares: tuple[Share, ...], platform: str) -> str:
    return "shares = [" + ", ".join(_toml(written(share, platform)) for share in shares) + "]"


def written(share: Share, platform: str) -> str:
    """As the settings write it: HOST or HOST:GUEST."""
    same = share.guest == hostpath.default_guest(share.host, platform)
    return share.host if same else f"{share.host}:{share.guest}"


def _toml(text: str) -> str:
    """A string of TOML; the literal kind for the backslashes of Windows."""
    if "\\" in text and "'" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
