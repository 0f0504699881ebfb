"""`bootstrap debian:RELEASE`: a base image that mmdebstrap makes of packages, as this machine's apt gets them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from devbox.errors import DevboxError, HostError, NotFoundError, UsageError
from devbox.image import config, layers, make
from devbox.image.bases import aptsources
from devbox.model.image import Image
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system import process
from devbox.system.files import write_all
from devbox.system.locks import locked
from devbox.system.walk import open_root, opened, remove_at

Progress = Callable[[str], None]

VARIANTS = ("minbase", "essential", "apt", "required", "buildd", "important", "standard")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_RELEASE = re.compile(r"[a-z][a-z0-9-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+:~-]+)?")
_NO_PACKAGE = re.compile(r"E: (?:Unable to locate package (\S+)|Package '(.+)' has no installation candidate)")
_RECIPE = 1
"""part of the cache key: to be raised when the same packages become another image"""
_PASSWORD_TIME = "1577836800"
"""SOURCE_DATE_EPOCH for programs that write the day of a password's last change"""
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
_KILLED_WITH_US = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"),
)
_CONFIG = {"Cmd": ["bash"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
_NO_SERVICES = "#!/bin/sh\n# packages are not to start services while they are installed\nexit 101\n"


class Wish(NamedTuple):
    """What was asked for."""

    release: str
    include: tuple[str, ...] = ()
    variant: str = "minbase"
    fresh: bool = False
    """make it anew although the same was made before"""


def check(wish: Wish) -> None:
    """UsageError for what mmdebstrap would take for something else."""
    if not _RELEASE.fullmatch(wish.release):
        raise UsageError(f"not a release of Debian: {wish.release!r}", hint="write it as debian:bookworm")
    if wish.variant not in VARIANTS:
        raise UsageError(f"unknown variant {wish.variant!r}", hint=f"known are {', '.join(VARIANTS)}")
    for package in wish.include:
        if not _PACKAGE.fullmatch(package):
            raise UsageError(
                f"not the name of a package: {package!r}", hint="write --include redis-server,python3"
            )


def bootstrap(
    store: Store, wish: Wish, names: tuple[str, ...], environ: Mapping[str, str], progress: Progress
) -> Image:
    """Make the image, or take the one that was made of the same before."""
    check(wish)
    sources = aptsources.for_release(wish.release)
    key = _key(wish, sources)
    with locked(f"{store.root.locks}/{key.replace(':', '-')}"):  # whoever wants the same waits and takes it
        known = None if wish.fresh else make.cached(store, key, names, "bootstrap")
        if known is not None:
            progress("nothing changed since this image was made: taking it from the store")
            return known
        return _bootstrap(store, wish, names, sources, key, environ, progress)


def _bootstrap(
    store: Store,
    wish: Wish,
    names: tuple[str, ...],
    sources: Sequence[str],
    key: str,
    environ: Mapping[str, str],
    progress: Progress,
) -> Image:
    if not os.path.exists(KEYRING):
        raise HostError("the keys of Debian's archive are missing", hint="apt-get install debian-archive-keyring")
    process.find("mmdebstrap")
    with scratch(store.root, "bootstrap") as place:
        os.mkdir(place + "/layer")
        began = time.time()
        _make(place, wish, sources, environ, progress)
        created = _finish(place + "/layer/diff", wish.release, began)
        progress("recording the layer")
        origin = make.Origin("bootstrap", _command(wish), created=created, cache_key=key)
        return make.record(store, layers.measure(place + "/layer"), _CONFIG, names=names, origin=origin)


def _key(wish: Wish, sources: Sequence[str]) -> str:
    """What goes in: the wish, and the state of the archive as far as this machine's apt knows it."""
    import hashlib
    import json

    what = [
        _RECIPE,
        wish.release,
        wish.variant,
        sorted(wish.include),
        config.architecture(),
        list(sources),
        aptsources.state(sources),
    ]
    return "debian:" + hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _command(wish: Wish) -> str:
    include = f" --include {','.join(wish.include)}" if wish.include else ""
    variant = f" --variant {wish.variant}" if wish.variant != "minbase" else ""
    return f"devbox bootstrap debian:{wish.release}{include}{variant}"


def _make(place: str, wish: Wish, sources: Sequence[str], environ: Mapping[str, str], progress: Progress) -> None:
    """Let mmdebstrap write the tree to `place`/layer/diff; it and all it starts die with this process."""
    _write(place + "/apt.conf", aptsources.options())
    _write(place + "/sources", "".join(line + "\n" for line in sources))
    argv = [
        *_KILLED_WITH_US,
        *("mmdebstrap", "--mode=root", "--format=directory", f"--variant={wish.variant}"),
        *(f"--aptopt={place}/apt.conf", f"--keyring={KEYRING}", "--skip=output/dev"),
        *([f"--include={','.join(wish.include)}"] if wish.include else []),
        *(wish.release, place + "/layer/diff", *(["-"] if sources else [])),
    ]
    proxies = {name: environ[name] for name in (*_PROXIES, *map(str.upper, _PROXIES)) if name in environ}
    env = process.minimal_environment({"SOURCE_DATE_EPOCH": _PASSWORD_TIME, "TMPDIR": place, **proxies})
    progress(f"mmdebstrap {wish.release}")
    status, last = _watch(argv, env, place + "/sources", progress)
    if status != 0:
        raise failure(status, last)


def failure(status: int, last: Sequence[str]) -> DevboxError:
    """What mmdebstrap's last lines say of its failure."""
    for line in last:
        if match := _NO_PACKAGE.search(line):
            return NotFoundError(
                f"no such package: {match[1] or match[2]}",
                hint="'apt-cache search WORD' finds names; see also this machine's /etc/apt/sources.list",
            )
    reason = next((line[3:] for line in last if line.startswith("E: ")), "")
    return HostError(
        f"mmdebstrap failed: {reason or (last[-1] if last else f'exit status {status}')}",
        hint="; ".join(last[-4:-1]) or "look at this machine's apt configuration",
    )


def _watch(argv: Sequence[str], env: Mapping[str, str], stdin: str, progress: Progress) -> tuple[int, list[str]]:
    """Run a program and pass its lines on; its status and its last lines. It never survives this call."""
    output, sink = os.pipe()
    with opened(output):
        with opened(sink), opened(os.open(stdin, os.O_RDONLY | os.O_CLOEXEC)) as source:
            pid = process.spawn(argv, env=env, files=((0, source), (1, sink), (2, sink)), new_session=True)
        last: list[str] = []
        try:
            for line in _lines(output):
                last = [*last[-30:], line]
                if line.startswith("I: "):
                    progress(line[3:])
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            for _ in _lines(output):
                pass  # to the end: then none of its processes is left
            raise
        finally:
            status = process.wait(pid)
    return status, last


def _lines(fd: int) -> Iterator[str]:
    """Lines as they come; a progress bar that rewrites its line counts as many."""
    rest = b""
    while data := os.read(fd, 65536):
        *lines, rest = re.split(rb"[\r\n]+", rest + data)
        yield from (text for line in lines if (text := line.decode(errors="replace").strip()))
        rest = rest[-4096:]
    if rest.strip():
        yield rest.decode(errors="replace").strip()


def _write(path: str, text: str, mode: int = 0o600) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with opened(fd):
        os.fchmod(fd, mode)
        write_all(fd, text.encode())


def _finish(tree: str, release: str, began: float) -> float:
    """Take this machine out of the tree: its sources, its proxies, its name, the time of today."""
    with opened(open_root(tree)) as root:
        for name in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list", "etc/resolv.conf", "etc/hostname"):
            remove_at(root, name)
        for directory in ("dev", "etc/apt/sources.list.d"):
            with contextlib.suppress(FileNotFoundError), opened(open_root(f"{tree}/{directory}")) as inner:
                for name in os.listdir(inner):
                    remove_at(inner, name)
    if os.path.isdir(tree + "/etc/apt"):
        lines = aptsources.official(release, tree)
        _write(tree + "/etc/apt/sources.list", "".join(f"{line}\n" for line in lines), 0o644)
    _write(tree + "/etc/resolv.conf", "", 0o644)
    _write(tree + "/etc/hostname", "", 0o644)
    _write(tree + "/usr/sbin/policy-rc.d", _NO_SERVICES, 0o755)
    return _age(tree, began)


def _age(tree: str, began: float) -> float:
    """Give all that is newer than `began` the time of the newest package file: equal packages give equal bytes."""
    paths = [f"{directory}/{name}" for directory, below, files in os.walk(tree) for name in (*below, *files)]
    times = {path: os.lstat(path).st_mtime_ns for path in (tree, *paths)}
    newest = max((when for when in times.values() if when < began * 1e9), default=0)
    for path, when in times.items():
        if when > newest:
            os.utime(path, ns=(newest, newest), follow_symlinks=False)
    return newest / 1e9
