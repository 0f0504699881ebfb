"""A RUN: one process in a container that nobody records, confined as `docker build` confines it.

The OCI runtime is started directly, without a monitor: the build waits for it. The lock and the bundle are where
those of recorded containers are, so that the next command finds and ends what a killed build leaves.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import select
import signal
from collections.abc import Callable
from typing import NamedTuple

from devbox.build.executing.stop import Stop
from devbox.container import cgroups, locks, runtime
from devbox.container.spec import configjson, seccomp_cache, surroundings
from devbox.container.spec.configjson import MountEntry
from devbox.container.spec.rootfs import prepare
from devbox.errors import ContainerRuntimeError
from devbox.model.container import Container, ContainerConfig
from devbox.model.values_parse import merge_env
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.system import process
from devbox.system.files import remove_tree
from devbox.system.syscalls import MS_NODEV, MS_NOSUID, mount

HOSTNAME = "buildkitsandbox"
"""the name that scripts know a build by"""
_LOOK_MILLISECONDS = 2
_SHELL = ("/bin/sh", "-i")
_CHUNK = 1 << 16

Output = Callable[[bytes], None]


class Command(NamedTuple):
    """What is run, and how."""

    arguments: tuple[str, ...]
    env: tuple[str, ...]
    """all of it but PATH and HOME where it has none; what the caller keeps secret may be in it"""
    user: str = ""
    working_dir: str = "/"
    insecure: bool = False
    """with all the powers of this host: RUN --security=insecure"""
    mounts: tuple[MountEntry, ...] = ()
    network: str = ""
    """path of a network namespace, "host", or "" for one without any network"""


class Prepared(NamedTuple):
    """A command whose bundle is written."""

    container: Container
    document: str
    """the config.json"""
    fresh: tuple[str, ...]
    """where the runtime itself makes what it mounts on"""


def private_bundle(root: Root, container_id: str) -> str:
    """The bundle, in memory and in the private mount namespace that we are in: secrets are on no disk.

    The runtime's own state is, too, since it has all variables. The directory below the bundle stays for others to
    see, as the sign that somebody is at work.
    """
    bundle = root.bundle(container_id)
    for place in (bundle, runtime.state_directory(root)):
        os.makedirs(place, mode=0o700, exist_ok=True)
        mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700")
    return bundle


def prepare_command(store: Store, rootfs: str, container_id: str, command: Command) -> Prepared:
    """Check the mounted root file system and write the bundle; raises as a container's start does."""
    config = ContainerConfig(
        entrypoint=command.arguments,
        env=command.env,
        working_dir=command.working_dir,
        user=command.user,
        hostname=HOSTNAME,
        network_mode="host" if command.network == "host" else "none",
        privileged=command.insecure,
    )
    container = Container(container_id, "of the build", 0.0, "", "", config)
    ready = prepare(rootfs, container, command.mounts)
    setting = surroundings.gather(store, container, ready, rootfs=rootfs, netns=command.network)
    defaults = (f"PATH={configjson.DEFAULT_PATH}", f"HOME={ready.user.home}")
    setting = setting._replace(env=merge_env(defaults, command.env))
    fresh = tuple(mount.target for mount in ready.mounts if mount.kind == "tmpfs")
    return Prepared(container, json.dumps(configjson.document(container, setting)), fresh)


def run(root: Root, prepared: Prepared, output: Output, stop: Stop) -> int:
    """Run a prepared command in the current mount namespace to its end; its exit status.

    What it prints goes to `output` as it comes. Nothing of it is alive when this returns or raises.
    """
    container, bundle = prepared.container, root.bundle(prepared.container.id)
    with open(bundle + "/config.json", "w") as file:
        file.write(prepared.document)
    argv = _command_line(root, container)
    source, sink = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        pid = process.spawn(argv, files=((0, null), (1, sink), (2, sink)), new_session=True)
    except BaseException:
        os.close(source)
        raise
    finally:
        os.close(sink)
        os.close(null)
    ended = False
    try:
        with stop.ending(lambda: _kill(pid, container.id)):
            _read(root, container.id, source, output)
        status = process.wait(pid)
        ended = True
    finally:
        os.close(source)
        if not ended:
            _kill(pid, container.id)
            process.wait(pid)
        if not ended or status < 0:
            _clear(root, container)
    stop.check()
    _raise_failure(bundle, status)
    return status if status >= 0 else 128 - status


def interact(root: Root, prepared: Prepared) -> None:
    """Run a shell in place of the command, on our own streams, until its user leaves it."""
    document = json.loads(prepared.document)
    document["process"]["args"] = list(_SHELL)
    with open(root.bundle(prepared.container.id) + "/config.json", "w") as file:
        json.dump(document, file)
    process.wait(process.spawn(_command_line(root, prepared.container)))


def _command_line(root: Root, container: Container) -> list[str]:
    bundle = root.bundle(container.id)
    return [
        runtime.program(container), "--root", runtime.state_directory(root), f"--log={bundle}/log", "run",
        "--bundle", bundle, "--pid-file", bundle + "/pidfile", container.id,
    ]  # fmt: skip


def lock(root: Root, container_id: str) -> contextlib.AbstractContextManager[int]:
    """The lock that says that somebody is busy with the container; a context manager."""
    return locks.operation(root, container_id)


def forget(root: Root, container_id: str) -> None:
    """Remove the bundle, which may have had secrets, and the lock."""
    remove_tree(root.bundle(container_id))
    locks.remove(root, container_id)


def _read(root: Root, container_id: str, source: int, output: Output) -> None:
    """Pass on what comes until the last writer has gone; meanwhile keep the filter that the runtime compiled."""
    bundle = root.bundle(container_id)
    promised = os.path.exists(bundle + "/seccomp.key")
    poll = select.poll()
    poll.register(source, select.POLLIN)
    while True:
        if promised and os.path.exists(bundle + "/pidfile"):
            seccomp_cache.keep(root, container_id)  # complete by now, and gone when the container is
            promised = False
        if not poll.poll(_LOOK_MILLISECONDS if promised else None):
            continue
        data = os.read(source, _CHUNK)
        if not data:
            return
        output(data)


def _kill(pid: int, container_id: str) -> None:
    """The runtime first: it may be about to create what is killed next."""
    try:
        os.kill(pid, signal.SIGKILL)  # our child, and not reaped before this can be called no more
    except ProcessLookupError:
        return
    finally:
        cgroups.destroy(container_id)


def _clear(root: Root, container: Container) -> None:
    runtime.delete_from_runtime(root, container)
    cgroups.destroy(container.id)


def _raise_failure(bundle: str, status: int) -> None:
    """Tell what the runtime says of itself from what the command says."""
    try:
        with open(bundle + "/log") as file:
            said = file.read(_CHUNK)
    except FileNotFoundError:
        return
    if status and said.strip():
        raise ContainerRuntimeError(f"the runtime cannot run a step of the build: {runtime.sentence(said)}")
