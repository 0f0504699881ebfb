"""What must hold of a mounted root file system before a runtime, which trusts it, may see it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from devbox.container.spec import users
from devbox.container.spec.configjson import MountEntry, command, environment
from devbox.container.spec.view import View
from devbox.errors import CommandNotFoundError, NotExecutableError, NotFoundError, RefusedError
from devbox.model.container import Container, ContainerConfig
from devbox.system.walk import open_beneath, open_root, opened

_SYSTEM_DIRECTORIES = ("dev", "proc", "sys", "etc")
_RUNTIME_MOUNTS = ("/dev", "/proc", "/sys")


class Prepared(NamedTuple):
    """A root file system that is ready, and what was read in it."""

    user: users.User
    mounts: tuple[MountEntry, ...]
    """as they were asked for, with targets that exist and lead through no link"""
    working_dir: str
    """exists and leads through no link"""


def prepare(rootfs: str, container: Container, mounts: Sequence[MountEntry] = ()) -> Prepared:
    """Make the places that are mounted on and the working directory; find the user and the command.

    Raises RefusedError for an image that would lead a mount or a process astray, CommandNotFoundError and
    NotExecutableError as the command deserves, NotFoundError for an unknown user.
    """
    config = container.config
    with View(open_root(rootfs)) as view, _usual_umask():
        for name in _SYSTEM_DIRECTORIES:
            _check_system_directory(view.root, name)
        user = users.lookup(view.root, config.user, config.group_add)
        for target in _RUNTIME_MOUNTS:
            view.cover(target, None)
        placed = tuple(_place(view, mount) for mount in mounts)
        working_dir = _working_directory(view, config.working_dir or "/")
        env = environment(config, "", home=user.home)
        check_command(view, command(config)[0], env, working_dir, user)
    return Prepared(user, placed, working_dir)


def enter(root: str, config: ContainerConfig, program: str, env: Iterable[str]) -> Prepared:
    """Find the user, working directory and program of a process that joins a running container; nothing is made.

    `root` is /proc/PID/root; user and working directory are those in `config`. Raises as `prepare` does, and
    NotFoundError for a working directory that does not exist.
    """
    with View(open_root(root)) as view:
        user = users.lookup(view.root, config.user, config.group_add)
        view.cover("/proc", None)
        working_dir = _allowed(view, config.working_dir or "/")
        if view.is_known(working_dir):
            _check_directory(view, working_dir)
        check_command(view, program, env, working_dir, user)
    return Prepared(user, (), working_dir)


def _check_directory(view: View, path: str) -> None:
    fd = view.open_path(path)
    if fd is None:
        raise NotFoundError(f"the working directory {path} does not exist in the container")
    with opened(fd):
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise NotFoundError(f"the working directory {path} is no directory in the container")


@contextlib.contextmanager
def _usual_umask() -> Iterator[None]:
    """What is made in a container is for its users, however private the caller's own files are."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _check_system_directory(root: int, name: str) -> None:
    try:
        with opened(open_beneath(root, name, os.O_PATH | os.O_NOFOLLOW)) as fd:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                raise RefusedError(f"/{name} of the image is not a directory")
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=root)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise  # this machine's fault, not the image's
        raise RefusedError(f"/{name} of the image is not a directory") from error


def _place(view: View, mount: MountEntry) -> MountEntry:
    """Make the target of a mount and note what will be there."""
    target = view.real(mount.target)
    if target in ("/", "/proc", "/sys") or target.startswith("/proc/"):
        raise RefusedError(
            f"nothing can be mounted on {target} of a container",
            hint=f"the image has a symbolic link at {mount.target}" if target != mount.target else "",
        )
    if mount.kind == "tmpfs":
        # runc gives a tmpfs the mode of a directory that it finds, and the one asked for when it makes it
        view.make_directory(os.path.dirname(target))
    elif os.path.isdir(mount.source):
        view.make_directory(target)
    else:
        view.make_file(target)
    bound = mount.source if mount.kind == "bind" else None
    view.cover(target, bound, read_only=bool({"ro", "rro"} & set(mount.options)), empty=mount.kind == "tmpfs")
    return mount._replace(target=target)


def _working_directory(view: View, path: str) -> str:
    real = _allowed(view, path)
    view.make_directory(real)
    return real


def _allowed(view: View, path: str) -> str:
    """The real path of a working directory, RefusedError for one that may lead out of the container."""
    real = view.real(path)
    if not view.is_known(real) and not (real in _RUNTIME_MOUNTS or real.startswith(("/sys/", "/dev/shm/"))):
        # /proc/self/fd/N and /dev/fd/N lead to whatever the runtime has open, outside of the container too
        where = "" if path == real else f" is {real}, which"
        raise RefusedError(f"the working directory {path}{where} is a place where no process may start")
    return real


def check_command(view: View, program: str, env: Iterable[str], working_dir: str, user: users.User) -> None:
    """Raise CommandNotFoundError or NotExecutableError, in docker's words, unless `program` can be executed."""
    if "/" in program:
        path = program if program.startswith("/") else f"{working_dir}/{program}"
        problem = _problem(view, path, user)
        if problem == "no such file or directory":
            raise CommandNotFoundError(f'exec: "{program}": stat {program}: {problem}')
        if problem:
            raise NotExecutableError(f'exec: "{program}": {problem}')
        return
    search = next((line[5:] for line in env if line.startswith("PATH=")), "")
    for directory in search.split(":"):
        place = directory if directory.startswith("/") else f"{working_dir}/{directory}"
        if not _problem(view, f"{place}/{program}", user):
            return
    raise CommandNotFoundError(f'exec: "{program}": executable file not found in $PATH')


def _problem(view: View, path: str, user: users.User) -> str:
    """Why the user cannot execute a path, "" when it can be or the runtime must find out."""
    real = view.real(path)
    if not view.is_known(real):
        return ""
    fd = view.open_path(real)
    if fd is None:
        return "no such file or directory"
    with opened(fd):
        status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        return "is a directory"
    if not stat.S_ISREG(status.st_mode) or not _may_execute(status, user):
        return "permission denied"
    return ""


def _may_execute(status: os.stat_result, user: users.User) -> bool:
    if user.uid == 0:
        return bool(status.st_mode & 0o111)
    if status.st_uid == user.uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid in user.groups:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)
