"""build."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.build import build as building
from devbox.build.bases import Finder
from devbox.build.files.context import Context as Opened
from devbox.build.files.context import Wish as Wanted
from devbox.build.files.context import ignored, opened_context, opened_directory
from devbox.build.graph import Built, carry_out
from devbox.build.language import parse
from devbox.build.language.syntax import Dockerfile, Notice
from devbox.build.planning.plan import plan
from devbox.build.planning.planned import Plan, Wish
from devbox.build.planning.platforms import Platform, Platforms, usual
from devbox.build.planning.steps import Given
from devbox.build.site import Files, Settings
from devbox.cli.building import annotations as build_annotations
from devbox.cli.building import checks as build_checks
from devbox.cli.building import output as build_output
from devbox.cli.building import progress as build_progress
from devbox.cli.building import signals as build_signals
from devbox.cli.context import Context
from devbox.cli.options import build as build_options
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
    from devbox.build.caching.carrying import Carried


def build(context: Context, invocation: Invocation) -> int:
    """Build an image; its id goes to stdout with --quiet, everything else to stderr."""
    request = _request(context, invocation)
    caches = build_options.caches(invocation.many("cache_to"), "--cache-to", context.cwd)
    quiet = invocation.flag("quiet")
    process.seal()
    with contextlib.ExitStack() as stack:
        if invocation.flag("check"):
            return _check(context, invocation, stack)
        site = _site(context, invocation, stack)
        made = [_make(context, invocation, site, request, platform) for platform in request.platforms]
        store = site.store
        images = [each.image for each in made if each.image is not None]
        if request.several and images:
            building.name_several(store, images, request.names)
        for output in request.outputs:
            build_output.write(store, made, request.names, output, request.annotations)
        used = [key for each in made for key in each.used]
        build_output.write_caches(context, used, caches, quiet=quiet)
    building.let_go(store)
    if invocation.flag("push") and request.several:
        build_output.push_several(context, images, request.names, request.annotations, quiet=quiet)
    elif invocation.flag("push"):
        build_output.push(context, request.names, quiet=quiet)
    _report(context, invocation, made, request.names)
    return 0


class _Request(NamedTuple):
    """What a build is to come to, read and checked before anything is done."""

    names: tuple[str, ...]
    platforms: tuple[Platform, ...]
    labels: Mapping[str, str]
    annotations: build_annotations.Wanted
    outputs: list[build_options.Output]

    @property
    def several(self) -> bool:
        """Whether an index is made."""
        return len(self.platforms) > 1

    @property
    def of_image(self) -> bool:
        """Whether an image is made, and not files alone."""
        return not self.outputs or any(output.kind in build_options.OF_IMAGES for output in self.outputs)


def _request(context: Context, invocation: Invocation) -> _Request:
    own = Platforms(usual(architecture(), ""))
    texts = [text for each in invocation.many("platform") for text in each.split(",")]
    platforms = tuple(dict.fromkeys(map(own.read, texts))) or (own.build,)
    several = len(platforms) > 1
    request = _Request(
        names=tuple(familiar(parse_tagged(name).tagged) for name in invocation.many("tag")),
        platforms=platforms,
        labels=build_options.pairs(invocation.many("label"), "--label"),
        annotations=build_annotations.read(invocation.many("annotation"), own, several=several),
        outputs=build_options.outputs(invocation.many("output"), context.cwd),
    )
    if several and any(output.kind in ("tar", "docker") for output in request.outputs):
        raise UsageError("such an archive has room for one platform", hint="use --output type=oci,dest=FILE")
    for option in ("provenance", "sbom"):
        if invocation.text(option) not in ("", "false"):
            raise UsageError(f"--{option} is not possible: no attestations are made", hint=f"--{option}=false")
    if invocation.flag("push") and not request.names:
        raise UsageError("--push wants a name", hint="devbox build --push -t REGISTRY/NAME:TAG ...")
    if invocation.flag("debug") and not os.isatty(0):
        raise UsageError("--debug wants a terminal to open a shell in")
    return request


def _make(
    context: Context, invocation: Invocation, site: _Site, request: _Request, platform: Platform
) -> build_output.Made:
    """Build for one platform."""
    platforms = site.wish.platforms._replace(target=platform)
    work = _work(invocation, site, site.wish._replace(platforms=platforms, several=request.several))
    built = _carry_out(work, invocation, context.environ, measure=request.of_image)
    image = None
    if request.of_image:
        image = building.record(
            site.store, work.plan, built,
            names=() if request.several else request.names,
            labels=request.labels,
            said=request.annotations.of_image(platform),
        )  # fmt: skip
    else:
        building.keep(site.store, built)
    return build_output.Made(platform, built.state.layers, image, work.warnings, tuple(built.used))


def _check(context: Context, invocation: Invocation, stack: contextlib.ExitStack) -> int:
    wish, _ = _wish(context, invocation)
    store = context.reconciled()
    main = _opened(context, invocation, store, stack)
    return build_checks.check(context, parse.parse(main.dockerfile, main.shown), main, wish, store)


class _Site(NamedTuple):
    """All that a build begins with, whatever it is for."""

    store: Store
    wish: Wish
    dockerfile: Dockerfile
    main: Opened
    contexts: Mapping[str, Files]
    given: Given
    carried: Carried | None


class _Work(NamedTuple):
    """What is carried out for one platform."""

    site: _Site
    plan: Plan
    warnings: tuple[Notice, ...]


def _site(context: Context, invocation: Invocation, stack: contextlib.ExitStack) -> _Site:
    wish, directories = _wish(context, invocation)
    given = Given(
        build_options.secrets(invocation.many("secret"), context.environ, context.cwd),
        build_options.sockets(invocation.many("ssh"), context.environ, context.cwd),
    )
    store = context.reconciled()
    main = _opened(context, invocation, store, stack)
    contexts = {"": Files(main.fd, main.matcher)}
    contexts.update((name, _named(path, stack)) for name, path in directories.items())
    dockerfile = parse.parse(main.dockerfile, main.shown)
    return _Site(store, wish, dockerfile, main, contexts, given, _carried(context, invocation))


def _work(invocation: Invocation, site: _Site, wish: Wish) -> _Work:
    shown = functools.partial(_transfer, quiet=invocation.flag("quiet"))
    find = Finder(site.store, pull=invocation.flag("pull"), progress=shown)
    planned = plan(site.dockerfile, wish, find)
    return _Work(site, planned, build_checks.warnings(site.dockerfile, site.main, wish, planned))


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
    from devbox.build.caching.carrying import Carried

    return Carried(places)


def _carry_out(work: _Work, invocation: Invocation, environ: Mapping[str, str], *, measure: bool) -> Built:
    form = "quiet" if invocation.flag("quiet") else invocation.text("progress")
    with _shown(form) as progress, build_signals.ending_well() as signals:
        debug = None
        if invocation.flag("debug"):
            debug = functools.partial(_in_a_shell, progress, signals)
        site = work.site
        settings = Settings(site.given, site.contexts, progress, environ, debug, site.carried)
        return carry_out(site.store, work.plan, settings, measure=measure)


@contextlib.contextmanager
def _in_a_shell(progress: build_progress.Progress, signals: build_signals.Signals) -> Iterator[None]:
    """While somebody looks at a step that failed, nothing else is drawn, and Ctrl-C is for the shell."""
    progress.close()
    sys.stderr.write("the step failed: this is a shell in its files as they are now; 'exit' ends the build\n")
    sys.stderr.flush()
    with signals.ignored():
        yield


def _opened(context: Context, invocation: Invocation, store: Store, stack: contextlib.ExitStack) -> Opened:
    wish = Wanted(invocation.text("context"), invocation.text("file"), context.cwd, context.environ)
    return stack.enter_context(opened_context(store.root, wish))


def _named(path: str, stack: contextlib.ExitStack) -> Files:
    fd = stack.enter_context(opened_directory(path))
    return Files(fd, ignored(fd))


def _wish(context: Context, invocation: Invocation) -> tuple[Wish, dict[str, str]]:
    directories, images = build_options.contexts(invocation.many("build_context"), context.cwd)
    own = usual(architecture(), "")
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
        platforms=Platforms(own, own),
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
    context: Context, invocation: Invocation, made: Sequence[build_output.Made], names: tuple[str, ...]
) -> None:
    warnings = dict.fromkeys(warning for each in made for warning in each.warnings)
    if warnings and not invocation.flag("quiet"):
        context.err("\n" + build_checks.summary(tuple(warnings)))
    images = [each.image for each in made if each.image is not None]
    if not images:
        return
    own = building.for_this_machine(images)
    if path := invocation.text("iidfile"):
        write_atomic(os.path.join(context.cwd, path), own.id.encode(), mode=0o644)
    if path := invocation.text("metadata_file"):
        data = json.dumps(_metadata(own, names), indent=2).encode() + b"\n"
        write_atomic(os.path.join(context.cwd, path), data, mode=0o644)
    if invocation.flag("quiet"):
        context.out(own.id)
        return
    for image in images:
        shown = f" as {', '.join(names)}" if names and image == own else ""
        context.err(f"built {image.id}" + (f" for {image.platform.name}" if len(images) > 1 else "") + shown)


def _metadata(image: building.Image, names: tuple[str, ...]) -> Mapping[str, Any]:
    found: dict[str, Any] = {"containerimage.config.digest": image.id}
    if names:
        found["image.name"] = ",".join(str(parse_tagged(name).tagged) for name in names)
    return found
