"""A Dockerfile -> its stages, every instruction checked."""

from __future__ import annotations

from devbox.build.language import lines
from devbox.build.language.flags import mistake
from devbox.build.language.instructions import From
from devbox.build.language.syntax import Dockerfile, DockerfileError, Instruction, Span, Stage
from devbox.build.language.typed import typed


def parse(text: bytes, file: str) -> Dockerfile:
    """Read a whole file, `file` being its name in messages.

    Raises DockerfileError with file, line and the line itself; what depends on variables is not looked at.
    """
    source = lines.read(text, file)
    if not source.instructions:
        raise DockerfileError("file with no instructions", Span(file, 1, 1), hint="begin with FROM IMAGE")
    global_args: list[Instruction] = []
    stages: list[Stage] = []
    for instruction in source.instructions:
        item = typed(instruction)
        if isinstance(item, From):
            stages.append(_stage(item, len(stages)))
        elif stages:
            stages[-1] = _with(stages[-1], instruction)
        elif instruction.keyword == "arg":
            global_args.append(instruction)
        else:
            raise mistake(
                instruction,
                f"no build stage in current context: {instruction.spelled} comes before FROM",
                "only ARG may stand before the first FROM",
            )
    if not stages:
        raise DockerfileError(
            "dockerfile contains no stages to build", global_args[-1].span, hint="add FROM IMAGE"
        )
    return Dockerfile(
        escape=source.escape,
        syntax=source.syntax,
        checks=source.checks,
        global_args=tuple(global_args),
        stages=tuple(stages),
        warnings=source.notices,
        file=file,
        lines=source.lines,
    )


def trigger(expression: str, image: str) -> Instruction:
    """The instruction of an ONBUILD expression in the config of `image`. Raises DockerfileError."""
    source = lines.read(expression.encode(errors="surrogateescape"), f"ONBUILD of {image}")
    if len(source.instructions) != 1:
        span = Span(f"ONBUILD of {image}", 1, 1)
        raise DockerfileError("an ONBUILD trigger is one instruction", span, line=expression.split("\n")[0])
    instruction = source.instructions[0]
    if instruction.keyword in ("onbuild", "from", "maintainer"):
        raise mistake(instruction, f"{instruction.spelled} isn't allowed as an ONBUILD trigger")
    typed(instruction)
    return instruction


def _stage(item: From, number: int) -> Stage:
    span = item.source.span
    return Stage(item.name, item.base, item.platform, number, (), span, item.source)


def _with(stage: Stage, instruction: Instruction) -> Stage:
    span = stage.span._replace(end_line=instruction.span.end_line)
    return stage._replace(instructions=(*stage.instructions, instruction), span=span)
