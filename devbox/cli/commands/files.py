"""cp, diff, commit, export."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from devbox.cli.context import Context
from devbox.errors import UsageError
from devbox.model.invocation import Invocation

if TYPE_CHECKING:
    from devbox.container.files.copying import Tree

_STDIO = "-"


class Place(NamedTuple):
    """One side of cp: a path in a container, or on this host when `container` is empty."""

    container: str
    path: str


def place(text: str) -> Place:
    """Read CONTAINER:PATH, PATH or "-"; a path with a colon starts with "/" or "."."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return Place("", text)
    return Place(container, path)


def cp(context: Context, invocation: Invocation) -> int:
    """Copy between a container and this host, "-" standing for a tar stream."""
    source, destination = place(invocation.text("source")), place(invocation.text("destination"))
    for side, which in ((source, "source"), (destination, "destination")):
        if not side.path:
            raise UsageError(f"the {which} of a copy cannot be empty", hint="write CONTAINER:PATH or a path")
    if source.container and destination.container:
        raise UsageError(
            "copying between containers is not supported",
            hint="copy to this host first, or pipe: devbox cp A:PATH - | devbox cp - B:PATH",
        )
    if not source.container and not destination.container:
        raise UsageError("one side of a copy must be in a container", hint="write it as CONTAINER:PATH")
    archive, follow = invocation.flag("archive"), invocation.flag("follow_link")
    if source.container:
        copied = _out(context, source, destination.path, archive=archive, follow=follow)
    else:
        copied = _in(context, source.path, destination, archive=archive, follow=follow)
    if not invocation.flag("quiet") and destination.path != _STDIO and sys.stdout.isatty():
        from devbox.cli.units import human_size

        context.err(f"Successfully copied {human_size(copied)} to {invocation.text('destination')}")
    return 0


def _out(context: Context, source: Place, destination: str, *, archive: bool, follow: bool) -> int:
    from devbox.container.files import copying

    if destination == _STDIO and sys.stdout.isatty():
        raise UsageError("an archive is not written to a terminal", hint="redirect it to a file")
    path = _absolute(context, destination)  # before `_inside`, which has a working directory of its own
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(_host())
        there = stack.enter_context(_inside(context, source.container))
        origin = stack.enter_context(copying.origin(there, source.path, follow=follow))
        if destination == _STDIO:
            return copying.write_archive(origin, context.raw)
        target = stack.enter_context(copying.target(host, path))
        owner = None if archive else (os.getuid(), os.getgid())
        return copying.copy(origin, target, owner=owner, devices=False)


def _in(context: Context, source: str, destination: Place, *, archive: bool, follow: bool) -> int:
    from devbox.container.files import copying

    with contextlib.ExitStack() as stack:
        if source == _STDIO:
            # the stream is opened first: whoever unpacks it must be alone in the container's mount namespace
            archive_in = stack.enter_context(copying.plain(0))
            there = stack.enter_context(_inside(context, destination.container))
            return copying.read_archive(archive_in, stack.enter_context(copying.target(there, destination.path)))
        host = stack.enter_context(_host())
        origin = stack.enter_context(copying.origin(host, _absolute(context, source), follow=follow))
        there = stack.enter_context(_inside(context, destination.container))
        target = stack.enter_context(copying.target(there, destination.path))
        return copying.copy(origin, target, owner=None if archive else (0, 0), devices=True)


@contextlib.contextmanager
def _host() -> Iterator[Tree]:
    from devbox.container.files.copying import Tree
    from devbox.system.walk import open_root, opened

    with opened(open_root("/")) as root:
        yield Tree(root, "on this host")


@contextlib.contextmanager
def _inside(context: Context, reference: str) -> Iterator[Tree]:
    from devbox.container import records
    from devbox.container.files.copying import Tree
    from devbox.container.files.filesystem import entered

    store = context.reconciled()
    with entered(store, records.resolve(store, reference), with_mounts=True) as root:
        yield Tree(root, f"in container {reference}")


def _absolute(context: Context, path: str) -> str:
    """With the slash or dot at its end, which has a meaning."""
    return os.path.join(context.cwd, path)


def diff(context: Context, invocation: Invocation) -> int:
    """Print what a container added, changed and deleted."""
    from devbox.cli.output import for_terminal
    from devbox.container import records
    from devbox.container.files import diff as differences

    store = context.reconciled()
    for change in differences.changes(store, records.get(store, invocation.text("container"))):
        context.out(f"{change.kind} /{for_terminal(os.fsdecode(change.path))}")
    return 0


def commit(context: Context, invocation: Invocation) -> int:
    """Make an image of a container and print its id."""
    from devbox.container import records
    from devbox.container.files import commit as committing

    store = context.reconciled()
    wish = committing.Wish(
        name=invocation.text("repository"),
        author=invocation.text("author"),
        message=invocation.text("message"),
        changes=invocation.many("change"),
        pause=invocation.flag("pause"),
    )
    context.out(committing.commit(store, records.resolve(store, invocation.text("container")), wish).id)
    return 0


def export(context: Context, invocation: Invocation) -> int:
    """Write a container's file system as a tar archive."""
    from devbox.container import records
    from devbox.container.files import export as exporting
    from devbox.image.save import output as archive_at

    output = invocation.text("output")
    if not output and sys.stdout.isatty():
        raise UsageError("an archive is not written to a terminal", hint="use -o FILE, or redirect it")
    store = context.reconciled()
    container_id = records.resolve(store, invocation.text("container"))
    if not output:
        exporting.export(store, container_id, context.raw)
        return 0
    with archive_at(_absolute(context, output)) as write:
        exporting.export(store, container_id, write)
    return 0
