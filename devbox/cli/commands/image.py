"""bootstrap, import, load, save, tag, rmi and image prune."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from devbox.cli.context import Context
from devbox.cli.filters import Prunable, boolean, parse_filters, prunable
from devbox.cli.output import report_deleted
from devbox.cli.units import human_size
from devbox.errors import UsageError
from devbox.image import catalog
from devbox.model.invocation import Invocation
from devbox.model.reference import familiar

if TYPE_CHECKING:
    from devbox.image.pruning import Pruned

_ALL = "WARNING! This will remove all images without at least one container associated to them."
_DANGLING = "WARNING! This will remove all dangling images."


def bootstrap(context: Context, invocation: Invocation) -> int:
    """Make a base image of the distribution's packages and print its id."""
    from devbox.image.bases.bootstrap import bootstrap as make

    image = make(
        context.reconciled(),
        invocation.text("system"),
        tag=invocation.text("tag"),
        include=invocation.many("include"),
        variant=invocation.text("variant"),
        fresh=invocation.flag("no_cache"),
        environ=context.environ,
        progress=_progress(context, invocation),
    )
    context.out(image.id)
    return 0


def import_(context: Context, invocation: Invocation) -> int:
    """Make an image of a root file system and print its id."""
    from devbox.image.importing import Wish, import_

    wish = Wish(
        invocation.text("repository"),
        invocation.many("change"),
        invocation.text("message"),
        invocation.text("platform"),
    )
    context.out(import_(context.reconciled(), _input(context, invocation.text("source")), wish).id)
    return 0


def load(context: Context, invocation: Invocation) -> int:
    """Take the images of an archive in."""
    from devbox.image.load import load as take

    path = _input(context, invocation.text("input"))
    if not path and os.isatty(0):
        raise UsageError("an archive is wanted on stdin", hint="use 'devbox load -i FILE' or 'devbox load < FILE'")
    for loaded in take(context.reconciled(), path, progress=_progress(context, invocation)):
        for name in loaded.names:
            context.out(f"Loaded image: {familiar(name)}")
        if not loaded.names:
            context.out(f"Loaded image ID: {loaded.id}")
    return 0


def save(context: Context, invocation: Invocation) -> int:
    """Write images as an archive."""
    from devbox.image import save as saving

    wanted = invocation.optional("output")
    if wanted is None and os.isatty(1):
        raise UsageError("an archive is not for a terminal", hint="use -o FILE, or redirect the output")
    form = invocation.text("format") or "docker-archive"
    if form not in ("docker-archive", "oci"):
        raise UsageError(f"unknown archive format {form!r}", hint="use docker-archive or oci")
    store = context.reconciled()
    chosen = saving.choose(store, invocation.many("images"))
    path = os.path.join(context.cwd, wanted) if wanted is not None else ""
    with saving.output(path, invocation.text("compress") or "none") as write:
        saving.save(store, chosen, write, form="oci" if form == "oci" else "docker-archive")
    return 0


def tag(context: Context, invocation: Invocation) -> int:
    """Give an image a further name."""
    store = context.reconciled()
    catalog.tag(store, catalog.find_id(store, invocation.text("source")), invocation.text("target"), "tag")
    return 0


def rm(context: Context, invocation: Invocation) -> int:
    """Take names away, and with its last name the image."""
    store = context.reconciled()
    return context.each(
        invocation.many("images"),
        lambda name: "\n".join(catalog.remove(store, name, force=invocation.flag("force"))),
        may_be_gone=invocation.flag("force"),
    )


def prune(context: Context, invocation: Invocation) -> int:
    """Remove images that nothing uses: unnamed ones, or with --all every one."""
    filters = parse_filters(invocation.many("filter"), ("dangling", "label", "label!", "until"))
    wanted = prunable(filters)
    every = invocation.flag("all") or boolean(filters, "dangling") is False
    if not invocation.flag("force") and not context.confirm(_ALL if every else _DANGLING):
        return 0
    pruned = prune_images(context, invocation, wanted, named=every)
    context.out(f"Total reclaimed space: {human_size(pruned.size, digits=4)}")
    return 0


def prune_images(context: Context, invocation: Invocation, wanted: Prunable, *, named: bool) -> Pruned:
    """Remove images as a prune command wants it, and say which went and which stay for a rollback."""
    from devbox.image import pruning

    keep = versions_to_keep(invocation)
    pruned = pruning.prune(
        context.reconciled(), lambda image: wanted(image.created, image.config.labels), named=named, keep=keep
    )
    report_deleted(context, "Images", pruned.lines)
    if pruned.kept:
        images = "1 image stays" if pruned.kept == 1 else f"{pruned.kept} images stay"
        context.err(f"{images} for 'devbox image rollback'; --keep-versions 1 removes old versions, too")
    return pruned


def versions_to_keep(invocation: Invocation) -> int:
    """The number of --keep-versions."""
    keep = invocation.number("keep_versions") or 0
    if keep < 1:
        raise UsageError("--keep-versions is at least 1: what a name means now always stays")
    return keep


def _input(context: Context, path: str) -> str:
    """The absolute path of a file or directory, "" for stdin."""
    return "" if path in ("", "-") else os.path.join(context.cwd, path)


def _progress(context: Context, invocation: Invocation) -> Callable[[str], None]:
    """Where progress goes: stderr, so that the id stays alone on stdout."""
    quiet = "quiet" in invocation.params and invocation.flag("quiet")
    return (lambda _: None) if quiet else context.err
