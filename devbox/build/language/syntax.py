"""What a Dockerfile says, before any variable has a value. Types only; `parse` makes them."""

import re
from typing import NamedTuple

from devbox.errors import UsageError


class Span(NamedTuple):
    """The lines that something was written on, the first and the last, counted from 1."""

    file: str
    start_line: int
    end_line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.start_line}"


class Heredoc(NamedTuple):
    """A document within the file: `<<EOT`, `<<-EOT` (strip_tabs) or `<<"EOT"` (no expansion)."""

    name: str
    content: str
    expand: bool
    strip_tabs: bool
    descriptor: int = 0
    """the number before `<<`, which a shell takes as a descriptor"""

    @property
    def text(self) -> str:
        """Its content, without the tabs in front of lines where `<<-` says so."""
        return re.sub(r"^\t+", "", self.content, flags=re.MULTILINE) if self.strip_tabs else self.content


class Instruction(NamedTuple):
    """One instruction, its words as written: quotes, escapes and variables are still in them."""

    keyword: str
    """lower case"""
    flags: tuple[tuple[str, str | None], ...]
    """("from", "base") of --from=base; None for a flag without "=" """
    words: tuple[str, ...]
    """of ENV and LABEL: name, value and separator ("=", or "" in the old form) of each pair in a row"""
    json: bool
    """the words came as a JSON list"""
    heredocs: tuple[Heredoc, ...]
    original: str
    """the logical line: continuations joined, keyword included, heredoc documents not"""
    span: Span
    spelled: str = ""
    """the keyword as written"""
    trigger: "Instruction | None" = None
    """of ONBUILD"""
    comment: tuple[str, ...] = ()
    """the lines of comment right above, without "#" """


class Stage(NamedTuple):
    """From one FROM to the next."""

    name: str
    """lower case; "" for a stage without AS"""
    base: str
    platform: str
    number: int
    """0 for the first"""
    instructions: tuple[Instruction, ...]
    span: Span
    head: Instruction
    """the FROM itself"""


class Checks(NamedTuple):
    """The directive `# check=`."""

    skip: tuple[str, ...] = ()
    """names of rules"""
    skip_all: bool = False
    error: bool = False
    """a warning fails the build"""
    experimental: tuple[str, ...] = ()
    """names of rules that are asked for; "all" for all"""


class Notice(NamedTuple):
    """A warning: the name of BuildKit's rule, what is wrong, and where."""

    rule: str
    message: str
    description: str
    url: str
    span: Span


class Dockerfile(NamedTuple):
    """A whole file."""

    escape: str
    syntax: str
    """of the directive; "" for none"""
    checks: Checks
    global_args: tuple[Instruction, ...]
    """the ARG before the first FROM"""
    stages: tuple[Stage, ...]
    warnings: tuple[Notice, ...]
    file: str = "Dockerfile"
    lines: tuple[str, ...] = ()
    """of the source, for messages"""


class DockerfileError(UsageError):
    """A mistake in a Dockerfile: "Dockerfile:3: unknown instruction: RNU", with the line itself below it."""

    def __init__(self, message: str, span: Span, *, line: str = "", hint: str = "") -> None:
        shown = f"\n  {span.start_line} | {line}" if line else ""
        super().__init__(f"{span}: {message}{shown}", hint=hint)
        self.reason = message
        self.span = span
        self.line = line
