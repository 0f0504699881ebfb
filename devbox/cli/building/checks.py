"""Warnings of a Dockerfile: --check, and those that a build ends with."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Sequence

from devbox.build.files.context import Context as Opened
from devbox.build.language import lint
from devbox.build.language.lines import read_checks
from devbox.build.language.split import SplitError
from devbox.build.language.syntax import Checks, Dockerfile, Notice
from devbox.build.planning.planned import Plan, Wish, image_name
from devbox.build.planning.platforms import Platform, usual
from devbox.cli.context import Context
from devbox.cli.escape import escape
from devbox.errors import DevboxError, UsageError
from devbox.image import aside
from devbox.model.image import Image
from devbox.store.database import Store

_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"


def check(context: Context, dockerfile: Dockerfile, opened: Opened, wish: Wish, store: Store) -> int:
    """--check: tell every warning; 1 when there is one. No image is fetched for it."""

    def base(name: str, platform: str) -> lint.Base | None:
        try:
            wanted = _wanted(wish, platform)
            image = aside.find(store, wish.images.get(name, name), wanted.name)
        except DevboxError:
            return None
        return None if image is None else _base(image, wanted)

    found = lint.lint(dockerfile, _setting(dockerfile, wish, opened)._replace(base=base))
    if not found:
        context.out("Check complete, no warnings found.")
        return 0
    many = f"{len(found)} warnings have" if len(found) > 1 else "1 warning has"
    context.out(f"Check complete, {many} been found!")
    for each in found:
        context.out("\n" + escape(lint.show(each, dockerfile.lines)))
    return 1


def warnings(dockerfile: Dockerfile, opened: Opened, wish: Wish, plan: Plan) -> tuple[Notice, ...]:
    """What a build of a plan warns of. Raises UsageError where the Dockerfile makes errors of warnings."""

    def base(name: str, platform: str) -> lint.Base | None:
        wanted = _wanted(wish, platform)
        known = plan.images.get(image_name(wish.images.get(name, name), wanted, wish.platforms))
        return None if known is None else _base(known.image, wanted)

    stages = frozenset(stage.number for stage in plan.stages)
    setting = _setting(dockerfile, wish, opened)._replace(base=base, stages=stages)
    found = lint.lint(dockerfile, setting)
    error = lint.violation(dockerfile, found, setting.checks)
    if error is not None:
        raise error
    return found


def summary(found: Sequence[Notice]) -> str:
    """What a build says of its warnings."""
    many = f"{len(found)} warnings" if len(found) > 1 else "1 warning"
    told = [f" - {each.rule}: {each.message} (line {each.span.start_line})" for each in found]
    return escape("\n".join([f"{many} found ('build --check' tells more):", *told]))


def _setting(dockerfile: Dockerfile, wish: Wish, opened: Opened) -> lint.Setting:
    target = wish.target or dockerfile.stages[-1].name or "default"
    return lint.Setting(
        arguments=wish.arguments,
        automatic={**wish.platforms.variables(), "TARGETSTAGE": target},
        matcher=opened.matcher,
        checks=_checks(wish.arguments.get(_ARGUMENT)),
    )


def _checks(text: str | None) -> Checks | None:
    if text is None:
        return None
    try:
        return read_checks(text)
    except SplitError as error:
        raise UsageError(f"{_ARGUMENT}: {error.message}", hint=error.hint) from error


def _wanted(wish: Wish, platform: str) -> Platform:
    return wish.platforms.read(platform) if platform else wish.platforms.target


def _base(image: Image, wanted: Platform) -> lint.Base:
    environment = {name: value for name, _, value in (line.partition("=") for line in image.config.env)}
    actual = usual(image.architecture, image.variant)
    fits = actual.architecture == wanted.architecture  # variants do not count, as for BuildKit
    return lint.Base(environment, actual.name, actual.name if fits else wanted.name)
