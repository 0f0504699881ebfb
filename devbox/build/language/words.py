"""Words of a Dockerfile: quotes, escapes and variables, as BuildKit's lexer reads them.

A shell's rules with differences that matter: single quotes hold everything, double quotes hold all but variables,
outside of quotes the escape character takes the next one as it is, and `$` before what is no name is a dollar.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from devbox.errors import UsageError
from devbox.model.ignore import SPACE

_SPECIAL = "@*#?-$!0"
_DEPTH_MAX = 100

Lookup = Callable[[str], str | None]
"""The value of a variable, None where it is not set."""


class WordError(UsageError):
    """A word that cannot be expanded."""


class Mode(NamedTuple):
    """What stays as it is written."""

    raw_quotes: bool = False
    """quotes are kept; what they quote is still quoted"""
    raw_escapes: bool = False
    keep_unset: bool = False
    """`$name` stays where `name` is not set"""
    plain_quotes: bool = False
    """quotes are characters like any other, as in a heredoc"""


class Expansion(NamedTuple):
    """A word with its variables replaced, or the words that it falls into."""

    text: str
    words: tuple[str, ...]
    used: frozenset[str]
    missing: frozenset[str]
    """names that had no value"""


def expand(word: str, lookup: Lookup, escape: str = "\\", mode: Mode = Mode()) -> str:  # noqa: B008
    """One word, whatever blanks its variables have. Raises WordError."""
    return expansion(word, lookup, escape, mode).text


def expand_words(word: str, lookup: Lookup, escape: str = "\\", mode: Mode = Mode()) -> list[str]:  # noqa: B008
    """The words that blanks separate, those of unquoted variables included. Raises WordError."""
    return list(expansion(word, lookup, escape, mode).words)


def expansion(word: str, lookup: Lookup, escape: str = "\\", mode: Mode = Mode()) -> Expansion:  # noqa: B008
    """Both, and which names were asked for."""
    lexer = _Lexer(word, lookup, escape, mode)
    try:
        text, words = lexer.until("", raw_escapes=mode.raw_escapes)
    except WordError as error:
        raise WordError(f"cannot expand {word!r}: {error.message}", hint=error.hint) from None
    return Expansion(text, tuple(words), frozenset(lexer.used), frozenset(lexer.missing))


class _Words:
    """Collects characters and tells which blanks separate words."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._word: list[str] = []

    def add(self, text: str) -> None:
        """Text whose blanks separate."""
        for char in text:
            if char in SPACE:
                self._end()
            else:
                self._word.append(char)

    def add_quoted(self, text: str) -> None:
        self._word.append(text)

    def _end(self) -> None:
        if word := "".join(self._word):
            self._done.append(word)
        self._word.clear()

    def all(self) -> list[str]:
        self._end()
        return self._done


