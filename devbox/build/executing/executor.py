"""Carrying out one step: the layers so far below, a scratch directory on top, which becomes the next layer."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from devbox.build.executing import netns, overlay, sandbox
from devbox.build.executing.sandbox import Output
from devbox.build.executing.stepmounts import MountMaker, Places
from devbox.build.executing.stop import Stop
from devbox.build.files import tidy
from devbox.build.planning.steps import Given, RunStep, Source, WorkdirStep
from devbox.container.spec import users
from devbox.container.spec.configjson import MountEntry
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.walk import make_directories, open_in_root, open_root, opened

_SLACK_SECONDS = 2

Made = tuple[str, int]
"""a directory that holds the finished diff/, and the bytes of its files"""
LayersOf = Callable[[Source], Sequence[int]]
"""the layers of a stage or image, lowest first"""
Write = Callable[[int], None]
"""writes into the root file system whose descriptor it is given"""


class ExitError(Exception):
    """A RUN that ended with a status other than 0."""

    def __init__(self, status: int) -> None:
        super().__init__(f"exit code {status}")
        self.status = status


class Workshop(NamedTuple):
    """What the steps of one stage are carried out with."""

    store: Store
    network: netns.StageNetwork
    stop: Stop
    given: Given
    moment: int
    """the time that files get which are written now"""
    layers_of: LayersOf
    context: Callable[[str, str, str], str]
    """makes what a named context has at a path visible in an empty directory; that directory"""
    debug: Callable[[], contextlib.AbstractContextManager[None]] | None = None
    """surrounds a shell in a step that failed, where one is wanted"""


@contextlib.contextmanager
def ran(shop: Workshop, step: RunStep, layers: Sequence[int], output: Output) -> Iterator[Made | None]:
    """Run a command; what it changed is there for the block, None when that is nothing.

    Raises ExitError for a status other than 0.
    """
    container_id = os.urandom(32).hex()
    begun = int(time.time()) - _SLACK_SECONDS
    with scratch(shop.store.root, "build") as place:
        with contextlib.ExitStack() as held:
            held.enter_context(sandbox.lock(shop.store.root, container_id))
            held.callback(sandbox.forget, shop.store.root, container_id)
            known, status = _run(shop, step, (layers, place, container_id), output, held)
        if status:
            raise ExitError(status)
        tidy.remove_stubs(place + "/layer/diff", known)
        yield _finished(place, shop.moment, begun)


def _run(
    shop: Workshop,
    step: RunStep,
    where: tuple[Sequence[int], str, str],
    output: Output,
    held: contextlib.ExitStack,
) -> tuple[list[tidy.Stub], int]:
    layers, place, container_id = where
    root = shop.store.root
    network = shop.network.path(step.network)
    with overlay.writable(shop.store, layers, place) as merged:
        bundle = sandbox.private_bundle(root, container_id)
        show = functools.partial(_show, shop)
        places = Places(place + "/mounts", bundle)
        maker = MountMaker(shop.store, places, shop.given, show, held=held, check=shop.stop.check)
        _own_files(shop, step, maker)
        made = maker.make(step.mounts)
        command = sandbox.Command(
            arguments=step.arguments,
            env=(*step.env, *step.hidden_env, *made.env),
            user=step.user,
            working_dir=step.working_dir,
            insecure=step.insecure,
            mounts=_by_depth(made.entries),
            network=network,
        )
        prepared = sandbox.prepare_command(shop.store, merged, container_id, command)
        known = tidy.stubs(place + "/layer/diff", prepared.fresh)
        status = sandbox.run(root, prepared, output, shop.stop)
        if status and shop.debug is not None:
            with shop.debug():
                sandbox.interact(root, prepared)
        return known, status


def _by_depth(entries: Sequence[MountEntry]) -> tuple[MountEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.target.count("/")))


def _own_files(shop: Workshop, step: RunStep, maker: MountMaker) -> None:
    maker.file("/etc/hosts", netns.hosts_file(shop.store, step.hosts).encode(), writable=True)
    maker.file("/etc/resolv.conf", netns.resolv_conf(step.network).encode(), writable=True)
    name, text = step.script
    if name:
        maker.file(f"/dev/pipes/{name}", text.encode(), mode=0o755)


def _show(shop: Workshop, origin: Source, path: str, place: str) -> str:
    """Make a source visible as far as a path in it, in the private mount namespace that we are in."""
    match origin.kind:
        case "empty":
            return place
        case "context":
            return shop.context(origin.name, path, place)
        case _:
            return overlay.mount_layers(shop.store, shop.layers_of(origin), place)


@contextlib.contextmanager
def shown(shop: Workshop, origin: Source) -> Iterator[int]:
    """A descriptor of a stage's or image's files; the block may run in a private mount namespace."""
    from devbox.system.namespaces import private_mounts

    with scratch(shop.store.root, "source") as place, private_mounts():
        tree = overlay.mount_layers(shop.store, shop.layers_of(origin), place)
        with opened(open_root(tree)) as root:
            yield root


@contextlib.contextmanager
def written(shop: Workshop, layers: Sequence[int], write: Write, *, fixed: bool) -> Iterator[Made | None]:
    """Let `write` change the file system; what it changed is there for the block, None when that is nothing.

    `fixed`: everything gets the time of the build, else only what is newer or was made just now.
    """
    begun = int(time.time()) - _SLACK_SECONDS
    with scratch(shop.store.root, "build") as place:
        with overlay.writable(shop.store, layers, place) as merged, opened(open_root(merged)) as root:
            write(root)
        yield _finished(place, shop.moment, 0 if fixed else begun)


@contextlib.contextmanager
def made_workdir(shop: Workshop, step: WorkdirStep, layers: Sequence[int]) -> Iterator[Made | None]:
    """Make the directory of a WORKDIR unless it is there; it is its user's, with those above that are new."""
    with written(shop, layers, lambda root: _make_workdir(root, step), fixed=True) as made:
        yield made


def _make_workdir(root: int, step: WorkdirStep) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.close(open_in_root(root, step.path, os.O_PATH | os.O_DIRECTORY))
        return
    user = users.lookup(root, step.user)
    made = ""
    for part in filter(None, step.path.split("/")):
        made += "/" + part
        try:
            os.close(open_in_root(root, made, os.O_PATH))
        except FileNotFoundError:
            with opened(make_directories(root, made)) as fd:
                path = f"/proc/self/fd/{fd}"
                os.chown(path, user.uid, user.gid)
                os.chmod(path, 0o755)


def _finished(place: str, moment: int, since: int) -> Made | None:
    done = tidy.settle(place + "/layer/diff", moment, since)
    return (place + "/layer", done.size) if done.entries else None
