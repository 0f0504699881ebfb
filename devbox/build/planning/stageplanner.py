"""One stage of a Dockerfile: its base, and its instructions one after the other, every variable expanded."""

import sys

assert sys.platform == "linux"

from collections.abc import Mapping
from typing import Any, Protocol

from devbox.build.language.expanded import expand_word, expanded
from devbox.build.language.flags import mistake
from devbox.build.language.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    Typed,
    User,
    Volume,
    Workdir,
)
from devbox.build.language.parse import trigger
from devbox.build.language.suggest import did_you_mean
from devbox.build.language.syntax import Dockerfile, DockerfileError, Instruction, Span, Stage
from devbox.build.language.typed import typed
from devbox.build.planning.draft import Draft
from devbox.build.planning.planned import Base, StagePlan, Wish, image_name
from devbox.build.planning.platforms import PROXIES, Platform, usual
from devbox.build.planning.runs import run_step
from devbox.build.planning.steps import CopyStep, Inline, Network, Source, Step, WorkdirStep
from devbox.errors import DevboxError, NotFoundError, UsageError
from devbox.image.config import format_time

EARLIEST = 315_532_800
"""1980: no file gets an older time, which archives of some kinds cannot say"""
_MAKERS = ("run", "copy", "add", "workdir")


class Surroundings(Protocol):
    """The rest of the Dockerfile, as a stage sees it."""

    @property
    def dockerfile(self) -> Dockerfile: ...  # noqa: D102

    @property
    def wish(self) -> Wish: ...  # noqa: D102

    @property
    def epoch(self) -> int | None:
        """SOURCE_DATE_EPOCH."""

    @property
    def globals(self) -> Mapping[str, str]:
        """The ARG before FROM."""

    def stage(self, number: int) -> StagePlan:
        """Plan a stage that this one needs."""

    def stage_named(self, name: str, before: int) -> int | None:
        """The number of the last stage of this name before another."""

    def image(self, reference: str, platform: Platform, span: Span) -> Base:
        """An image by its reference and platform."""


