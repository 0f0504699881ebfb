"""BuildKit's build checks: what is no mistake but probably not meant."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from devbox.build.language import lines, rules
from devbox.build.language.instructions import From
from devbox.build.language.lint_stage import StageLinter
from devbox.build.language.split import SplitError
from devbox.build.language.suggest import nearest
from devbox.build.language.syntax import Checks, Dockerfile, DockerfileError, Instruction, Notice, Span, Stage
from devbox.build.language.typed import typed
from devbox.build.language.words import Expansion, WordError, expansion
from devbox.errors import UsageError
from devbox.model import reference
from devbox.model.ignore import Matcher, clean

_RESERVED = ("context", "scratch")
_SYSTEMS = ("linux", "windows", "darwin", "freebsd")

Environment = Mapping[str, str]


class Base(NamedTuple):
    """What is known of a base image."""

    environment: Environment
    platform: str = ""
    """what it is for: linux/amd64"""
    wanted: str = ""
    """what it should be for"""


class Setting(NamedTuple):
    """What a file is checked for."""

    arguments: Mapping[str, str] = {}
    """of --build-arg"""
    automatic: Mapping[str, str] = {}
    """TARGETPLATFORM and its like, which FROM may use"""
    base: Callable[[str, str], Base | None] = lambda name, platform: None
    """a base image, by its name and --platform; None when it is not known: no variable is undefined then"""
    matcher: Matcher | None = None
    """of .dockerignore"""
    stages: frozenset[int] | None = None
    """numbers of those that are built; None for all"""
    checks: Checks | None = None
    """instead of the directive's: --build-arg BUILDKIT_DOCKERFILE_CHECK"""


def lint(dockerfile: Dockerfile, setting: Setting = Setting()) -> tuple[Notice, ...]:  # noqa: B008
    """What BuildKit would warn of, in the order of lines. Raises DockerfileError."""
    linter = _Linter(dockerfile, setting)
    linter.whole_file()
    linter.stages()
    return tuple(sorted(linter.found, key=lambda each: (each.span.start_line, each.rule)))


def violation(dockerfile: Dockerfile, found: Sequence[Notice], checks: Checks | None = None) -> UsageError | None:
    """The error when `# check=error=true` makes errors of warnings."""
    if not found or not (checks or dockerfile.checks).error:
        return None
    names = ", ".join(sorted({each.rule for each in found}))
    return UsageError(f"lint violation found for rules: {names}", hint="fix them, or skip one: # check=skip=RULE")


def show(found: Notice, source: Sequence[str]) -> str:
    """A warning with the lines that it is about, as BuildKit prints it."""
    first, last = found.span.start_line, found.span.end_line
    shown = [f"WARNING: {found.rule} - {found.url}", found.message, "", f"{found.span.file}:{first}", "-" * 20]
    for number in range(max(1, first - 2), min(len(source), last + 2) + 1):
        mark = ">>>" if first <= number <= last else "   "
        shown.append(f"{number:4} | {mark} {source[number - 1]}")
    return "\n".join([*shown, "-" * 20])


