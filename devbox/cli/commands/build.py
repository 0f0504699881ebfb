"""build."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from devbox.build import build as building
from devbox.build import parse
from devbox.build.bases import Finder
from devbox.build.ignore import Matcher, patterns
from devbox.build.plan import Wish, plan
from devbox.build.platforms import Platforms
from devbox.build.site import Files, Settings
from devbox.build.stepmounts import Given
from devbox.build.syntax import Dockerfile
from devbox.cli import build_options, build_progress
from devbox.cli.context import Context
from devbox.errors import NotFoundError, UsageError
from devbox.image.config import architecture
from devbox.model.invocation import Invocation
from devbox.model.network_parse import parse_add_host
from devbox.model.reference import familiar, parse_tagged
from devbox.system import process
from devbox.system.files import write_atomic
from devbox.system.signals import die_of

_LATER = {"cache_from": "--cache-from", "cache_to": "--cache-to", "annotation": "--annotation"}


def build(context: Context, invocation: Invocation) -> int:
    """Build an image; its id goes to stdout with --quiet, everything else to stderr."""
    names = tuple(familiar(parse_tagged(name).tagged) for name in invocation.many("tag"))
    _refuse_what_is_not_there(invocation)
    process.seal()
    with contextlib.ExitStack() as stack:
        main, dockerfile = _inputs(context, invocation, stack)
        wish, directories = _wish(context, invocation)
        contexts = {"": main}
        for name, path in directories.items():
            contexts[name] = _directory(path, stack)
        store = context.reconciled()
        planned = plan(dockerfile, wish, Finder(store, wish.platforms, pull=invocation.flag("pull")))
        given = Given(
            build_options.secrets(invocation.many("secret"), context.environ, context.cwd),
            build_options.sockets(invocation.many("ssh"), context.environ, context.cwd),
        )
        form = "quiet" if invocation.flag("quiet") else invocation.text("progress")
        labels = build_options.pairs(invocation.many("label"), "--label")
        with _shown(form) as progress, _ending_well():
            settings = Settings(given, contexts, progress)
            image = building.build(store, planned, wish, settings, names=names, labels=labels)
    _report(context, invocation, image, names)
    return 0


def _refuse_what_is_not_there(invocation: Invocation) -> None:
    for name, option in _LATER.items():
        if invocation.many(name):
            raise UsageError(f"{option} is not supported yet")
    for name in ("check", "debug", "output"):
        if invocation.params[name]:
            raise UsageError(f"--{name} is not supported yet")


def _inputs(context: Context, invocation: Invocation, stack: contextlib.ExitStack) -> tuple[Files, Dockerfile]:
    """The context and the Dockerfile."""
    source = invocation.text("context")
    if source == "-" or "://" in source:
        raise UsageError("a context that is no directory is not supported yet")
    directory = os.path.join(context.cwd, source)
    file = invocation.text("file")
    path = os.path.join(context.cwd, file) if file else os.path.join(directory, "Dockerfile")
    shown = "Dockerfile" if file in ("", "-") else file
    text = sys.stdin.buffer.read() if file == "-" else _read(path, shown, source)
    files = _directory(directory, stack)
    ignored = _ignored(directory, "" if file == "-" else path)
    return files._replace(matcher=ignored), parse.parse(text, shown)


def _read(path: str, shown: str, source: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise NotFoundError(
            f"cannot read {shown}: {reason}", hint=f"{path} is looked for; name another with -f"
        ) from error


def _directory(path: str, stack: contextlib.ExitStack) -> Files:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise NotFoundError(f"cannot use {path} as build context: {reason}") from error
    stack.callback(os.close, fd)
    return Files(fd)


def _ignored(directory: str, dockerfile: str) -> Matcher | None:
    for path in ([dockerfile + ".dockerignore"] if dockerfile else []) + [directory + "/.dockerignore"]:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            return patterns(file.read())
    return None


def _wish(context: Context, invocation: Invocation) -> tuple[Wish, dict[str, str]]:
    directories, images = build_options.contexts(invocation.many("build_context"), context.cwd)
    platforms = Platforms(architecture())
    if invocation.text("platform"):
        platforms.check(invocation.text("platform"))
    network = invocation.text("network") or "default"
    if network not in ("default", "none", "host"):
        raise UsageError(f"invalid --network {network!r}", hint="it is default, none or host")
    allowed = invocation.many("allow")
    for right in allowed:
        if right not in ("security.insecure", "network.host"):
            raise UsageError(f"unknown right {right!r}", hint="--allow security.insecure")
    wish = Wish(
        target=invocation.text("target"),
        arguments=build_options.arguments(invocation.many("build_arg"), context.environ),
        platforms=platforms,
        network=network,  # type: ignore[arg-type]
        hosts=tuple(parse_add_host(text) for text in invocation.many("add_host")),
        fresh=invocation.flag("no_cache"),
        fresh_stages=tuple(name.lower() for name in invocation.many("no_cache_filter")),
        contexts=frozenset(directories),
        images=images,
        insecure="security.insecure" in allowed,
    )
    return wish, directories


@contextlib.contextmanager
def _shown(form: str) -> Iterator[build_progress.Progress]:
    if form not in ("auto", "plain", "tty", "rawjson", "json", "quiet"):
        raise UsageError(f"unknown --progress {form!r}", hint="it is auto, plain, tty, rawjson or quiet")
    progress = build_progress.choose(form, sys.stderr)
    try:
        yield progress
    finally:
        progress.close()


class _Ended(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _ending_well() -> Iterator[None]:
    """Let a SIGTERM or SIGHUP end the build as Ctrl-C does: nothing of it stays."""

    def end(number: int, _: object) -> None:
        raise _Ended(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except _Ended as ended:
        die_of(ended.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(context: Context, invocation: Invocation, image: building.Image, names: tuple[str, ...]) -> None:
    if path := invocation.text("iidfile"):
        write_atomic(os.path.join(context.cwd, path), image.id.encode(), mode=0o644)
    if path := invocation.text("metadata_file"):
        data = json.dumps(_metadata(image, names), indent=2).encode() + b"\n"
        write_atomic(os.path.join(context.cwd, path), data, mode=0o644)
    if invocation.flag("quiet"):
        context.out(image.id)
        return
    context.err(f"built {image.id}" + (f" as {', '.join(names)}" if names else ""))


def _metadata(image: building.Image, names: tuple[str, ...]) -> Mapping[str, Any]:
    found: dict[str, Any] = {"containerimage.config.digest": image.id}
    if names:
        found["image.name"] = ",".join(str(parse_tagged(name).tagged) for name in names)
    return found
