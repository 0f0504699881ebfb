"""From a Dockerfile to the stages that a build needs; nothing is carried out."""

import sys

assert sys.platform == "linux"

from collections.abc import Callable, Mapping

from devbox.build.language.expanded import expand_word
from devbox.build.language.instructions import Arg
from devbox.build.language.suggest import did_you_mean
from devbox.build.language.syntax import Dockerfile, Span
from devbox.build.language.typed import typed
from devbox.build.planning.planned import Base, Plan, StagePlan, Wish, image_name
from devbox.build.planning.platforms import Platform
from devbox.build.planning.stageplanner import StagePlanner
from devbox.errors import NotFoundError, UsageError

Find = Callable[[str, Platform, Span], Base]
"""an image by its reference and platform; NotFoundError when there is none"""


def plan(dockerfile: Dockerfile, wish: Wish, find: Find) -> Plan:
    """What must be built for the wish. Raises DockerfileError, or what `find` raises."""
    planner = _Planner(dockerfile, wish, find)
    planner.stage(_target(dockerfile, wish.target))
    return Plan(tuple(planner.planned.values()), planner.images)


def _target(dockerfile: Dockerfile, name: str) -> int:
    if not name:
        return len(dockerfile.stages) - 1
    for stage in reversed(dockerfile.stages):
        if stage.name == name.lower():
            return stage.number
    if name.isdigit() and int(name) < len(dockerfile.stages):
        return int(name)
    known = [stage.name or str(stage.number) for stage in dockerfile.stages]
    hint = did_you_mean(name, known, f"its stages are {', '.join(known)}")
    raise NotFoundError(f"{dockerfile.file} has no stage {name!r}", hint=hint)


class _Planner:
    def __init__(self, dockerfile: Dockerfile, wish: Wish, find: Find) -> None:
        self.dockerfile = dockerfile
        self.wish = wish
        self.find = find
        self.planned: dict[int, StagePlan] = {}
        self.images: dict[str, Base] = {}
        self.epoch = _epoch(wish.arguments)
        self.globals = self._global_arguments()

    def _global_arguments(self) -> dict[str, str]:
        target = self.wish.target or self.dockerfile.stages[-1].name or "default"
        known = {**self.wish.platforms.variables(), "TARGETSTAGE": target}
        known.update((name, self.wish.arguments[name]) for name in known.keys() & self.wish.arguments.keys())
        for instruction in self.dockerfile.global_args:
            item = typed(instruction)
            assert isinstance(item, Arg)
            for name, default in item.args:
                value = self.wish.arguments.get(name)
                if value is None and default is not None:
                    value = expand_word(instruction, default, known.get, self.dockerfile.escape)
                if value is not None:
                    known[name] = value
        return known

    def stage(self, number: int) -> StagePlan:
        """Plan a stage after those that it needs."""
        if number not in self.planned:
            made = StagePlanner(self, self.dockerfile.stages[number]).plan()
            self.planned[number] = made
        return self.planned[number]

    def stage_named(self, name: str, before: int) -> int | None:
        """The number of the last stage of this name before another; its index will do, too."""
        for stage in reversed(self.dockerfile.stages[:before]):
            if stage.name and stage.name == name.lower():
                return stage.number
        return None

    def image(self, reference: str, platform: Platform, span: Span) -> Base:
        """An image, found once."""
        name = image_name(reference, platform, self.wish.platforms)
        if name not in self.images:
            self.images[name] = self.find(reference, platform, span)
        return self.images[name]


def _epoch(arguments: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH, the time that everything is to have."""
    text = arguments.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise UsageError(f"invalid SOURCE_DATE_EPOCH {text!r}", hint="it is a number of seconds since 1970")
    return int(text)