class _Linter:
    def __init__(self, dockerfile: Dockerfile, setting: Setting) -> None:
        self._file = dockerfile
        self._setting = setting
        self._checks = setting.checks or dockerfile.checks
        self.found: list[Notice] = []

    def report(self, name: str, message: str, span: Span, comment: Sequence[str] = ()) -> None:
        """Note what a rule has found, unless the file or a comment above skips it."""
        checks = self._checks
        for text in comment:
            directive = lines.directive(text)
            if directive and directive[0] == "check":
                try:
                    checks = rules.merged(checks, lines.read_checks(directive[1].partition(" ")[0]))
                except SplitError:
                    break  # BuildKit takes it for any other comment
        if rules.is_wanted(name, checks):
            self.found.append(rules.notice(name, message, span))

    def whole_file(self) -> None:
        for each in self._file.warnings:
            self.report(each.rule, each.message, each.span)
        self._names()
        self._casing()
        for instruction in self._all():
            self._description(instruction)
        self._default_arguments()

    def _all(self) -> list[Instruction]:
        return [
            *self._file.global_args,
            *(each for stage in self._file.stages for each in (stage.head, *stage.instructions)),
        ]

    def _names(self) -> None:
        seen: set[str] = set()
        for stage in self._file.stages:
            head, name = stage.head, stage.name
            if not name:
                continue
            keyword, written = head.words[1], head.words[2]
            if written != name:
                self.report(
                    "StageNameCasing", f"Stage name '{written}' should be lowercase", head.span, head.comment
                )
            if head.spelled in (head.spelled.lower(), head.spelled.upper()) and keyword != _cased(
                keyword, head.spelled
            ):
                message = f"'{keyword}' and '{head.spelled}' keywords' casing do not match"
                self.report("FromAsCasing", message, head.span, head.comment)
            if name in _RESERVED:
                message = f'Stage name should not use the same name as reserved stage "{name}"'
                self.report("ReservedStageName", message, head.span)
            if name in seen:
                message = f'Duplicate stage name "{name}", stage names should be unique'
                self.report("DuplicateStageName", message, head.span)
            seen.add(name)

    def _casing(self) -> None:
        every = [each for stage in self._file.stages for each in (stage.head, *stage.instructions)]
        lower = sum(each.spelled == each.spelled.lower() for each in every)
        upper = sum(each.spelled == each.spelled.upper() for each in every)
        right, name = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
        for each in every:
            if each.spelled != right(each.spelled):
                message = f"Command '{each.spelled}' should match the case of the command majority ({name})"
                self.report("ConsistentInstructionCasing", message, each.span)

    def _description(self, instruction: Instruction) -> None:
        if instruction.keyword == "arg":
            names = [word.partition("=")[0] for word in instruction.words]
        elif instruction.keyword == "from" and len(instruction.words) == 3:
            names = [instruction.words[2].lower()]
        else:
            return
        comment = [text for text in instruction.comment if lines.directive(text) is None]
        if comment and comment[-1].split(" ")[0] not in names:
            example = names[0] if len(names) == 1 else "<arg_key>"
            keyword = instruction.keyword.upper()
            message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
            self.report("InvalidDefinitionDescription", message, instruction.span, instruction.comment)

    def _global_values(self, given: Mapping[str, str]) -> dict[str, str]:
        """The values that FROM sees: the automatic ones, and the ARG before the first FROM."""
        values = {name: given.get(name, value) for name, value in self._setting.automatic.items()}
        for instruction in self._file.global_args:
            for word in instruction.words:
                name, equals, default = word.partition("=")
                if name in given:
                    values[name] = given[name]
                elif equals:
                    values[name] = self._expansion(default, values, instruction).text
        return values

    def _expansion(self, word: str, values: Mapping[str, str], instruction: Instruction) -> Expansion:
        try:
            return expansion(word, values.get, self._file.escape)
        except WordError as error:
            raise DockerfileError(
                error.message, instruction.span, line=instruction.original, hint=error.hint
            ) from error

    def _default_arguments(self) -> None:
        try:
            values = self._global_values({})
            bases = [(stage, self._expansion(stage.base, values, stage.head).text) for stage in self._file.stages]
        except DockerfileError:
            return  # it needs an argument, and says so when it is built without
        for stage, base in bases:
            try:
                reference.parse(base)
            except UsageError:
                message = f"Default value for ARG {stage.base} results in empty or invalid base image name"
                self.report("InvalidDefaultArgInFrom", message, stage.head.span)

    def stages(self) -> None:
        values = self._global_values(self._setting.arguments)
        declared = {word.partition("=")[0] for each in self._file.global_args for word in each.words}
        known = declared | self._setting.automatic.keys()
        done: dict[str, StageLinter] = {}
        for stage in self._file.stages:
            base, platform = self._base(stage, values, known)
            before = done.get(base.lower()) or done.get(base)
            environment = before.environment if before else {} if base == "scratch" else None
            image = None if before or base == "scratch" else self._setting.base(base, platform)
            if image is not None:
                environment = image.environment
            linter = StageLinter(self._file.escape, self._setting.arguments, values, environment, before)
            done[stage.name or str(stage.number)] = done[str(stage.number)] = linter
            reporting = self._setting.stages is None or stage.number in self._setting.stages
            linter.walk(stage, self.report if reporting else _silent)
            if reporting and image is not None and image.platform != image.wanted:
                message = (
                    f"Base image {base} was pulled with platform {json.dumps(image.platform)}, "
                    f"expected {json.dumps(image.wanted)} for current build"
                )
                self.report("InvalidBaseImagePlatform", message, stage.head.span)
            if reporting and self._setting.matcher:
                self._ignored(stage, self._setting.matcher)

    def _base(self, stage: Stage, values: Mapping[str, str], known: set[str]) -> tuple[str, str]:
        """The name of a stage's base, and its --platform."""
        item = typed(stage.head)
        assert isinstance(item, From)
        base = self._expansion(item.base, values, stage.head)
        self._undeclared(stage.head, base, known)
        if not item.platform:
            return base.text, ""
        platform = self._expansion(item.platform, values, stage.head)
        self._undeclared(stage.head, platform, known)
        self._platform(stage, platform, values)
        return base.text, platform.text

    def _undeclared(self, head: Instruction, result: Expansion, known: set[str]) -> None:
        for name in sorted(result.missing - known):
            near = nearest(name, sorted(known))
            meant = f" (did you mean {near}?)" if near else ""
            message = f"FROM argument '{name}' is not declared{meant}"
            self.report("UndefinedArgInFrom", message, head.span, head.comment)

    def _platform(self, stage: Stage, result: Expansion, values: Mapping[str, str]) -> None:
        head = stage.head
        if not result.used and not result.missing:
            if not any(part in stage.name for part in _platform_words(result.text)):
                message = f"FROM --platform flag should not use constant value {json.dumps(result.text)}"
                self.report("FromPlatformFlagConstDisallowed", message, head.span, head.comment)
        elif (
            result.used == {"TARGETPLATFORM"}
            and not result.missing
            and result.text == values.get("TARGETPLATFORM")
        ):
            message = (
                f"Setting platform to predefined {stage.platform} in FROM is redundant "
                "as this is the default behavior"
            )
            self.report("RedundantTargetPlatform", message, head.span, head.comment)

    def _ignored(self, stage: Stage, matcher: Matcher) -> None:
        if matcher.takes_back:
            return  # a directory may be excluded and a file in it not
        for instruction in stage.instructions:
            if instruction.keyword not in ("copy", "add") or "from" in dict(instruction.flags):
                continue
            for word in instruction.words[:-1]:
                source = clean(word)
                if "$" in word or word.startswith("<<") or re.match("https?://|git@", word):
                    continue
                if _is_ignored(source, matcher):
                    command = instruction.keyword.capitalize()
                    message = (
                        f"Attempting to {command} file {json.dumps(source)} that is excluded by .dockerignore"
                    )
                    self.report("CopyIgnoredFile", message, instruction.span, instruction.comment)


def _is_ignored(source: str, matcher: Matcher) -> bool:
    if source in (".", "/"):
        return any(clean(line) in ("*", "**", "**/*") for line in matcher.lines)
    return matcher.excluded(source)


def _silent(name: str, message: str, span: Span, comment: Sequence[str] = ()) -> None:
    """For stages that are not built."""


def _cased(word: str, like: str) -> str:
    return word.lower() if like == like.lower() else word.upper()


def _platform_words(platform: str) -> list[str]:
    """The operating system and the architecture of "linux/arm64/v8", "linux" or "arm64"."""
    parts = platform.split("/")[:2]
    if len(parts) == 1 and parts[0] not in _SYSTEMS:
        return ["linux", *parts]
    return parts
