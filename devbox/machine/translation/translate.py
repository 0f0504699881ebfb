"""A command as a machine must see it: every file of the host in it mapped, sent, fetched or refused. Pure.

What a parameter means is in the grammar: its kind. Nothing is guessed from how a string looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from devbox.errors import ConflictError, NotFoundError, UsageError
from devbox.machine.translation import hostpath
from devbox.machine.translation import translate_build as build
from devbox.machine.translation.translate_mounts import Mounts
from devbox.machine.translation.wish import Fetched, Sent, Translated, Wish
from devbox.model import ignore
from devbox.model.invocation import Invocation, Value
from devbox.model.values_parse import merge_env, parse_env, parse_env_file

_IGNORE = ".dockerignore"
Kinds = Mapping[str, str]
"""the grammar's kind of each parameter"""


def translate(invocation: Invocation, kinds: Kinds, wish: Wish) -> Translated:
    """The command for the machine.

    NotSharedError for a bind mount of what the machine does not see, NotFoundError for a file that is not there.
    """
    return _Translation(invocation, wish).all(kinds)


class _Translation:
    def __init__(self, invocation: Invocation, wish: Wish) -> None:
        self.invocation = invocation
        self.params: dict[str, Value] = dict(invocation.params)
        self.wish = wish
        self.platform = wish.mapping.platform
        self.send: list[Sent] = []
        self.fetch: list[Fetched] = []
        self.stdin = self.stdout = ""
        self.mounts = Mounts(self.mapped, wish)

    def all(self, kinds: Kinds) -> Translated:
        actions: Mapping[str, Callable[[str, Value], Value]] = {
            "path": lambda name, value: self.read(str(value), name),
            "paths": lambda name, value: tuple(self.read(each, name) for each in _many(value)),
            "stdin": lambda name, value: self.as_stdin(str(value), name),
            "stdout": lambda name, value: self.as_stdout(str(value), name),
            "result": lambda name, value: self.result(str(value), name),
            "mounts": lambda name, value: tuple(self.mounts.translate(each, name) for each in _many(value)),
            "driver": lambda _, value: self.mounts.driver(_many(value)),
            "security": lambda _, value: tuple(self.security(each) for each in _many(value)),
            "endpoint": lambda name, value: self.endpoint(str(value), name),
            "env": lambda _, value: parse_env(_many(value), self.wish.environ),
            "context": lambda name, value: build.context(self, str(value), name),
            "contexts": lambda _, value: tuple(build.named_context(self, each) for each in _many(value)),
            "dockerfile": lambda name, value: self.dockerfile(str(value), name),
            "secrets": lambda _, value: build.secrets(self, _many(value), self.wish.environ),
            "sockets": lambda _, value: tuple(self.agent(each) for each in _many(value)),
            "cache_from": lambda name, value: tuple(build.cache(each, self.read, name) for each in _many(value)),
            "cache_to": lambda name, value: tuple(build.cache(each, self.result, name) for each in _many(value)),
            "outputs": lambda _, value: tuple(build.output(self, each) for each in _many(value)),
        }
        self._environment_files(kinds)
        for name, kind in kinds.items():
            value = self.params.get(name)
            if kind in actions and value not in (None, (), ""):
                self.params[name] = actions[kind](name, value)
        cwd = self.mapped(self.wish.cwd) if self.wish.cwd else None
        return Translated(
            Invocation(self.invocation.command, self.params),
            cwd or "/",
            tuple(self.send),
            tuple(self.fetch),
            self.stdin,
            self.stdout,
            self.mounts.agents,
        )

    def mapped(self, path: str) -> str | None:
        """A path as the machine names it, None outside the shares; links lead where they lead here."""
        return self.wish.mapping.to_guest(self.wish.files.real(self._absolute(path)))

    def read(self, path: str, name: str) -> str:
        """A file or directory that the command reads."""
        return path if path == "-" else self.mapped(path) or self._sent(self._existing(path, name), name)

    def tree(self, path: str, name: str) -> str:
        """A context of build; what is ignored in it is not sent."""
        if (guest := self.mapped(path)) is not None:
            return guest
        host = self._existing(path, name)
        return self._sent(host, name, without=self._ignored(host, main=name == "context"))

    def as_stdin(self, path: str, name: str) -> str:
        """A file that the command reads from its standard input as well: the machine's disk need not hold it."""
        directory = self.wish.files.kind(self._absolute(path)) == "directory"
        if path == "-" or directory or self.mapped(path) is not None:
            return self.read(path, name)
        self.stdin = self._existing(path, name)
        return "-"

    def as_stdout(self, path: str, name: str) -> str | None:
        """A file that the command writes to its standard output as well."""
        if (guest := self.mapped(path)) is not None:
            return guest
        self._has_parent(path, name)
        self.stdout = self._absolute(path)
        return None

    def result(self, path: str, name: str) -> str:
        """A small file that the command writes anew, as --cidfile does."""
        if (guest := self.mapped(path)) is not None:
            return guest
        self._has_parent(path, name)
        return self._fetched(self._absolute(path), name)

    def endpoint(self, text: str, name: str) -> str:
        """A side of cp: a path of this host, unless it is CONTAINER:PATH or -."""
        if text == "-" or not _is_host_path(text, self.platform):
            return text
        source = name == "source"
        path, suffix = _split_suffix(text, self.platform)
        absolute = self._absolute(path)
        follow = bool(self.params.get("follow_link")) or bool(suffix) or not source
        guest = self.wish.mapping.to_guest(self._real(absolute, follow=follow))
        linked = source and follow and not suffix and self._real(absolute, follow=False) != self._real(absolute)
        if guest is not None and not linked:
            return guest + suffix
        if source:
            return self._sent(self._existing(path, name), name, follow=follow) + suffix
        self._has_parent(path, name)
        return self._fetched(absolute, name) + suffix

    def dockerfile(self, path: str, name: str) -> str:
        """-f of build: a file here, or one in a context that is elsewhere."""
        if path == "-" or build.is_elsewhere(str(self.invocation.params.get("context"))):
            return path
        guest = self.read(path, name)
        beside = self._absolute(path) + _IGNORE
        if self.send and self.send[-1].guest == guest and self.wish.files.kind(beside) == "file":
            self.send.append(Sent(beside, guest + _IGNORE, _what(name), follow=True))
        return guest

    def agent(self, text: str) -> str:
        """--ssh of build: default, or ID=SOCKET."""
        name, _, path = text.partition("=")
        own = self.wish.environ.get("SSH_AUTH_SOCK", "")
        return f"{name or 'default'}={self.mounts.agent(path or own, f'--ssh {text}')}"

    def security(self, text: str) -> str:
        """--security-opt, of which seccomp may name a file."""
        option, sign, value = text.partition("=")
        if option != "seccomp" or value in ("", "unconfined", "builtin"):
            return text
        return option + sign + self.read(value, "security-opt")

    def _ignored(self, directory: str, *, main: bool) -> tuple[str, ...]:
        """The patterns of .dockerignore, or of the file beside the Dockerfile of the main context."""
        files = [hostpath.join(directory, _IGNORE, self.platform)]
        given = str(self.invocation.params.get("file") or "")
        if main and given != "-":
            default = hostpath.join(directory, "Dockerfile", self.platform)
            files.insert(0, (self._absolute(given) if given else default) + _IGNORE)
        found = next((file for file in files if self.wish.files.kind(file) == "file"), "")
        return tuple(ignore.read(self.wish.files.read(found))) if found else ()

    def _environment_files(self, kinds: Kinds) -> None:
        """--env-file is read here: a bare NAME in it means this host's variable."""
        names = [name for name, kind in kinds.items() if kind == "env_files" and self.params.get(name)]
        for name in names:
            lines = [line for path in _many(self.params[name]) for line in self._environment_file(path)]
            own = parse_env(_many(self.params.get("env")), self.wish.environ)
            self.params |= {name: (), "env": merge_env(lines, own)}

    def _environment_file(self, path: str) -> tuple[str, ...]:
        data = self.wish.files.read(self._existing(path, "env-file"))
        try:
            return parse_env_file(data.decode(), path, self.wish.environ)
        except UnicodeDecodeError:
            raise UsageError(f"--env-file {path} is not UTF-8 text") from None

    def _sent(self, host: str, name: str, *, follow: bool = True, without: tuple[str, ...] = ()) -> str:
        guest = self._place(host)
        self.send.append(Sent(host, guest, _what(name), follow, without))
        return guest

    def _fetched(self, host: str, name: str) -> str:
        guest = self._place(host)
        kind = self.wish.files.kind(host)
        if name == "cidfile" and kind != "absent":
            raise ConflictError(f"the file of --cidfile is there already: {host}", hint="delete it first")
        self.fetch.append(Fetched(guest, host, _what(name), kind))
        return guest

    def _place(self, host: str) -> str:
        """A path of the machine with the same last name, which has a meaning for cp."""
        number = len(self.send) + len(self.fetch)
        last = hostpath.split(host, self.platform)[1] or "root"
        return f"{self.wish.scratch}/{number}/{last}"

    def _existing(self, path: str, name: str) -> str:
        absolute = self._absolute(path)
        if self.wish.files.kind(absolute) == "absent":
            raise NotFoundError(f"{_what(name)}: there is no {absolute}")
        return absolute

    def _has_parent(self, path: str, name: str) -> None:
        parent = hostpath.split(self._absolute(path), self.platform)[0]
        if self.wish.files.kind(parent) != "directory":
            raise NotFoundError(f"{_what(name)}: the directory {parent} does not exist")

    def _real(self, absolute: str, *, follow: bool = True) -> str:
        if follow:
            return self.wish.files.real(absolute)
        directory, name = hostpath.split(absolute, self.platform)
        return hostpath.join(self.wish.files.real(directory), name, self.platform)

    def _absolute(self, path: str) -> str:
        return hostpath.absolute(path, self.wish.cwd, self.platform)


def _many(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _what(name: str) -> str:
    return name if name in ("source", "destination") else "--" + name.replace("_", "-")


def _is_host_path(text: str, platform: str) -> bool:
    """As docker tells them apart: a host's path with a colon in it is absolute, or starts with a dot."""
    drive = platform == "win32" and text[1:2] == ":"
    if hostpath.is_absolute(text, platform) and (not drive or text[2:3] in ("/", "\\")):
        return True
    return ":" not in text or text.startswith(".")


def _split_suffix(text: str, platform: str) -> tuple[str, str]:
    """A path and the "/" or "/." at its end, by which cp means the content of a directory."""
    plain = text.replace("\\", "/") if platform == "win32" else text
    for suffix in ("/.", "/"):
        if plain.endswith(suffix) and len(plain) > len(suffix):
            return text[: -len(suffix)], suffix
    return (text, "/.") if plain == "." else (text, "")
