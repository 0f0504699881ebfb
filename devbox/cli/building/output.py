"""Writing what a build made where --output wants it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import functools
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from devbox.build import build as building
from devbox.build.language.syntax import Notice
from devbox.build.planning.platforms import Platform
from devbox.cli.building.annotations import Wanted
from devbox.cli.context import Context
from devbox.cli.options.build import Cache, Output
from devbox.errors import DevboxError, UsageError
from devbox.model.image import Image
from devbox.model.reference import parse_tagged
from devbox.store.database import Store


class Made(NamedTuple):
    """What came of a build for one platform."""

    platform: Platform
    layers: tuple[int, ...]
    image: building.Image | None
    """None where only files are wanted"""
    warnings: tuple[Notice, ...]
    used: tuple[str, ...]
    """keys of its steps"""


def write(store: Store, made: Sequence[Made], names: tuple[str, ...], output: Output, said: Wanted) -> None:
    """Write the files, or the image in an archive; "image" and "docker" without a place are the store's."""
    if output.kind == "image":
        return
    path = "" if output.dest == "-" else output.dest
    if not path and output.kind != "local" and os.isatty(1):
        raise UsageError("an archive is not for a terminal", hint="add dest=FILE, or redirect the output")
    images = [each.image for each in made if each.image is not None]
    if output.kind in ("local", "tar"):
        for each in made:
            below = f"{path}/{each.platform.name.replace('/', '_')}" if len(made) > 1 else path
            _files(store, each.layers, output, below)
    elif len(images) > 1:
        _index(store, images, output.names or names, path, said)
    elif images:
        _image(store, images[0], output.names or names, output, path)


def _files(store: Store, layers: Sequence[int], output: Output, path: str) -> None:
    from devbox.build.executing import output as writing
    from devbox.image import save as saving

    if output.kind == "local":
        writing.to_directory(store, layers, path)
        return
    with saving.output(path) as sink:
        writing.to_tar(store, layers, sink)


def _image(store: Store, image: building.Image, names: tuple[str, ...], output: Output, path: str) -> None:
    from devbox.image import save as saving

    (chosen,) = saving.choose(store, [image.id])
    chosen = chosen._replace(names=tuple(parse_tagged(name).tagged for name in names))
    form: saving.Format = "oci" if output.kind == "oci" else "docker-archive"
    with saving.output(path) as sink:
        saving.save(store, [chosen], sink, form=form)


def _index(
    store: Store, images: Sequence[building.Image], names: tuple[str, ...], path: str, said: Wanted
) -> None:
    from devbox.image import save as saving

    chosen = [each.image for each in saving.choose(store, [image.id for image in images])]
    tags = [parse_tagged(name).tagged for name in names]
    of = {"of_index": said.of_index, "of_descriptor": said.of_index_descriptor}
    with saving.output(path) as sink:
        saving.save_several(store, chosen, tags, sink, **of)


def write_caches(context: Context, keys: Iterable[str], caches: Sequence[Cache], *, quiet: bool) -> None:
    """Write the steps of a build where --cache-to wants them."""
    for cache in caches:
        if cache.kind == "local":
            from devbox.build.caching import carrying

            carrying.write(context.store, keys, cache.place)
        else:
            from devbox.build.caching import sharing

            sharing.push(context.store, keys, cache.place, lambda name: push(context, (name,), quiet=quiet))


def fetch_caches(context: Context, caches: Sequence[Cache], *, quiet: bool) -> None:
    """Take the steps of --cache-from of a registry; one that is not there is told, and no failure."""
    for cache in caches:
        if cache.kind != "registry":
            continue
        from devbox.build.caching import sharing

        try:
            sharing.pull(context.store, cache.place, functools.partial(_pulled, context, quiet=quiet))
        except DevboxError as error:
            context.err(f"no cache from {cache.place}: {error.message}")


def _pulled(context: Context, name: str, *, quiet: bool) -> Image:
    from devbox.cli.progress import progress
    from devbox.image.transfers.transfer import ensure

    shown = progress(sys.stderr, quiet=quiet)
    return ensure(context.store, name, "always", progress=shown, environ=context.environ)


def push(context: Context, names: Sequence[str], *, quiet: bool) -> None:
    """Put images into the registries of their names."""
    from devbox.cli.progress import progress
    from devbox.image.transfers.pull import How
    from devbox.image.transfers.push import push as push_one

    how = How(context.environ, progress=progress(sys.stderr, quiet=quiet))
    for name in names:
        pushed = push_one(context.store, name, how)
        how.progress.note(f"{name}: digest: {pushed.digest} size: {pushed.size}")


def push_several(
    context: Context, images: Sequence[building.Image], names: Sequence[str], said: Wanted, *, quiet: bool
) -> None:
    """Put images for several platforms into the registries of their names, as an index."""
    from devbox.cli.progress import progress
    from devbox.image import save as saving
    from devbox.image.transfers.pull import How
    from devbox.image.transfers.push import push_several as push_all

    how = How(context.environ, progress=progress(sys.stderr, quiet=quiet))
    chosen = [each.image for each in saving.choose(context.store, [image.id for image in images])]
    for name in names:
        pushed = push_all(context.store, name, chosen, how, of_index=said.of_index)
        how.progress.note(f"{name}: digest: {pushed.digest} size: {pushed.size}")
