"""Warnings of a Dockerfile: --check, and those that a build ends with."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping, Sequence

from devbox.build import lint
from devbox.build.context import Context as Opened
from devbox.build.lines import read_checks
from devbox.build.planned import Plan, Wish
from devbox.build.split import SplitError
from devbox.build.syntax import Checks, Dockerfile, Notice
from devbox.cli.context import Context
from devbox.cli.escape import escape
from devbox.errors import DevboxError, UsageError
from devbox.image import catalog
from devbox.store.database import Store

_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"


def check(context: Context, dockerfile: Dockerfile, opened: Opened, wish: Wish, store: Store) -> int:
    """--check: tell every warning; 1 when there is one. No image is fetched for it."""

    def environment(base: str) -> Mapping[str, str] | None:
        try:
            image = catalog.find(store, wish.images.get(base, base))
        except DevboxError:
            return None
        return _variables(image.config.env)

    found = lint.lint(dockerfile, _setting(dockerfile, wish, opened)._replace(base_environment=environment))
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

    def environment(base: str) -> Mapping[str, str] | None:
        known = plan.images.get(wish.images.get(base, base))
        return None if known is None else _variables(known.image.config.env)

    stages = frozenset(stage.number for stage in plan.stages)
    setting = _setting(dockerfile, wish, opened)._replace(base_environment=environment, stages=stages)
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


def _variables(env: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in env)}
