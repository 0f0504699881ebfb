"""The text of a Dockerfile -> instructions: directives, comments, continued lines and heredocs."""

import re
from typing import NamedTuple

from devbox.build.language import rules, split
from devbox.build.language.split import SplitError
from devbox.build.language.syntax import Checks, DockerfileError, Heredoc, Instruction, Notice, Span
from devbox.model.ignore import SPACE

_BOM = b"\xef\xbb\xbf"
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*")
_DIRECTIVES = ("syntax", "escape", "check")
_TAKES_HEREDOCS = ("add", "copy", "run")
_CONTINUED = {
    "\\": re.compile(r"(?:(?<=[^\\])|^)\\[ \t]*\Z"),
    "`": re.compile(r"(?:(?<=[^`])|^)`[ \t]*\Z"),
}


class Source(NamedTuple):
    """A file read, its instructions in one row."""

    escape: str
    syntax: str
    checks: Checks
    instructions: tuple[Instruction, ...]
    notices: tuple[Notice, ...]
    lines: tuple[str, ...]


def read(text: bytes, file: str) -> Source:
    """Raises DockerfileError for what cannot be read, whatever its instructions mean."""
    reader = _Reader(text.removeprefix(_BOM).decode(errors="surrogateescape"), file)
    instructions = reader.instructions()
    return Source(
        escape=reader.escape,
        syntax=reader.directives.get("syntax", ""),
        checks=reader.checks,
        instructions=tuple(instructions),
        notices=tuple(reader.notices),
        lines=tuple(line.rstrip("\r\n") for line in reader.lines),
    )


def directive(comment: str) -> tuple[str, str] | None:
    """The name, in lower case, and value of a parser directive; None for any other comment."""
    match = _DIRECTIVE.fullmatch(comment.lstrip(SPACE))
    if not match or match[1].lower() not in _DIRECTIVES:
        return None
    return match[1].lower(), match[2]


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.lines: list[str] = re.findall(r"[^\n]*\n|[^\n]+", text)
        self.escape = "\\"
        self.directives: dict[str, str] = {}
        self.checks = Checks()
        self.notices: list[Notice] = []
        self._file = file
        self._at = 0
        self._directives_end = False

    def instructions(self) -> list[Instruction]:
        found = []
        comment: list[str] = []
        while self._at < len(self.lines):
            line = self._take().lstrip(SPACE)
            if line.startswith("#"):
                self._comment(line[1:], comment)
                continue
            self._directives_end = True
            if line:
                found.append(self._instruction(line, tuple(comment)))
                comment = []
        return found

    def _take(self) -> str:
        self._at += 1
        return self.lines[self._at - 1].rstrip("\r\n")

    def _comment(self, text: str, comment: list[str]) -> None:
        found = None if self._directives_end else directive(text)
        if found is not None:
            self._directive(*found)
            return
        self._directives_end = True
        if text := text.strip(SPACE):
            comment.append(text)
        else:
            comment.clear()

    def _directive(self, name: str, value: str) -> None:
        span = Span(self._file, self._at, self._at)
        line = self.lines[self._at - 1].strip()
        if name in self.directives:
            raise DockerfileError(f"only one {name} parser directive can be used", span, line=line)
        self.directives[name] = value
        if name == "escape":
            if value not in _CONTINUED:
                raise DockerfileError(
                    f"invalid escape token {value!r}", span, line=line, hint="it is \\ or `: # escape=`"
                )
            self.escape = value
        elif name == "check":
            try:
                self.checks = read_checks(value.partition(" ")[0])
            except SplitError as error:
                raise DockerfileError(error.message, span, line=line, hint=error.hint) from error

    def _instruction(self, line: str, comment: tuple[str, ...]) -> Instruction:
        start = self._at
        line = self._continued(line, start)
        try:
            instruction = self._split(line, Span(self._file, start, self._at))
            announced = split.heredocs(line) if _may_have_heredocs(instruction) and "<<" in line else []
        except SplitError as error:
            span = Span(self._file, start, self._at)
            raise DockerfileError(error.message, span, line=self.shown(start), hint=error.hint) from error
        documents = tuple(self._document(each, start) for each in announced)
        return instruction._replace(heredocs=documents, span=Span(self._file, start, self._at), comment=comment)

    def shown(self, number: int) -> str:
        """The line of a number, as a message shows it."""
        return self.lines[number - 1].strip()

    def _continued(self, line: str, start: int) -> str:
        """The logical line: comments between its parts left out, empty lines, too, but with a warning."""
        parts = []
        empty = False
        while match := _CONTINUED[self.escape].search(line):
            parts.append(line[: match.start()])
            line = ""
            while self._at < len(self.lines):
                line = self._take()
                stripped = line.lstrip(SPACE)
                if stripped and not stripped.startswith("#"):
                    break
                empty = empty or not stripped
                line = ""
        if empty:
            self._warn_of_empty_lines(start)
        return "".join([*parts, line])

    def _warn_of_empty_lines(self, start: int) -> None:
        span = Span(self._file, start, self._at)
        self.notices.append(rules.notice("NoEmptyContinuation", "Empty continuation line", span))

    def _split(self, line: str, span: Span) -> Instruction:
        spelled, flags, rest = split.command(line, self.escape)
        keyword = spelled.lower()
        words, is_json = split.arguments(keyword, rest, self.escape)
        return Instruction(
            keyword=keyword,
            flags=tuple(_flag(flag) for flag in flags),
            words=words,
            json=is_json,
            heredocs=(),
            original=line.strip(SPACE),
            span=span,
            spelled=spelled,
            trigger=self._split(rest, span) if keyword == "onbuild" and rest else None,
        )

    def _document(self, announced: Heredoc, start: int) -> Heredoc:
        content: list[str] = []
        while self._at < len(self.lines):
            line = self._take()
            if (line.lstrip("\t") if announced.strip_tabs else line) == announced.name:
                return announced._replace(content="".join(content))
            content.append(self.lines[self._at - 1])
        raise DockerfileError(
            f"unterminated heredoc {announced.name}",
            Span(self._file, start, self._at),
            line=self.shown(start),
            hint=f"end it with a line that is {announced.name} and nothing else",
        )


def _flag(word: str) -> tuple[str, str | None]:
    name, equals, value = word.removeprefix("--").partition("=")
    return name, value if equals else None


def _may_have_heredocs(instruction: Instruction) -> bool:
    inner = instruction.trigger or instruction
    return inner.keyword in _TAKES_HEREDOCS and not inner.json


def read_checks(text: str) -> Checks:
    """The value of `# check=`: `skip=Rule,Rule;error=true;experimental=all`. Raises SplitError."""
    skip: tuple[str, ...] = ()
    experimental: tuple[str, ...] = ()
    error = False
    for option in filter(None, text.split(";")):
        name, equals, value = (part.strip() for part in option.partition("="))
        names = tuple(each.strip() for each in value.split(","))
        if name == "skip" and equals:
            skip = names
        elif name == "experimental" and equals:
            experimental = names
        elif name == "error" and value.lower() in ("true", "t", "1", "false", "f", "0"):
            error = value.lower() in ("true", "t", "1")
        else:
            raise SplitError(
                f"invalid check option {option!r}",
                hint="the options are skip=RULE,..., error=true, experimental=all",
            )
    return Checks(skip, skip == ("all",), error, experimental)