class _Lexer:
    def __init__(self, source: str, lookup: Lookup, escape: str, mode: Mode) -> None:
        self._source = source
        self._at = 0
        self._lookup = lookup
        self._escape = escape
        self._mode = mode
        self._raw_escapes = mode.raw_escapes
        self._depth = 0
        self.used: set[str] = set()
        self.missing: set[str] = set()

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def until(self, stop: str, *, raw_escapes: bool) -> tuple[str, list[str]]:
        """Everything before `stop`, which is taken, too; "" for the end."""
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise WordError(f"variables are nested more than {_DEPTH_MAX} deep")
        before, self._raw_escapes = self._raw_escapes, raw_escapes
        result: list[str] = []
        words = _Words()
        while (char := self._peek()) and char != stop:
            self._piece(char, result, words)
        if self._next() != stop:
            raise WordError(f"syntax error: missing {stop!r} in ${{}}")
        self._raw_escapes = before
        self._depth -= 1
        return "".join(result), words.all()

    def _piece(self, char: str, result: list[str], words: _Words) -> None:
        if char == "$":
            text = self._dollar()
            words.add(text)
        elif char == "<":
            text = self._angle()
            words.add_quoted(text)
        elif char in "'\"" and not self._mode.plain_quotes:
            text = self._single_quoted() if char == "'" else self._double_quoted()
            words.add_quoted(text)
        elif char == self._escape:
            text = self._escaped()
            words.add_quoted(text)
        else:
            text = self._next()
            words.add(text)
        result.append(text)

    def _escaped(self) -> str:
        escape, char = self._next(), self._next()
        return escape + char if self._raw_escapes else char

    def _angle(self) -> str:
        """`<` or `<<`, with the blanks between `<<` and a heredoc's name."""
        match = re.compile(r"<(?:<[\t\r ]*)?").match(self._source, self._at)
        assert match
        self._at = match.end()
        return match[0]

    def _single_quoted(self) -> str:
        end = self._source.find("'", self._at + 1)
        if end < 0:
            raise WordError("a single quote is not closed")
        quoted = self._source[self._at : end + 1]
        self._at = end + 1
        return quoted if self._mode.raw_quotes else quoted[1:-1]

    def _double_quoted(self) -> str:
        quote = self._next() if self._mode.raw_quotes else (self._next(), "")[1]
        result = [quote]
        while (char := self._peek()) != '"':
            if not char:
                raise WordError("a double quote is not closed")
            result.append(self._dollar() if char == "$" else self._in_double_quotes())
        self._at += 1
        return "".join([*result, quote])

    def _in_double_quotes(self) -> str:
        char = self._next()
        if char != self._escape:
            return char
        kept = char if self._raw_escapes else ""
        following = self._peek()
        if not following:
            return kept
        if following in ('"', "$", self._escape):
            return kept + self._next()
        return kept + char

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        if not name:
            return "$"
        value = self._value(name)
        if value is None and self._mode.keep_unset:
            return "$" + name
        return value or ""

    def _name(self) -> str:
        """Letters, digits and "_"; only digits after a digit, nothing after a special one."""
        start = self._at
        if self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        elif self._peek() and self._peek() in _SPECIAL:
            self._at += 1
        else:
            while (char := self._peek()).isalpha() or char.isdecimal() or char == "_":
                self._at += 1
        return self._source[start : self._at]

    def _value(self, name: str) -> str | None:
        value = self._lookup(name)
        (self.missing if value is None else self.used).add(name)
        return value

    def _braced(self) -> str:
        if not self._peek():
            raise WordError("syntax error: missing '}' in ${}")
        if self._peek() in "{}:":
            raise WordError("syntax error: bad substitution", hint="write ${NAME}")
        name = self._name()
        modifier = self._next()
        if modifier == "}":
            value = self._value(name)
            return f"${{{name}}}" if value is None and self._mode.keep_unset else value or ""
        if modifier == "/":
            return self._replaced(name)
        if modifier == ":":
            modifier += self._next()
        if modifier in (":-", ":+", ":?", "-", "+", "?"):
            return self._defaulted(name, modifier)
        if modifier in ("#", "%"):
            return self._trimmed(name, modifier)
        if not modifier:
            raise WordError("syntax error: missing '}' in ${}")
        raise WordError(
            f"unsupported modifier ({modifier}) in substitution",
            hint="the modifiers are :- :+ :? - + ? # ## % %% / //",
        )

    def _defaulted(self, name: str, modifier: str) -> str:
        word, _ = self.until("}", raw_escapes=False)
        value = self._value(name)
        if value is None and self._mode.keep_unset:
            return f"${{{name}{modifier}{word}}}"
        lacks = value is None or (modifier[0] == ":" and not value)
        match modifier[-1]:
            case "-":
                return word if lacks else value or ""
            case "+":
                return "" if lacks else word
        if lacks:
            reason = word or f"is not allowed to be {'unset' if value is None else 'empty'}"
            raise WordError(f"{name}: {reason}", hint=f"give it a value: --build-arg {name}=... or ARG {name}=...")
        return value or ""

    def _trimmed(self, name: str, modifier: str) -> str:
        pattern, _ = self.until("}", raw_escapes=True)
        value = self._value(name)
        if value is None:
            return f"${{{name}{modifier}{pattern}}}" if self._mode.keep_unset else ""
        longest = pattern.startswith(modifier)
        expression = _expression(pattern[longest:], longest=longest)
        if modifier == "#":
            match = re.compile(expression).match(value)
            return value[match.end() :] if match else value
        ends = re.compile(expression)
        starts = range(len(value) + 1) if longest else range(len(value), -1, -1)
        return next((value[:start] for start in starts if ends.fullmatch(value, start)), value)

    def _replaced(self, name: str) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern, _ = self.until("/", raw_escapes=True)
        replacement, _ = self.until("}", raw_escapes=True)
        value = self._value(name)
        if value is None:
            return f"${{{name}/{pattern}/{replacement}}}" if self._mode.keep_unset else ""
        expression = re.compile(_expression(pattern, longest=True))
        return expression.sub(lambda _: replacement, value, count=0 if every else 1)


def _expression(pattern: str, *, longest: bool) -> str:
    """The regular expression of a shell's pattern with `*`, `?` and escapes."""
    result = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            result.append(".*" if longest else ".*?")
        elif char == "?":
            result.append(".")
        elif char == "\\" and pattern[position : position + 1] not in ("}", "/"):
            char = pattern[position : position + 1]
            position += 1
            if not char or char not in "*?\\":
                raise WordError(f"invalid escape '\\{char}' in the pattern {pattern!r}")
            result.append(re.escape(char))
        elif char != "\\":
            result.append(re.escape(char))
    return "".join(result)