class StagePlanner:
    """Plans one stage."""

    def __init__(self, planner: Surroundings, stage: Stage) -> None:
        self._planner = planner
        self._stage = stage
        self._escape = planner.dockerfile.escape
        self._steps: list[Step] = []
        self._draft = Draft.empty()
        self._moment = EARLIEST
        self._platform = planner.wish.platforms.target
        self._triggers: list[Instruction] = []
        self._total = 1
        self._fresh = planner.wish.fresh or stage.name in planner.wish.fresh_stages
        self._fresh |= str(stage.number) in planner.wish.fresh_stages

    def plan(self) -> StagePlan:
        """Read its instructions; what it needs is planned on the way. Raises DockerfileError."""
        base, shown = self._base()
        if self._planner.epoch is not None:
            self._moment = self._planner.epoch
        self._draft.created = format_time(self._moment)
        instructions = (*self._triggers, *self._stage.instructions)
        self._total = 1 + sum(instruction.keyword in _MAKERS for instruction in instructions)
        title = self._title(f"FROM {shown}", 1)
        for instruction in instructions:
            self._take(instruction)
        return StagePlan(
            self._stage.number, self._stage.name, base, title, tuple(self._steps),
            self._draft, self._moment, self._platform,
        )  # fmt: skip

    def _base(self) -> tuple[Source, str]:
        head = self._stage.head
        name = expand_word(head, self._stage.base, self._planner.globals.get, self._escape)
        if not name:
            raise mistake(
                head, f"base name ({self._stage.base}) should not be blank", "is its ARG before FROM set?"
            )
        wanted = self._wanted_platform(head)
        wish = self._planner.wish
        if name in wish.images:
            return self._from_image(wish.images[name], name, wanted)
        if name in wish.contexts:
            raise mistake(head, f"the build context {name!r} is a directory and no image")
        number = self._planner.stage_named(name, self._stage.number)
        if number is not None:
            parent = self._planner.stage(number)
            self._draft, self._moment, self._platform = parent.draft.child(), parent.moment, parent.platform
            return Source("stage", stage=number), name
        if name == "scratch":
            self._platform = wanted
            return Source("empty"), name
        return self._from_image(name, name, wanted)

    def _from_image(self, reference: str, shown: str, platform: Platform) -> tuple[Source, str]:
        try:
            base = self._planner.image(reference, platform, self._stage.span)
        except DevboxError as error:
            self._check_circle(shown)
            if isinstance(error, NotFoundError):
                raise mistake(self._stage.head, error.message, error.hint) from error
            raise
        history = base.image.history
        self._draft = Draft(base.document.get("config") or {}, history, base.image.author)
        self._moment = max(int(base.image.created), EARLIEST)
        self._platform = usual(base.image.architecture, base.image.variant)
        for expression in self._draft.take_triggers():
            self._triggers.append(trigger(expression, shown))
        return Source("image", image_name(reference, platform, self._planner.wish.platforms)), shown

    def _check_circle(self, name: str) -> None:
        """Blame a base that is no image, but a stage that comes later."""
        for stage in self._planner.dockerfile.stages[self._stage.number + 1 :]:
            if stage.name == name.lower():
                raise mistake(
                    self._stage.head,
                    f"circular dependency: stage {name!r} is needed before it is defined",
                    "move it up, or give the stages other names than their images",
                )

    def _wanted_platform(self, head: Instruction) -> Platform:
        """The platform of the base: --platform's, else the one that is built for."""
        text = expand_word(head, self._stage.platform, self._planner.globals.get, self._escape)
        try:
            return self._planner.wish.platforms.read(text) if text else self._planner.wish.platforms.target
        except UsageError as error:
            raise mistake(head, error.message, error.hint) from error

    def _take(self, instruction: Instruction) -> None:
        item = typed(instruction)
        if isinstance(item, Arg):
            self._draft.set_arguments([self._argument(instruction, *each) for each in item.args])
            return
        self._apply(expanded(item, self._draft.variables.get, self._escape))

    def _argument(self, instruction: Instruction, name: str, default: str | None) -> tuple[str, str | None]:
        given = self._planner.wish.arguments.get(name)
        if given is not None:
            return name, given
        if default is not None:
            value = expand_word(instruction, default, self._draft.variables.get, self._escape)
            self._draft.variables[name] = value  # the next one of the same ARG sees it
            return name, value
        return name, self._planner.globals.get(name)

    def _apply(self, item: Typed) -> None:
        draft = self._draft
        match item:
            case Run():
                self._run(item)
            case Copy() | Add():
                self._copy(item)
            case Workdir():
                self._workdir(item)
            case Env():
                draft.set_env(item.pairs)
            case Label():
                draft.set_labels(item.pairs)
            case Cmd():
                draft.set_command(item.command)
            case Entrypoint():
                draft.set_entrypoint(item.command)
            case _:
                self._apply_rest(item)

    def _apply_rest(self, item: Typed) -> None:
        draft = self._draft
        match item:
            case User():
                draft.set_user(item.user)
            case Expose():
                draft.expose(item.ports)
            case Volume():
                draft.add_volumes(item.paths)
            case Shell():
                draft.set_shell(item.words)
            case Stopsignal():
                draft.set_stop_signal(item.signal)
            case Healthcheck():
                draft.set_health(item)
            case Onbuild():
                draft.add_trigger(item.expression)
            case Maintainer():
                draft.set_author(item.author)

    def _run(self, item: Run) -> None:
        wish = self._planner.wish
        if item.security == "insecure" and not wish.insecure:
            raise mistake(
                item.source,
                "security.insecure is not allowed",
                "the step would have all powers of this host; 'devbox build --allow security.insecure' permits it",
            )
        if item.devices:
            raise mistake(item.source, "RUN --device is not supported", "use --security=insecure to reach devices")
        origins = [self._origin(item.source, mount.from_) if mount.from_ else None for mount in item.mounts]
        network: Network = wish.network if item.network == "default" else item.network  # type: ignore[assignment]
        step = run_step(item, self._draft, network, origins)
        proxies = tuple(f"{name}={value}" for name, value in wish.arguments.items() if name in PROXIES)
        moment = f"SOURCE_DATE_EPOCH={self._moment}"
        env = step.env if "SOURCE_DATE_EPOCH" in self._draft.variables else (*step.env, moment)
        what = f"RUN {self._draft.arguments_shown()}{' '.join(step.arguments)}"
        self._add(item.source, step._replace(env=env, hosts=wish.hosts, hidden_env=proxies), what)

    def _copy(self, item: Copy | Add) -> None:
        draft = self._draft
        origin = Source("context")
        if isinstance(item, Copy) and item.from_:
            origin = self._origin(item.source, item.from_)
        where = item.destination
        destination = draft.resolve(where)
        if where.endswith(("/", "/.")) or where in (".", ""):
            destination = destination.rstrip("/") + "/"
        step = CopyStep(
            origin=origin,
            sources=item.sources,
            destination=destination,
            inline=tuple(Inline(document.name, document.content) for document in item.documents),
            owner=item.chown,
            mode=item.chmod,
            link=item.link,
            excludes=item.excludes,
        )
        if isinstance(item, Copy):
            step = step._replace(parents=item.parents)
        else:
            step = step._replace(
                add=True, unpack=item.unpack, checksum=item.checksum, keep_git_dir=bool(item.keep_git_dir)
            )
        if item.sources and (step.checksum or any(map(_may_be_remote, item.sources))):
            step = step._replace(remote=_is_remote(item.source, step))
        self._add(item.source, step, _shown(item))

    def _workdir(self, item: Workdir) -> None:
        path = self._draft.enter(item.path)
        if path == "/":
            self._draft.note("WORKDIR /")
        else:
            self._add(item.source, WorkdirStep(path, self._draft.user), f"WORKDIR {path}")

    def _origin(self, instruction: Instruction, name: str) -> Source:
        """What a `--from` or `from=` means."""
        wish = self._planner.wish
        if name in wish.contexts:
            return Source("context", name)
        number = None if name in wish.images else self._planner.stage_named(name, self._stage.number)
        if number is None and name.isdigit() and name not in wish.images:
            number = int(name)
            if number >= self._stage.number:
                raise mistake(instruction, f"there is no stage {name} before this one")
        if number is not None:
            self._planner.stage(number)
            return Source("stage", stage=number)
        if name == "scratch":
            return Source("empty")
        if any(stage.name == name.lower() for stage in self._planner.dockerfile.stages):
            raise mistake(instruction, f"stage {name!r} must be defined before the stage that copies from it")
        reference = wish.images.get(name, name)
        try:
            self._planner.image(reference, wish.platforms.target, instruction.span)
        except NotFoundError as error:
            known = [stage.name for stage in self._planner.dockerfile.stages if stage.name]
            hint = did_you_mean(name, known, error.hint)
            raise DockerfileError(
                f"no stage or image {name!r}: {error.message}", instruction.span,
                line=instruction.original, hint=hint,
            ) from error  # fmt: skip
        return Source("image", reference)

    def _add(self, instruction: Instruction, action: Any, what: str) -> None:
        entry = self._draft.note(what, empty=False)
        keyword, _, rest = instruction.original.partition(" ")
        title = self._title(f"{keyword.upper()} {rest.strip()}", len(self._steps) + 2)
        self._steps.append(Step(action, title, what, entry, instruction.span, self._fresh))

    def _title(self, text: str, position: int) -> str:
        name = f"{self._stage.name} " if self._stage.name else ""
        if self._planner.wish.several:
            name = f"{self._platform.name} {name}"
        width = len(str(self._total))
        return f"[{name}{position:>{width}}/{self._total}] {text}"


def _may_be_remote(source: str) -> bool:
    return "://" in source or source.startswith(("git@", "github.com/"))


def _is_remote(instruction: Instruction, step: CopyStep) -> bool:
    """Whether something must be fetched; a COPY cannot do that."""
    from devbox.build.files import add

    try:
        add.check_sources(step.sources, step.checksum, add=step.add)
        return any(add.kind_of(source) != "local" for source in step.sources)
    except UsageError as error:
        raise mistake(instruction, error.message, error.hint) from error


def _shown(item: Copy | Add) -> str:
    flags = [f"--from={item.from_}"] if isinstance(item, Copy) and item.from_ else []
    flags += [f"--chown={item.chown}"] if item.chown else []
    flags += [f"--chmod={item.chmod}"] if item.chmod else []
    flags += ["--link"] if item.link else []
    names = [*item.sources, *(f"<<{document.name}" for document in item.documents)]
    return " ".join([item.source.keyword.upper(), *flags, *names, item.destination])
