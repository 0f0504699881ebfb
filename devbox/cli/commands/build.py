"""build."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.build import build as building
from devbox.build import parse
from devbox.build.bases import Finder
from devbox.build.context import Context as Opened
from devbox.build.context import Wish as Wanted
from devbox.build.context import ignored, opened_context, opened_directory
from devbox.build.graph import Built, carry_out
from devbox.build.plan import plan
from devbox.build.planned import Plan, Wish
from devbox.build.platforms import Platforms
from devbox.build.site import Files, Settings
from devbox.build.steps import Given
from devbox.build.syntax import Notice
from devbox.cli import build_checks, build_options, build_output, build_progress, build_signals
from devbox.cli.context import Context
from devbox.errors import UsageError
from devbox.image.config import architecture
from devbox.image.progress import Progress
from devbox.model.invocation import Invocation
from devbox.model.network_parse import parse_add_host
from devbox.model.reference import familiar, parse_tagged
from devbox.store.database import Store
from devbox.system import process
from devbox.system.files import write_atomic

if TYPE_CHECKING:
    from devbox.build.carrying import Carried


def build(context: Context, invocation: Invocation) -> int:
    """Build an image; its id goes to stdout with --quiet, everything else to stderr."""
    names = tuple(familiar(parse_tagged(name).tagged) for name in invocation.many("tag"))
    outputs = build_options.outputs(invocation.many("output"), context.cwd)
    labels = build_options.pairs(invocation.many("label"), "--label")
    caches = build_options.caches(invocation.many("cache_to"), "--cache-to", context.cwd)
    _refuse_what_is_not_there(invocation)
    process.seal()
    with contextlib.ExitStack() as stack:
        if invocation.flag("check"):
            return _check(context, invocation, stack)
        work = _work(context, invocation, stack)
        of_image = not outputs or any(output.kind in build_options.OF_IMAGES for output in outputs)
        built = _carry_out(work, invocation, context.environ, measure=of_image)
        image = None
        if of_image:
            image = building.record(
                work.store, work.plan, built, platforms=work.platforms, names=names, labels=labels
            )
        else:
            building.keep(work.store, built)
        for output in outputs:
            build_output.write(work.store, built.state.layers, image, names, output)
        build_output.write_caches(context, built.used, caches, quiet=invocation.flag("quiet"))
    building.let_go(work.store)
    if invocation.flag("push"):
        build_output.push(context, names, quiet=invocation.flag("quiet"))
    _report(context, invocation, work.warnings, image, names)
    return 0


def _check(context: Context, invocation: Invocation, stack: contextlib.ExitStack) -> int:
    wish, _ = _wish(context, invocation)
    store = context.reconciled()
    main = _opened(context, invocation, store, stack)
    return build_checks.check(context, parse.parse(main.dockerfile, main.shown), main, wish, store)


class _Work(NamedTuple):
    """All that a build begins with."""

    store: Store
    plan: Plan
    platforms: Platforms
    contexts: Mapping[str, Files]
    given: Given
    warnings: tuple[Notice, ...]
    carried: Carried | None


def _work(context: Context, invocation: Invocation, stack: contextlib.ExitStack) -> _Work:
    wish, directories = _wish(context, invocation)
    given = Given(
        build_options.secrets(invocation.many("secret"), context.environ, context.cwd),
        build_options.sockets(invocation.many("ssh"), context.environ, context.cwd),
    )
    store = context.reconciled()
    main = _opened(context, invocation, store, stack)
    contexts = {"": Files(main.fd, main.matcher)}
    contexts.update((name, _named(path, stack)) for name, path in directories.items())
    shown = functools.partial(_transfer, quiet=invocation.flag("quiet"))
    find = Finder(store, wish.platforms, pull=invocation.flag("pull"), progress=shown)
    dockerfile = parse.parse(main.dockerfile, main.shown)
    planned = plan(dockerfile, wish, find)
    warnings = build_checks.warnings(dockerfile, main, wish, planned)
    return _Work(store, planned, wish.platforms, contexts, given, warnings, _carried(context, invocation))


def _transfer(*, quiet: bool) -> Progress:
    """What shows how a base image comes."""
    from devbox.cli.progress import progress

    return progress(sys.stderr, quiet=quiet)


def _carried(context: Context, invocation: Invocation) -> Carried | None:
    caches = build_options.caches(invocation.many("cache_from"), "--cache-from", context.cwd)
    build_output.fetch_caches(context, caches, quiet=invocation.flag("quiet"))
    places = [cache.place for cache in caches if cache.kind == "local"]
    if not places:
        return None
    from devbox.build.carrying import Carried

    return Carried(places)


def _carry_out(work: _Work, invocation: Invocation, environ: Mapping[str, str], *, measure: bool) -> Built:
    form = "quiet" if invocation.flag("quiet") else invocation.text("progress")
    with _shown(form) as progress, build_signals.ending_well() as signals:
        debug = None
        if invocation.flag("debug"):
            debug = functools.partial(_in_a_shell, progress, signals)
        settings = Settings(work.given, work.contexts, progress, environ, debug, work.carried)
        return carry_out(work.store, work.plan, settings, measure=measure)


@contextlib.contextmanager
def _in_a_shell(progress: build_progress.Progress, signals: build_signals.Signals) -> Iterator[None]:
    """While somebody looks at a step that failed, nothing else is drawn, and Ctrl-C is for the shell."""
    progress.close()
    sys.stderr.write("the step failed: this is a shell in its files as they are now; 'exit' ends the build\n")
    sys.stderr.flush()
    with signals.ignored():
        yield


def _refuse_what_is_not_there(invocation: Invocation) -> None:
    if invocation.many("annotation"):
        raise UsageError("--annotation is not supported yet", hint="--label says something of an image, too")
    if invocation.flag("push") and not invocation.many("tag"):
        raise UsageError("--push wants a name", hint="devbox build --push -t REGISTRY/NAME:TAG ...")
    if invocation.flag("debug") and not os.isatty(0):
        raise UsageError("--debug wants a terminal to open a shell in")


def _opened(context: Context, invocation: Invocation, store: Store, stack: contextlib.ExitStack) -> Opened:
    wish = Wanted(invocation.text("context"), invocation.text("file"), context.cwd, context.environ)
    return stack.enter_context(opened_context(store.root, wish))


def _named(path: str, stack: contextlib.ExitStack) -> Files:
    fd = stack.enter_context(opened_directory(path))
    return Files(fd, ignored(fd))


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
    context: Context,
    invocation: Invocation,
    warnings: tuple[Notice, ...],
    image: building.Image | None,
    names: tuple[str, ...],
) -> None:
    if warnings and not invocation.flag("quiet"):
        context.err("\n" + build_checks.summary(warnings))
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
