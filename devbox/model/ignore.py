"""Patterns: .dockerignore, --exclude and the wildcards of COPY, with the meaning that Go and docker give them.

A Matcher answers for a path as docker does: a pattern matches a path or what lies below a directory that it
matches, the last pattern that matches decides, and one with "!" takes back.
"""

import posixpath
import re
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from devbox.errors import UsageError

SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""what Go calls a space; Python's str.isspace calls four control characters so, too"""
_WILD = re.compile(r"[*?\[\\]")


class PatternError(UsageError):
    """A pattern that Go's filepath.Match calls malformed."""


def read(text: bytes) -> list[str]:
    """The patterns of a .dockerignore file."""
    found = []
    for line in text.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape").split("\n"):
        if line.startswith("#") or not (pattern := line.strip(SPACE)):
            continue
        negated = pattern[0] == "!"
        pattern = pattern[1:].strip(SPACE) if negated else pattern
        if pattern:
            pattern = clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern[0] == "/" else pattern
        found.append("!" + pattern if negated else pattern)
    return found


def patterns(text: bytes) -> "Matcher":
    """The matcher of a .dockerignore file. Raises PatternError."""
    return Matcher(read(text))


def clean(path: str) -> str:
    """Go's filepath.Clean."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


class Matcher:
    """Tells of paths, relative to the context and without a leading slash, whether patterns exclude them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        """as given: what the matcher's answers depend on"""
        parsed = [_parse(line) for raw in self.lines if (line := raw.strip(SPACE))]
        self._steps = [
            _Step(negated, re.compile(f"(?:{'|'.join(each.expression for each in group)})(?:/.*)?", re.DOTALL))
            for negated, group in groupby(parsed, key=lambda each: each.negated)
        ]
        self._literals = [(each.negated, each.literal) for each in parsed]

    def __bool__(self) -> bool:
        return bool(self._steps)

    @property
    def takes_back(self) -> bool:
        """Whether a pattern has a "!"."""
        return any(negated for negated, _ in self._literals)

    def excluded(self, path: str) -> bool:
        """Whether a path is left out; the context itself never is."""
        if path == ".":
            return False
        excluded = False
        for negated, expression in self._steps:
            if negated == excluded and expression.fullmatch(path):
                excluded = not negated
        return excluded

    def may_take_back(self, directory: str) -> bool:
        """Whether something below an excluded directory may not be excluded."""
        return self._reaches(directory, negated=True)

    def may_match_below(self, directory: str) -> bool:
        """Whether a pattern without "!" may match something below a directory that none matches."""
        return directory == "." or self._reaches(directory, negated=False)

    def _reaches(self, directory: str, *, negated: bool) -> bool:
        inside = directory + "/"
        return any(
            literal.startswith(inside) or inside.startswith(literal)
            for kind, literal in self._literals
            if kind == negated
        )


class _Step(NamedTuple):
    """Patterns in a row of which the first that matches settles the matter."""

    negated: bool
    expression: re.Pattern[str]


class _Parsed(NamedTuple):
    negated: bool
    expression: str
    literal: str
    """what every path begins with that the pattern matches, up to a wildcard"""


def _parse(line: str) -> _Parsed:
    pattern = clean(line)
    negated = pattern[0] == "!"
    pattern = pattern[1:] if negated else pattern
    if not pattern:
        raise PatternError('illegal exclusion pattern: "!"', hint="write !PATTERN")
    tokens = _tokens(pattern)
    wild = _WILD.search(pattern)
    return _Parsed(negated, _expression(pattern, tokens), pattern[: wild.start()] if wild else pattern + "/")


def wildcard(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match as an expression for fullmatch: `*` and `?` stop at a slash. Raises PatternError."""
    parts = []
    for token in _tokens(pattern):
        match token:
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _:
                parts.append(_literal(token))
    return re.compile("".join(parts), re.DOTALL)


def is_wild(pattern: str) -> bool:
    """Whether a pattern may match anything but itself."""
    return _WILD.search(pattern) is not None


def _literal(token: str) -> str:
    """A token's expression: a class as it is, a character escaped, with or without a backslash before it."""
    if token[0] == "[" and len(token) > 1:
        return _class(token)
    return re.escape(token[-1])


def _tokens(pattern: str) -> list[str]:
    """Single characters, "\\\\x" and "[...]". Raises PatternError."""
    tokens = []
    position = 0
    while position < len(pattern):
        if pattern[position] == "[":
            end = _class_end(pattern, position)
        else:
            end = position + (2 if pattern[position] == "\\" else 1)
        if end > len(pattern):
            raise _malformed(pattern, "a backslash ends it")
        tokens.append(pattern[position:end])
        position = end
    return tokens


def _class_end(pattern: str, position: int) -> int:
    start = position = position + (2 if pattern.startswith("[^", position) else 1)
    while position == start or pattern[position : position + 1] != "]":
        _, position = _class_character(pattern, position)
        if pattern[position : position + 1] == "-":
            _, position = _class_character(pattern, position + 1)
    return position + 1


def _class_character(pattern: str, position: int) -> tuple[str, int]:
    char = pattern[position : position + 1]
    if char == "\\":
        position += 1
        char = pattern[position : position + 1]
    elif char in ("-", "]"):
        raise _malformed(pattern, f"a {char!r} in brackets needs a backslash before it")
    if not char or position + 1 >= len(pattern):
        raise _malformed(pattern, "a bracket is not closed")
    return char, position + 1


def _malformed(pattern: str, hint: str) -> PatternError:
    return PatternError(f"syntax error in pattern {pattern!r}", hint=hint)


def _class(token: str) -> str:
    negated = token.startswith("[^")
    ranges = []
    position = 2 if negated else 1
    while position < len(token) - 1:
        low, position = _class_character(token, position)
        high = low
        if token[position] == "-":
            high, position = _class_character(token, position + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    if not ranges:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(ranges)}]"


def _expression(pattern: str, tokens: list[str]) -> str:
    """docker's reading of a pattern: like a wildcard, and `**` stands for any number of directories."""
    if not {"*", "?"} & set(tokens[2:] if tokens[:2] == ["*", "*"] else tokens) and _is_plain(tokens):
        return _plain_or_tail(pattern)
    parts = []
    position = 0
    while position < len(tokens):
        token = tokens[position]
        if tokens[position : position + 2] == ["*", "*"]:
            position += 2
            position += tokens[position : position + 1] == ["/"]
            parts.append("(?:.*/)?" if position < len(tokens) else ".*")
            continue
        position += 1
        parts.append({"*": "[^/]*", "?": "[^/]"}.get(token) or _literal(token))
    return "".join(parts)


def _is_plain(tokens: list[str]) -> bool:
    return all(len(token) == 1 for token in tokens)


def _plain_or_tail(pattern: str) -> str:
    """A pattern whose only wildcard is a `**` in front: that matches any beginning, half a name included."""
    if not pattern.startswith("**"):
        return re.escape(pattern)
    tail = pattern[2:]
    return f"(?:.*/)?{re.escape(tail[1:])}" if tail.startswith("/") else f".*{re.escape(tail)}"
