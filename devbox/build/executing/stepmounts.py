"""`RUN --mount`: what a step sees besides its own files, and what never becomes part of a layer."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from devbox.build.caching.waiting import acquire
from devbox.build.executing.overlay import pin
from devbox.build.files import copy
from devbox.build.files.selecting import select
from devbox.build.planning.steps import Given, MountWish, Source
from devbox.container.spec.configjson import MountEntry
from devbox.errors import NotFoundError, UsageError
from devbox.store.database import Store
from devbox.system.files import remove_tree, write_all
from devbox.system.locks import open_lock
from devbox.system.syscalls import mount
from devbox.system.walk import make_directories, open_in_root, open_root, opened

_SECRET_MODE = 0o400
_AGENT = "/run/buildkit/ssh_agent"

Show = Callable[[Source, str, str], str]
"""makes a source visible as far as a path in it: its directory, given an empty one that may be used for it"""


class Places(NamedTuple):
    """Directories that go with the step."""

    disk: str
    memory: str
    """a tmpfs that only the step's mount namespace has: what is secret is nowhere else"""


class Made(NamedTuple):
    """Mounts that are ready, and the variables that come with them."""

    entries: tuple[MountEntry, ...]
    env: tuple[str, ...]


class MountMaker:
    """Makes the mounts of one step, in the private mount namespace it runs in."""

    def __init__(
        self,
        store: Store,
        places: Places,
        given: Given,
        show: Show,
        *,
        held: contextlib.ExitStack,
        check: Callable[[], None],
    ) -> None:
        """Locks are held as long as `held`; `check` raises when the build is stopped."""
        self._store = store
        self._places = places
        self._given = given
        self._show = show
        self._held = held
        self._check = check
        self._entries: list[MountEntry] = []
        self._env: list[str] = []

    def make(self, wishes: Sequence[MountWish]) -> Made:
        """All of them; NotFoundError for a secret or source that is not there."""
        for number, wish in enumerate(wishes):
            place = f"{self._places.disk}/mount{number}"
            os.makedirs(place, 0o700)
            match wish.kind:
                case "bind":
                    self._bind(wish, place)
                case "cache":
                    self._cache(wish, place)
                case "tmpfs":
                    self._tmpfs(wish)
                case "secret":
                    self._secret(wish)
                case "ssh":
                    self._ssh(wish)
        return Made(tuple(self._entries), tuple(self._env))

    def file(self, target: str, text: bytes, *, mode: int = 0o644, writable: bool = False) -> None:
        """A file of our own; what a step writes to it has no effect on anything."""
        self._place_file(target, text, mode, (0, 0), access="rw" if writable else "ro")

    def _place_file(self, target: str, data: bytes, mode: int, owner: tuple[int, int], access: str = "ro") -> None:
        path = f"{self._places.memory}/file{len(self._entries)}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with opened(fd):
            write_all(fd, data)
            os.fchown(fd, *owner)
            os.fchmod(fd, mode)
        self._entries.append(MountEntry(path, target, "bind", ("bind", access, "rprivate")))

    def _bind(self, wish: MountWish, place: str) -> None:
        os.mkdir(place + "/source", 0o755)
        with opened(open_root(self._show(wish.origin, wish.path, place + "/source"))) as root:
            source = _pinned(root, wish, place + "/pinned")
        if not wish.read_only:
            source = self._over(source, place)
        access = "ro" if wish.read_only else "rw"
        self._entries.append(MountEntry(source, wish.target, "bind", ("rbind", access, "rprivate")))

    def _over(self, source: str, place: str) -> str:
        """A writable view of a directory, whose changes are thrown away."""
        if not os.path.isdir(source):
            import shutil

            return str(shutil.copy(source, place + "/copy"))
        for name in ("upper", "work", "view"):
            os.mkdir(f"{place}/{name}", 0o755)
        os.chdir(place)
        mount("overlay", "view", "overlay", 0, "lowerdir=pinned,upperdir=upper,workdir=work,volatile")
        return place + "/view"

    def _cache(self, wish: MountWish, place: str) -> None:
        directory = self._cache_directory(wish, place)
        source = directory
        if wish.path != "/" and wish.origin.kind == "empty":
            with opened(open_root(directory)) as root, opened(make_directories(root, wish.path)) as inner:
                source = pin(inner, place + "/pinned")
        access = "ro" if wish.read_only else "rw"
        self._entries.append(MountEntry(source, wish.target, "bind", ("rbind", access, "rprivate")))

    def _cache_directory(self, wish: MountWish, place: str) -> str:
        """The cache's directory, locked as its sharing wants it; a private one that is in use has a successor."""
        number = 0
        while True:
            key = wish.id if not number else f"{wish.id}#{number}"
            identity = _cache_id(self._store, key)
            fd = open_lock(f"{self._store.root.locks}/cache-{identity}")
            self._held.callback(os.close, fd)
            if wish.sharing == "private":
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    number += 1
                    continue
            else:
                acquire(fd, fcntl.LOCK_EX if wish.sharing == "locked" else fcntl.LOCK_SH, self._check)
            path = f"{self._store.root.caches}/{identity}/data"
            if os.path.isdir(path):
                return path
            if _is_known(self._store, identity):
                self._begin_cache(wish, os.path.dirname(path), place)
                return path

    def _begin_cache(self, wish: MountWish, path: str, place: str) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)
        fresh = f"{path}/new.{os.urandom(4).hex()}"
        os.mkdir(fresh)
        os.chown(fresh, wish.uid, wish.gid)
        os.chmod(fresh, 0o755 if wish.mode is None else wish.mode)
        if wish.origin.kind != "empty":
            os.mkdir(place + "/source", 0o755)
            with opened(open_root(self._show(wish.origin, wish.path, place + "/source"))) as root:
                self._fill(root, wish.path, fresh)
        try:
            os.rename(fresh, path + "/data")
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            remove_tree(fresh)  # somebody else was first

    def _fill(self, tree: int, path: str, target: str) -> None:
        selection = select(tree, (path,), keep_owner=True, check=self._check)
        with opened(open_root(target)) as root:
            copy.write(selection, root, "/", copy.How(keep_times=True, foreign=True), self._check)

    def _tmpfs(self, wish: MountWish) -> None:
        options = ["nosuid", "nodev", "noexec", "mode=1777"]
        if wish.size:
            options.append(f"size={wish.size}")
        self._entries.append(MountEntry("tmpfs", wish.target, "tmpfs", tuple(options)))

    def _secret(self, wish: MountWish) -> None:
        secret = self._given.secrets.get(wish.id)
        if secret is None:
            if wish.required:
                raise NotFoundError(
                    f"the step needs the secret {wish.id!r}, which was not given",
                    hint=f"devbox build --secret id={wish.id},src=FILE",
                )
            return
        if wish.env:
            self._env.append(f"{wish.env}={secret.decode(errors='surrogateescape')}")
        if wish.target:
            mode = _SECRET_MODE if wish.mode is None else wish.mode
            self._place_file(wish.target, secret, mode, (wish.uid, wish.gid))

    def _ssh(self, wish: MountWish) -> None:
        socket = self._given.sockets.get(wish.id)
        if socket is None:
            if wish.required:
                raise NotFoundError(
                    f"the step needs the SSH agent {wish.id!r}, which was not given",
                    hint="devbox build --ssh default, with SSH_AUTH_SOCK set",
                )
            return
        if wish.uid or wish.gid or wish.mode not in (None, 0o600):
            raise UsageError(
                "an SSH agent is given to root only", hint="leave uid, gid and mode of the mount away"
            )
        target = wish.target or f"{_AGENT}.{sum(entry.target.startswith(_AGENT) for entry in self._entries)}"
        self._entries.append(MountEntry(socket, target, "bind", ("bind", "ro", "rprivate")))
        self._env.append(f"SSH_AUTH_SOCK={target}")


def _pinned(root: int, wish: MountWish, place: str) -> str:
    try:
        found = open_in_root(root, wish.path, os.O_PATH)
    except OSError as error:
        raise NotFoundError(
            f"cannot mount {wish.path}: {os.strerror(error.errno or 0).lower()}",
            hint="is it excluded by .dockerignore?" if wish.origin.kind == "context" else "",
        ) from error
    with opened(found):
        return pin(found, place)


def _cache_id(store: Store, key: str) -> int:
    now = time.time()
    with store.transaction(durable=False) as db:
        row = db.execute("SELECT id FROM build_mounts WHERE key = ?", (key,)).fetchone()
        if row is not None:
            db.execute("UPDATE build_mounts SET used = ? WHERE id = ?", (now, row["id"]))
            return int(row["id"])
        cursor = db.execute("INSERT INTO build_mounts (key, created, used) VALUES (?, ?, ?)", (key, now, now))
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def _is_known(store: Store, identity: int) -> bool:
    return store.db.execute("SELECT 1 FROM build_mounts WHERE id = ?", (identity,)).fetchone() is not None
