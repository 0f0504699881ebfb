"""What ADD can that COPY cannot: URLs and repositories as sources, and archives that are unpacked."""

import sys

assert sys.platform == "linux"

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

from devbox.build.files import copy
from devbox.build.files.copy import How
from devbox.build.files.selecting import Selection, open_item
from devbox.build.files.selection import Origin, no_check
from devbox.errors import UsageError
from devbox.store.root import Root
from devbox.store.scratch import scratch
from devbox.system.walk import open_beneath, opened

_FETCHED_MODE = 0o600


def kind_of(source: str) -> Literal["local", "url", "git"]:
    """Where a source of ADD comes from. Raises UsageError for a malformed repository URL."""
    if ("://" not in source and "@" not in source) or source.startswith("github.com/"):
        return "local"  # docker takes github.com/... for a repository as context only
    from devbox.build.files import giturl

    if giturl.parse(source) is not None:
        return "git"
    return "url" if source.startswith(("http://", "https://")) else "local"


def check_sources(sources: tuple[str, ...], checksum: str, *, add: bool) -> None:
    """Raise UsageError for sources that COPY does not have, and for a checksum that has nothing to check."""
    kinds = [kind_of(source) for source in sources]
    if not add and set(kinds) != {"local"} and sources:
        remote = next(source for source, kind in zip(sources, kinds, strict=True) if kind != "local")
        raise UsageError(f"source can't be a URL for COPY: {remote}", hint="ADD fetches it")
    if not checksum:
        return
    if len(sources) != 1:
        raise UsageError("checksum can't be specified for multiple sources", hint="write an ADD for each")
    if kinds[0] == "local":
        raise UsageError("checksum requires HTTP(S) or git sources")
    if kinds[0] == "url":
        from devbox.build.files import fetch

        fetch.check_digest(checksum)


class Obtained(NamedTuple):
    """A remote source, now in a directory of its own: select `sources` from it."""

    fd: int
    sources: tuple[str, ...]


@contextlib.contextmanager
def obtained(
    root: Root,
    source: str,
    environ: Mapping[str, str],
    *,
    checksum: str = "",
    keep_git_dir: bool = False,
    check: Callable[[], None] = no_check,
) -> Iterator[Obtained]:
    """Fetch a URL or check a repository out into a scratch directory.

    Raises RefusedError when it is not what `checksum` says: a digest, or the beginning of a commit's id.
    """
    from devbox.build.files import fetch, git, giturl

    with scratch(root, "add") as place:
        url = giturl.parse(source)
        if url is not None:
            url = url._replace(commit=checksum or url.commit)
            git.checkout(url, place, environ, keep_git_dir=keep_git_dir, check=check)
            with opened(git.open_checkout(place, url)) as fd:
                yield Obtained(fd, (".",))
            return
        name = fetch.file_name(source)
        file = os.open(f"{place}/{name}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FETCHED_MODE)
        with opened(file):
            found = fetch.fetch(source, file, checksum=checksum, check=check)
            if found.modified is not None:
                os.utime(file, (found.modified, found.modified))
        with opened(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
            yield Obtained(fd, (_escaped(name),))


def _escaped(name: str) -> str:
    return "".join("\\" + char if char in "*?[\\" else char for char in name)


def write(
    selection: Selection,
    target: int,
    destination: str,
    how: How,
    *,
    unpack: bool,
    archive_owner: tuple[int, int] | None = None,
    check: Callable[[], None] = no_check,
) -> None:
    """Copy a selection; archives among its files are unpacked if asked for, for `archive_owner` or as they say."""
    from devbox.build.files import archive

    many = len(selection.origins) > 1
    for origin in selection.origins:
        with _archive(selection.tree, origin, wanted=unpack) as file:
            if file is None:
                copy.write(selection._replace(origins=(origin,)), target, destination, how, check, many=many)
                continue
            check()
            with opened(copy.make_directory(target, destination, how)) as fd:
                archive.unpack(file, fd, owner=archive_owner)


@contextlib.contextmanager
def _archive(tree: int, origin: Origin, *, wanted: bool) -> Iterator[int | None]:
    """The open file if it is an archive that is to be unpacked."""
    from devbox.build.files import archive

    if not wanted or origin.directory:
        yield None
        return
    folder = origin.folders[0]
    item = folder.items[0]
    if not stat.S_ISREG(item.mode):
        yield None
        return
    with (
        opened(open_beneath(tree, folder.place, os.O_RDONLY | os.O_DIRECTORY)) as directory,
        opened(open_item(directory, item, item.name)) as fd,
    ):
        yield fd if archive.is_archive(fd) else None
