"""Where a build takes its files and its Dockerfile from: a directory, an archive, a repository, a URL, stdin."""

import sys

assert sys.platform == "linux"

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from devbox.errors import DevboxError, NotFoundError, RefusedError, UsageError
from devbox.model.ignore import Matcher, patterns
from devbox.store.root import Root
from devbox.store.scratch import scratch
from devbox.system.files import write_all
from devbox.system.walk import FAULTS, open_in_root, open_root, opened

_TEXT_MAX = 16 << 20
_STREAM_MAX = 64 << 30
_CHUNK = 1 << 20
_NAME = "Dockerfile"


class Wish(NamedTuple):
    """What the command line says."""

    source: str
    """a path, a URL, or "-" for stdin"""
    file: str = ""
    """of -f; "-" for stdin"""
    cwd: str = "/"
    environ: Mapping[str, str] = {}
    stdin: int = 0


class Context(NamedTuple):
    """A context that is open; its files may be a stranger's."""

    fd: int
    """of its top directory"""
    matcher: Matcher | None
    """what of it is left out: .dockerignore"""
    dockerfile: bytes
    shown: str
    """the Dockerfile's name in messages"""


@contextlib.contextmanager
def opened_context(root: Root, wish: Wish) -> Iterator[Context]:
    """Open the context and read the Dockerfile.

    Raises NotFoundError for what is not there, RefusedError for hostile archives and files that are none.
    """
    if wish.source == "-" and wish.file == "-":
        raise UsageError("stdin can't be both the context and the Dockerfile", hint="give one of them as a file")
    with contextlib.ExitStack() as stack:
        kind = _kind(wish)
        if kind == "directory":
            yield _local(wish, stack)
            return
        place = stack.enter_context(scratch(root, "context"))
        if kind == "git":
            yield _repository(wish, place, stack)
        else:
            yield _stream(wish, kind, place, stack)


@contextlib.contextmanager
def opened_directory(path: str) -> Iterator[int]:
    """A local directory, for --build-context. Raises NotFoundError."""
    try:
        fd = open_root(path)
    except OSError as error:
        raise _no_directory(path, error) from error
    with opened(fd):
        yield fd


def _kind(wish: Wish) -> str:
    source = wish.source
    if source == "-":
        return "stdin"
    path = os.path.join(wish.cwd, source)
    if "://" not in source and ":" not in source and not source.startswith("github.com/"):
        return "file" if os.path.isfile(path) else "directory"
    from devbox.build.files import giturl

    if source.startswith("github.com/") and os.path.lexists(path):
        return "directory"
    if giturl.parse(source) is not None:
        return "git"
    if source.startswith(("http://", "https://")):
        return "url"
    return "file" if os.path.isfile(path) else "directory"


def _local(wish: Wish, stack: contextlib.ExitStack) -> Context:
    directory = os.path.normpath(os.path.join(wish.cwd, wish.source))
    fd = stack.enter_context(opened_directory(directory))
    if wish.file == "-":
        return Context(fd, ignored(fd, ""), _read(wish.stdin, _NAME, regular=False), _NAME)
    path = os.path.join(wish.cwd, wish.file) if wish.file else os.path.join(directory, _NAME)
    shown = wish.file or _NAME
    text = _file(path, shown, trusted=bool(wish.file))
    beside = _optional(path + ".dockerignore")
    return Context(fd, ignored(fd, "") if beside is None else _matcher(beside), text, shown)


