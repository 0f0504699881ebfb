"""build."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from devbox.build import build as building
from devbox.build import parse
from devbox.build.bases import Finder
from devbox.build.graph import Built, carry_out
from devbox.build.ignore import Matcher, patterns
from devbox.build.plan import Plan, Wish, plan
from devbox.build.platforms import Platforms
from devbox.build.site import Files, Settings
from devbox.build.stepmounts import Given
from devbox.build.syntax import Dockerfile
from devbox.cli import build_options, build_output, build_progress, build_signals
from devbox.cli.context import Context
from devbox.errors import NotFoundError, UsageError
from devbox.image.config import architecture
from devbox.image.progress import Progress
from devbox.model.invocation import Invocation
from devbox.model.network_parse import parse_add_host
from devbox.model.reference import familiar, parse_tagged
from devbox.store.database import Store
from devbox.system import process
from devbox.system.files import write_atomic


def build(context: Context, invocation: Invocation) -> int:
    """Build an image; its id goes to stdout with --quiet, everything else to stderr."""
    names = tuple(familiar(parse_tagged(name).tagged) for name in invocation.many("tag"))
    outputs = build_options.outputs(invocation.many("output"), context.cwd)
    labels = build_options.pairs(invocation.many("label"), "--label")
    _refuse_what_is_not_there(invocation)
    process.seal()
    with contextlib.ExitStack() as stack:
        work = _work(context, invocation, stack)
        of_image = not outputs or any(output.kind in build_options.OF_IMAGES for output in outputs)
        built = _carry_out(work, invocation, measure=of_image)
        image = None
        if of_image:
            image = building.record(
                work.store, work.plan, built, platforms=work.platforms, names=names, labels=labels
            )
        else:
            building.keep(work.store, built)
        for output in outputs:
            build_output.write(work.store, built.state.layers, image, names, output)
    _report(context, invocation, image, names)
    return 0


class _Work(NamedTuple):
    """All that a build begins with."""

    store: Store
    plan: Plan
    platforms: Platforms
    contexts: Mapping[str, Files]
    given: Given


def _work(context: Context, invocation: Invocation, stack: contextlib.ExitStack) -> _Work:
    main, dockerfile = _inputs(context, invocation, stack)
    wish, directories = _wish(context, invocation)
    contexts = {"": main, **{name: _directory(path, stack) for name, path in directories.items()}}
    given = Given(
        build_options.secrets(invocation.many("secret"), context.environ, context.cwd),
        build_options.sockets(invocation.many("ssh"), context.environ, context.cwd),
    )
    store = context.reconciled()
    find = Finder(store, wish.platforms, pull=invocation.flag("pull"), progress=Progress())
    return _Work(store, plan(dockerfile, wish, find), wish.platforms, contexts, given)


def _carry_out(work: _Work, invocation: Invocation, *, measure: bool) -> Built:
    form = "quiet" if invocation.flag("quiet") else invocation.text("progress")
    with _shown(form) as progress, build_signals.ending_well() as signals:
        debug = None
        if invocation.flag("debug"):
            debug = functools.partial(_in_a_shell, progress, signals)
        settings = Settings(work.given, work.contexts, progress, debug)
        return carry_out(work.store, work.plan, settings, measure=measure)


@contextlib.contextmanager
def _in_a_shell(progress: build_progress.Progress, signals: build_signals.Signals) -> Iterator[None]:
    """While somebody looks at a step that failed, nothing else is drawn, and Ctrl-C is for the shell."""
    progress.close()
    sys.stderr.write("the step failed: this is a shell in its files as they are now; 'exit' ends the build\n")
    sys.stderr.flush()
    with signals.ignored():
        yield


_LATER = {"cache_from": "--cache-from", "cache_to": "--cache-to", "annotation": "--annotation"}


def _refuse_what_is_not_there(invocation: Invocation) -> None:
    for name, option in _LATER.items():
        if invocation.many(name):
            raise UsageError(f"{option} is not supported yet")
    if invocation.flag("check"):
        raise UsageError("--check is not supported yet")
    if invocation.flag("debug") and not os.isatty(0):
        raise UsageError("--debug wants a terminal to open a shell in")


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


def _report(
    context: Context, invocation: Invocation, image: building.Image | None, names: tuple[str, ...]
) -> None:
    if image is None:
        return
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