def _file(path: str, shown: str, *, trusted: bool) -> bytes:
    """A Dockerfile; one that the caller has named may be a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if trusted else os.O_NONBLOCK))
    except OSError as error:
        raise _no_dockerfile(shown, error, f"{path} is looked for; name another with -f") from error
    with opened(fd):
        return _read(fd, shown, regular=not trusted)


def _optional(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with opened(fd):
        return _read(fd, os.path.basename(path))


def _no_directory(path: str, error: OSError) -> DevboxError:
    reason = os.strerror(error.errno or 0).lower()
    return NotFoundError(f"cannot use {path} as build context: {reason}", hint="give a directory, a URL or -")


def _no_dockerfile(shown: str, error: OSError, hint: str) -> DevboxError:
    return NotFoundError(f"cannot read {shown}: {os.strerror(error.errno or 0).lower()}", hint=hint)


def _repository(wish: Wish, place: str, stack: contextlib.ExitStack) -> Context:
    from devbox.build.files import git, giturl

    url = giturl.parse(wish.source)
    assert url is not None
    git.checkout(url, place, wish.environ)
    return _in_tree(stack.enter_context(opened(git.open_checkout(place, url))), wish)


def _stream(wish: Wish, kind: str, place: str, stack: contextlib.ExitStack) -> Context:
    """An archive, or a Dockerfile alone."""
    from devbox.build.files.archive import is_archive, unpack

    file = stack.enter_context(opened(_stored(wish, kind, place)))
    tree = f"{place}/tree"
    os.mkdir(tree, 0o755)
    fd = stack.enter_context(opened(open_root(tree)))
    if is_archive(file):
        unpack(file, fd, owner=(os.getuid(), os.getgid()), devices=False)
        return _in_tree(fd, wish)
    if kind == "file":
        raise UsageError(f"{wish.source} is neither a directory nor an archive", hint="-f names a Dockerfile")
    text = _read(file, _NAME)
    if wish.file and wish.file != _NAME:
        raise UsageError(
            f"the context is a Dockerfile alone, there is no {wish.file} in it",
            hint="leave -f away, or give an archive",
        )
    return Context(fd, None, text, _NAME)


def _stored(wish: Wish, kind: str, place: str) -> int:
    """The stream as a file that can be read twice."""
    if kind == "file":
        return os.open(os.path.join(wish.cwd, wish.source), os.O_RDONLY | os.O_CLOEXEC)
    fd = os.open(f"{place}/stream", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if kind == "url":
            from devbox.build.files import fetch

            fetch.fetch(wish.source, fd)
        else:
            _keep(wish.stdin, fd)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _keep(stdin: int, fd: int) -> None:
    size = 0
    while data := os.read(stdin, _CHUNK):
        size += len(data)
        if size > _STREAM_MAX:
            raise RefusedError(f"the context has more than {_STREAM_MAX} bytes")
        write_all(fd, data)


def _in_tree(fd: int, wish: Wish) -> Context:
    """A context whose Dockerfile is in it."""
    if wish.file == "-":
        return Context(fd, ignored(fd, ""), _read(wish.stdin, _NAME, regular=False), _NAME)
    name = wish.file or _NAME
    text = _inner(fd, name)
    if text is None:
        raise NotFoundError(f"there is no {name} in the context", hint="name another with -f")
    return Context(fd, ignored(fd, name), text, name)


def ignored(fd: int, dockerfile: str = "") -> Matcher | None:
    """The patterns of a context that leave files out: those beside its Dockerfile, or those at its top."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore") if dockerfile else (".dockerignore",):
        text = _inner(fd, name)
        if text is not None:
            return _matcher(text)
    return None


def _matcher(text: bytes) -> Matcher | None:
    return patterns(text) or None


def _inner(tree: int, name: str) -> bytes | None:
    """A file of a context, links followed within it; None when there is none."""
    try:
        fd = open_in_root(tree, name, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in FAULTS:
            raise
        reason = os.strerror(error.errno or 0).lower()
        raise RefusedError(f"cannot read {name} of the context: {reason}") from error
    with opened(fd):
        return _read(fd, name)


def _read(fd: int, shown: str, *, regular: bool = True) -> bytes:
    """All of a text, only of a `regular` file unless the caller says otherwise."""
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise RefusedError(f"cannot read {shown}: it is a directory", hint="-f names a Dockerfile")
    if regular and not stat.S_ISREG(status.st_mode):
        raise RefusedError(f"cannot read {shown}: it is not a regular file")
    parts = []
    size = 0
    while data := os.read(fd, _CHUNK):
        size += len(data)
        if size > _TEXT_MAX:
            raise RefusedError(f"{shown} is larger than {_TEXT_MAX >> 20} MiB")
        parts.append(data)
    return b"".join(parts)
